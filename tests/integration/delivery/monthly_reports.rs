//! Reports of a month to targets that ask for them.

use chrono::NaiveTime;
use serde_json::json;
use throughline::{
    app::reports::Reporter,
    domain::{
        model::ids::Name,
        notify::delivery::AttemptClass::{Delivered, Unavailable},
        slo::ReportSchedule,
    },
};

use crate::support::{
    app::{
        HOUR, ORDERS, TestApp, good, time,
        web::{get, post_json},
    },
    backup::Backup,
    receiver::{Receiver, Reply},
};

/// Two days of good events at the end of November.
async fn november() -> TestApp {
    let app = TestApp::new().slo(ORDERS).history(HOUR * 48, good(10));
    app.at("2026-11-30T23:00:00Z").await
}

/// A webhook that wants the report of a team, and what is due already is not sent.
async fn subscribed(app: &TestApp, receiver: &Receiver, team: &str) -> Name {
    let hook = declared(app, receiver, team);
    assert_eq!(reported(app, "2026-11-30T23:00:00Z").await, 0);
    hook
}

fn declared(app: &TestApp, receiver: &Receiver, team: &str) -> Name {
    let hook = app.declare_webhook("hook", &receiver.url);
    let mut target = (*app.definitions.catalog.borrow().targets[&hook]).clone();
    target.reports = vec![ReportSchedule {
        team: Some(team.to_owned()),
        day: None,
        time: NaiveTime::from_hms_opt(9, 0, 0).unwrap(),
        zone: chrono_tz::UTC,
    }];
    app.declare_target(target);
    hook
}

/// The app on the backup, five minutes after the report was due.
async fn restored(backup: &Backup, app: &TestApp, receiver: &Receiver) -> (TestApp, Name) {
    let database = backup.restore(&app.database).await;
    let builder = TestApp::new().slo(ORDERS).on(database);
    let app = builder.at("2026-12-01T09:05:00Z").await;
    let hook = declared(&app, receiver, "shop");
    (app, hook)
}

/// How many reports two replicas that remember nothing send at the same moment.
async fn reported(app: &TestApp, at: &str) -> u64 {
    app.clock.set(time(at));
    let replica = || {
        let catalog = app.definitions.catalog.subscribe();
        let url = Some("https://slo.example.com/".to_owned());
        Reporter::new(app.database.store.clone(), catalog, url)
    };
    let (here, there) = (replica(), replica());
    let ticks = tokio::join!(here.tick(time(at)), there.tick(time(at)));
    ticks.0.unwrap() + ticks.1.unwrap()
}

#[tokio::test]
async fn a_report_is_sent_once_however_many_replicas_there_are_and_again_next_month() {
    let app = november().await;
    let receiver = Receiver::start([]).await;
    let hook = subscribed(&app, &receiver, "shop").await;
    assert_eq!(reported(&app, "2026-12-01T08:59:00Z").await, 0);
    assert_eq!(reported(&app, "2026-12-01T09:00:00Z").await, 1);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Delivered]);
    assert_eq!(reported(&app, "2026-12-01T09:01:00Z").await, 0);
    assert_eq!(reported(&app, "2026-12-31T23:59:00Z").await, 0);
    assert_eq!(reported(&app, "2027-01-01T09:00:00Z").await, 1);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Delivered]);
    let bodies = receiver.requests().into_iter().map(|one| one.json());
    let [november, december] = &bodies.collect::<Vec<_>>()[..] else {
        panic!("two reports");
    };
    let said = ["summary", "lines", "links"].map(|field| &november["data"][field]);
    insta::assert_json_snapshot!("november", (&november["type"], said));
    let text = december.to_string();
    assert!(text.contains("Report of 2026-12 for shop"), "{text}");
    assert!(text.contains("Orders complete: no events"), "{text}");
}

#[tokio::test]
async fn a_report_that_was_due_in_an_outage_is_sent_late_and_once() {
    let app = november().await;
    let receiver = Receiver::start([]).await;
    let hook = subscribed(&app, &receiver, "shop").await;
    assert_eq!(reported(&app, "2027-01-04T15:30:00Z").await, 1);
    assert_eq!(reported(&app, "2027-01-04T15:31:00Z").await, 0);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Delivered]);
    let text = receiver.requests()[0].json().to_string();
    assert!(text.contains("Report of 2026-12 for shop"), "{text}");
}

