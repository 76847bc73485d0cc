//! An Alertmanager hears of a transition at once, and of all that lasts every minute.

use serde_json::Value;
use throughline::{
    deliver::{Reminder, ReminderReport},
    domain::{
        model::ids::Name,
        notify::delivery::AttemptClass::{Delivered, Rejected},
    },
};

use super::world::{NOBODY, START, TestBench};
use crate::support::{
    app::deliver_settings,
    receiver::{Receiver, Reply},
};

fn reminder(world: &TestBench) -> Reminder {
    let store = world.database.store.clone();
    Reminder::new(store, world.catalog(), &deliver_settings()).unwrap()
}

/// Makes the alert rows say what the transitions do: evaluation is not part of these tests.
async fn lasts(world: &TestBench) {
    world
        .execute(
            "update alerts set state = 'firing', rule = 'fast',
             episode = '00000000-0000-0000-0000-000000000001'",
        )
        .await;
}

async fn is_over(world: &TestBench) {
    world
        .execute("update alerts set state = 'inactive', rule = null, episode = null")
        .await;
}

fn alert(receiver: &Receiver, nth: usize) -> Value {
    let request = &receiver.requests()[nth];
    assert_eq!(request.path, "/api/v2/alerts");
    request.json()[0].clone()
}

#[tokio::test]
async fn all_replicas_are_told_and_one_that_took_it_is_enough() {
    let mut world = TestBench::create().await;
    let (one, other) = (Receiver::start([]).await, Receiver::start([]).await);
    let name = world.declare_alertmanager("am", &[&one.url, NOBODY, &other.url]);
    let transition = world.fires("checkout", &[&name]).await;
    assert_eq!(world.deliver(&name).await.attempts, [Delivered]);
    assert_eq!((one.requests().len(), other.requests().len()), (1, 1));
    assert_eq!(alert(&one, 0), alert(&other, 0));
    let (_, attempts) = world.delivery(transition).await;
    let excerpt = attempts[0].excerpt.clone().unwrap();
    assert!(
        excerpt.starts_with("2 of 3 replicas accepted it; another: connect"),
        "{excerpt}"
    );
}

#[tokio::test]
pub(crate) async fn t20_alerts_that_are_refused_are_dead_and_visible() {
    let mut world = TestBench::create().await;
    let refusal = Reply::Status(400, "\"invalid label set: invalid name\"".to_owned());
    let receiver = Receiver::start([refusal]).await;
    let name = world.declare_alertmanager("am", &[&receiver.url]);
    world.fires("checkout", &[&name]).await;
    let report = world.deliver(&name).await;
    assert_eq!(
        (report.attempts.as_slice(), report.dead),
        (&[Rejected][..], 1)
    );
}

#[tokio::test]
async fn what_lasts_is_told_every_minute_and_an_end_for_a_quarter_of_an_hour() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let name: Name = world.declare_alertmanager("am", &[&receiver.url]);
    let reminder = reminder(&world);
    let nothing = ReminderReport::default();
    assert_eq!(reminder.tick(world.now).await.unwrap(), nothing);

    world.fires("checkout", &[&name]).await;
    lasts(&world).await;
    world.deliver(&name).await;
    world.advance(3_600);
    let told = ReminderReport { sent: 1, failed: 0 };
    assert_eq!(reminder.tick(world.now).await.unwrap(), told);
    let (first, again) = (alert(&receiver, 0), alert(&receiver, 1));
    assert_eq!(first["labels"], again["labels"]);
    assert_eq!(first["startsAt"], again["startsAt"]);
    assert_eq!(
        first["endsAt"],
        (START + std::time::Duration::from_hours(1)).to_rfc3339()
    );
    assert!(
        first["endsAt"].as_str() < again["endsAt"].as_str(),
        "it lasts"
    );

    world.resolves("checkout", &[&name]).await;
    is_over(&world).await;
    world.deliver(&name).await;
    world.advance(14 * 60);
    assert_eq!(reminder.tick(world.now).await.unwrap(), told);
    let (end, again) = (alert(&receiver, 2), alert(&receiver, 3));
    assert_eq!(end["endsAt"], again["endsAt"], "an end stays where it is");
    world.advance(2 * 60);
    assert_eq!(reminder.tick(world.now).await.unwrap(), nothing);
}

#[tokio::test]
async fn an_alertmanager_that_is_away_is_reminded_when_it_is_back() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([Reply::Status(503, String::new())]).await;
    let name = world.declare_alertmanager("am", &[&receiver.url]);
    world.fires("checkout", &[&name]).await;
    lasts(&world).await;
    let reminder = reminder(&world);
    let away = ReminderReport { sent: 0, failed: 1 };
    assert_eq!(reminder.tick(world.now).await.unwrap(), away);
    let back = ReminderReport { sent: 1, failed: 0 };
    assert_eq!(reminder.tick(world.now).await.unwrap(), back);
}
