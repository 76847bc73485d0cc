//! What becomes of an alert, told to every kind of target; programs that others wrote judge each body.

use throughline::domain::{
    alerting::{alert::AlertUpdate, rule_status::Missing, suppression::Suppression},
    notify::delivery::AttemptClass::Delivered,
    slo::{Severity, WebhookFormat},
};

use super::world::TestBench;
use crate::support::receiver::{Receiver, Reply};

fn developments(world: &TestBench) -> [AlertUpdate; 6] {
    [
        AlertUpdate::MoreCustomers { before: 5, now: 12 },
        AlertUpdate::BudgetSpent,
        AlertUpdate::DataStopped {
            heard_until: Some(world.now),
            missing: Missing::Events,
        },
        AlertUpdate::DataResumed {
            stopped_at: world.now,
        },
        AlertUpdate::Unmuted {
            was: Suppression::Inhibited { by: Severity::Page },
        },
        AlertUpdate::Reminded,
    ]
}

#[tokio::test]
async fn every_kind_of_target_takes_what_becomes_of_an_alert() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let url = &receiver.url;
    let targets = [
        world.declare_slack("slack", url),
        world.declare_pagerduty("pager", url),
        world.declare_teams("teams", url),
        world.declare_alertmanager("manager", &[url]),
        world.declare_formatted("hook", url, WebhookFormat::Standard),
        world.declare_formatted("events", url, WebhookFormat::CloudEvents),
        world.declare_formatted("like-am", url, WebhookFormat::AlertmanagerV4),
    ];
    for target in &targets {
        let slo = format!("slo-of-{target}");
        world.fires(&slo, &[target]).await;
        assert_eq!(
            world.deliver(target).await.attempts,
            [Delivered],
            "{target}"
        );
        for development in developments(&world) {
            world.develops(&slo, development, &[target]).await;
            world.advance(5);
            assert_eq!(
                world.deliver(target).await.attempts,
                [Delivered],
                "{target}"
            );
        }
    }
    let keys: Vec<_> = receiver
        .requests()
        .iter()
        .filter(|request| request.path == "/v2/enqueue")
        .map(|request| {
            let event = request.json();
            (event["event_action"].clone(), event["dedup_key"].clone())
        })
        .collect();
    let trigger = ("trigger".into(), "slo/slo-of-pager/page".into());
    assert_eq!(keys, vec![trigger; 7], "entries in the log of one incident");
}

#[tokio::test]
async fn what_becomes_of_an_alert_stands_in_its_thread() {
    let mut world = TestBench::create().await;
    let script = ["1.1", "2.2", "3.3", "4.4", "5.5", "6.6", "7.7"].map(|ts| {
        let body = format!(r#"{{"ok":true,"channel":"C024BE91L","ts":"{ts}","message":{{}}}}"#);
        Reply::Status(200, body)
    });
    let receiver = Receiver::start(script).await;
    let bot = world.declare_slack_bot("bot", &receiver.url);
    world.fires("checkout", &[&bot]).await;
    world.deliver(&bot).await;
    for development in developments(&world) {
        world.develops("checkout", development, &[&bot]).await;
        world.advance(5);
        assert_eq!(world.deliver(&bot).await.attempts, [Delivered]);
    }
    let threads: Vec<_> = receiver.requests()[1..]
        .iter()
        .map(|request| request.json()["thread_ts"].clone())
        .collect();
    assert_eq!(threads, ["1.1"; 6]);
}