#[tokio::test]
async fn a_target_that_is_down_gets_its_report_when_it_answers_again() {
    let app = november().await;
    let receiver = Receiver::start([Reply::Status(503, String::new())]).await;
    let hook = subscribed(&app, &receiver, "nobody").await;
    assert_eq!(reported(&app, "2026-12-01T09:00:00Z").await, 1);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Unavailable]);
    assert_eq!(reported(&app, "2026-12-01T12:00:00Z").await, 0);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Delivered]);
    let text = receiver.requests()[1].json().to_string();
    assert!(
        text.contains("No SLO has the label `team: nobody`."),
        "{text}"
    );
}

#[tokio::test]
async fn a_report_that_is_declared_again_waits_for_the_next_month() {
    let app = november().await;
    let receiver = Receiver::start([]).await;
    let hook = subscribed(&app, &receiver, "shop").await;
    let target = (*app.definitions.catalog.borrow().targets[&hook]).clone();
    app.reads(|catalog| drop(catalog.targets.remove(&hook)));
    assert_eq!(reported(&app, "2026-12-01T09:00:00Z").await, 0);
    app.declare_target(target);
    assert_eq!(reported(&app, "2026-12-10T09:00:00Z").await, 0);
    assert_eq!(reported(&app, "2027-01-01T09:00:00Z").await, 1);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Delivered]);
}

/// A silence is for alerts: who asked for a report expects it, and it has the alerts that were silenced.
#[tokio::test]
async fn a_report_is_sent_although_everything_is_silenced() {
    let app = november().await;
    let receiver = Receiver::start([]).await;
    let hook = subscribed(&app, &receiver, "shop").await;
    let all = json!({ "matchers": ["slo=~\".+\""], "duration": "24h", "reason": "a quiet day", "force": true });
    let silence = post_json(&app.router(), "/api/v1/silences", &all).await;
    assert_eq!(silence.status, 201, "{}", silence.body);
    assert_eq!(reported(&app, "2026-12-01T09:00:00Z").await, 1);
    let active = get(&app.router(), "/api/v1/silences?state=active").await;
    assert_eq!(active.json()["silences"].as_array().unwrap().len(), 1);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Delivered]);
    let text = receiver.requests()[0].json().to_string();
    assert!(text.contains("Report of 2026-11 for shop"), "{text}");
}

#[tokio::test]
async fn a_backup_that_has_the_report_sends_it_to_nobody_again() {
    let app = november().await;
    let receiver = Receiver::start([]).await;
    let hook = subscribed(&app, &receiver, "shop").await;
    assert_eq!(reported(&app, "2026-12-01T09:00:00Z").await, 1);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Delivered]);
    let backup = Backup::take(&app.database).await;
    let (restored, hook) = restored(&backup, &app, &receiver).await;
    assert_eq!(reported(&restored, "2026-12-01T09:05:00Z").await, 0);
    assert!(restored.deliver_to(&hook).await.attempts.is_empty());
    assert_eq!(receiver.requests().len(), 1);
}

/// Nobody can know whether it was sent, so it is sent rather than lost.
#[tokio::test]
async fn a_backup_without_the_report_sends_it_under_the_same_id() {
    let app = november().await;
    let receiver = Receiver::start([]).await;
    let hook = subscribed(&app, &receiver, "shop").await;
    let backup = Backup::take(&app.database).await;
    assert_eq!(reported(&app, "2026-12-01T09:00:00Z").await, 1);
    assert_eq!(app.deliver_to(&hook).await.attempts, [Delivered]);
    let (restored, hook) = restored(&backup, &app, &receiver).await;
    assert_eq!(reported(&restored, "2026-12-01T09:05:00Z").await, 1);
    assert_eq!(reported(&restored, "2026-12-01T09:06:00Z").await, 0);
    assert_eq!(restored.deliver_to(&hook).await.attempts, [Delivered]);
    let requests = receiver.requests();
    let [first, again] = &requests[..] else {
        panic!("two requests");
    };
    let ids = [first, again].map(|request| &request.headers["webhook-id"]);
    assert_eq!(ids[0], ids[1], "receivers know it again by its id");
}

#[tokio::test]
async fn a_minute_without_a_due_report_writes_nothing() {
    let app = november().await;
    let receiver = Receiver::start([]).await;
    subscribed(&app, &receiver, "shop").await;
    assert_eq!(reported(&app, "2026-12-01T09:00:00Z").await, 1);
    app.execute(
        "create function refuse() returns trigger language plpgsql
             as 'begin raise exception ''the table is written''; end'",
    )
    .await;
    app.execute(
        "create trigger refuse before insert or update or delete on sent_reports
             for each statement execute function refuse()",
    )
    .await;
    assert_eq!(reported(&app, "2026-12-01T09:01:00Z").await, 0);
}
