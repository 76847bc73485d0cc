//! News that comes late: what is over before it was told, and what is too old to call anybody for.

use throughline::domain::{
    notify::delivery::{
        AttemptClass::{Delivered, Timeout, Unavailable},
        DeliveryState::{self, Collapsed, Expired},
    },
    slo::LatePolicy,
};
use uuid::Uuid;

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply};

fn down(times: usize) -> Vec<Reply> {
    vec![Reply::Status(503, String::new()); times]
}

fn text(receiver: &Receiver, index: usize) -> String {
    String::from_utf8_lossy(&receiver.requests()[index].body).into_owned()
}

async fn states(world: &TestBench, transitions: [Uuid; 2]) -> [DeliveryState; 2] {
    let [one, other] = transitions;
    [
        world.delivery(one).await.0.state,
        world.delivery(other).await.0.state,
    ]
}

#[tokio::test]
pub(crate) async fn t14_slack_hears_once_of_what_was_over_before_it_could_be_told() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start(down(1)).await;
    let slack = world.declare_slack("slack", &receiver.url);
    let fired = world.fires("checkout", &[&slack]).await;
    assert_eq!(world.deliver(&slack).await.attempts, [Unavailable]);
    world.advance(840);
    let ended = world.resolves("checkout", &[&slack]).await;
    let report = world.deliver(&slack).await;
    assert_eq!((report.collapsed, report.attempts), (1, vec![Delivered]));
    assert_eq!(
        states(&world, [fired, ended]).await,
        [Collapsed, DeliveryState::Delivered]
    );
    let told = text(&receiver, 1);
    assert!(
        told.contains("Fired and ended before this could be delivered"),
        "{told}"
    );
}

#[tokio::test]
pub(crate) async fn t14_nobody_is_paged_for_what_is_over_and_it_stands_on_record() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start(down(1)).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    let fired = world.fires("checkout", &[&pager]).await;
    world.deliver(&pager).await;
    let ended = world.resolves("checkout", &[&pager]).await;
    let report = world.deliver(&pager).await;
    assert_eq!((report.collapsed, report.attempts), (2, vec![]));
    assert_eq!(states(&world, [fired, ended]).await, [Collapsed, Collapsed]);
    assert_eq!(receiver.requests().len(), 1);

    // The next trouble is told as ever.
    world.episode = Uuid::from_u128(2);
    world.fires("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [Delivered]);
}

#[tokio::test]
pub(crate) async fn t14_a_page_that_may_have_been_taken_is_resolved_however_quiet_the_policy() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([Reply::Hang]).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    let fired = world.fires("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [Timeout]);
    let ended = world.resolves("checkout", &[&pager]).await;
    assert_eq!(world.deliver(&pager).await.attempts, [Delivered]);
    assert_eq!(receiver.requests()[1].json()["event_action"], "resolve");
    assert_eq!(
        states(&world, [fired, ended]).await,
        [Collapsed, DeliveryState::Delivered]
    );
}

#[tokio::test]
pub(crate) async fn t14_a_program_is_told_both_in_their_order_and_so_is_who_wants_to_be() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start(down(1)).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    world.redeclare(&pager, |target| target.late = LatePolicy::Deliver);
    world.fires("checkout", &[&pager]).await;
    world.deliver(&pager).await;
    world.resolves("checkout", &[&pager]).await;
    world.advance(10);
    for action in ["trigger", "resolve"] {
        assert_eq!(
            world.deliver(&pager).await.attempts,
            [Delivered],
            "{action}"
        );
        let last = receiver.requests().pop().unwrap();
        assert_eq!(last.json()["event_action"], action);
    }
}

#[tokio::test]
pub(crate) async fn t14_what_is_only_a_moment_old_is_told_step_by_step() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let slack = world.declare_slack("slack", &receiver.url);
    world.fires("checkout", &[&slack]).await;
    world.resolves("checkout", &[&slack]).await;
    for _ in 0..2 {
        let report = world.deliver(&slack).await;
        assert_eq!((report.collapsed, report.attempts), (0, vec![Delivered]));
    }
    assert!(!text(&receiver, 1).contains("before this could be delivered"));
}

#[tokio::test]
pub(crate) async fn t12_a_page_of_another_day_calls_nobody_and_is_on_record() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    let old = world.fires("checkout", &[&hook]).await;
    world.advance(6 * 3_600);
    world.episode = Uuid::from_u128(2);
    let new = world.fires("search", &[&hook]).await;
    let report = world.deliver(&hook).await;
    assert_eq!((report.expired, report.attempts), (1, vec![Delivered]));
    assert_eq!(
        states(&world, [old, new]).await,
        [Expired, DeliveryState::Delivered]
    );
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
pub(crate) async fn t12_an_end_is_told_however_old_if_its_beginning_was() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    world.fires("checkout", &[&pager]).await;
    world.deliver(&pager).await;
    let ended = world.resolves("checkout", &[&pager]).await;
    world.advance(48 * 3_600);
    assert_eq!(world.deliver(&pager).await.attempts, [Delivered]);
    let (told, _) = world.delivery(ended).await;
    assert_eq!(told.state, DeliveryState::Delivered);
    let summary = receiver.requests()[1].json()["payload"]["summary"].to_string();
    assert!(summary.contains("Delayed 2 d"), "{summary}");
}

#[tokio::test]
pub(crate) async fn t12_a_page_that_was_tried_is_tried_on_for_a_day() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start(down(1)).await;
    let hook = world.declare_webhook("hook", &receiver.url);
    world.fires("checkout", &[&hook]).await;
    world.deliver(&hook).await;
    world.advance(7 * 3_600);
    assert_eq!(world.deliver(&hook).await.attempts, [Delivered]);
}
