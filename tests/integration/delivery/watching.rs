//! The service watches itself: by the outbox while there is a database, and without it.

use std::time::Duration;

use throughline::{
    deliver::{DeliverSettings, Emergency, EmergencySettings},
    domain::{
        model::{counts::EventCounts, ids::Name, time::Timestamp},
        notify::{
            HeartbeatMethod,
            delivery::AttemptClass::{Connect, Delivered, Unavailable},
        },
        workflow::watermark::{OutageLimits, ReplicaId},
    },
    monitor::{HeartbeatResult, HeartbeatSettings, WatchReport, WatchSettings, Watcher},
    store::ReplicaSigns,
};

use super::world::{NOBODY, TestBench};
use crate::support::{
    app::deliver_settings,
    receiver::{Receiver, Reply},
};

const MINUTE: Duration = Duration::from_mins(1);

fn settings() -> WatchSettings {
    WatchSettings {
        evaluation_interval: Duration::from_secs(5),
        catch_up: Duration::from_mins(5),
        heartbeat: None,
        platform_target: None,
        emergency_target: None,
        page_base_url: Some("https://slo.example.com".to_owned()),
    }
}

fn watcher(world: &TestBench, settings: &WatchSettings) -> Watcher {
    let store = world.database.store.clone();
    Watcher::new(store, world.catalog(), settings.clone())
}

/// Two replicas look at the same moment.
async fn both_look(world: &TestBench, settings: &WatchSettings) -> (usize, usize) {
    let (here, there) = (watcher(world, settings), watcher(world, settings));
    let looks = tokio::join!(here.tick(world.now), there.tick(world.now));
    let looks: [WatchReport; 2] = [looks.0.unwrap(), looks.1.unwrap()];
    let sum = |count: fn(&WatchReport) -> usize| looks.iter().map(count).sum();
    (sum(|look| look.opened), sum(|look| look.resolved))
}

fn titles(receiver: &Receiver) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let said = receiver.requests();
    let title = said.iter().map(|one| {
        let body = one.json();
        (text(&body["type"]), text(&body["data"]["key"]))
    });
    title.collect()
}

fn told(kind: &str, key: &str) -> (String, String) {
    (format!("slo.self_check.{kind}"), key.to_owned())
}

/// Makes a target fail until its breaker is open.
async fn fails(world: &mut TestBench, target: &Name) {
    for _ in 0..5 {
        world.deliver(target).await;
        world.advance(130);
    }
}

#[tokio::test]
pub(crate) async fn t36_one_failed_channel_stops_no_other_and_is_told_of_once_and_once_that_it_is_well()
 {
    let mut world = TestBench::create().await;
    let (sick, platform) = (
        Receiver::start([(); 5].map(|()| Reply::Status(503, String::new()))).await,
        Receiver::start([]).await,
    );
    let well = Receiver::start([]).await;
    let sick_target = world.declare_webhook("sick", &sick.url);
    let well_target = world.declare_webhook("well", &well.url);
    let platform_target = world.declare_webhook("platform", &platform.url);
    let settings = WatchSettings {
        platform_target: Some(platform_target.clone()),
        ..settings()
    };
    world.fires("checkout", &[&sick_target, &well_target]).await;
    retire_slos(&world).await;
    assert_eq!(both_look(&world, &settings).await, (0, 0));
    fails(&mut world, &sick_target).await;
    assert_eq!(world.deliver(&well_target).await.attempts, [Delivered]);

    let key = "throughline/target/sick/failing";
    assert_eq!(both_look(&world, &settings).await, (1, 0));
    assert_eq!(both_look(&world, &settings).await, (0, 0));
    assert_eq!(world.deliver(&platform_target).await.attempts, [Delivered]);
    assert_eq!(titles(&platform), [told("opened", key)]);

    world.advance(300);
    assert_eq!(world.deliver(&sick_target).await.attempts, [Delivered]);
    for _ in 0..2 {
        assert_eq!(both_look(&world, &settings).await, (0, 0));
        world.advance(59);
    }
    world.advance(2);
    assert_eq!(both_look(&world, &settings).await, (0, 1));
    assert_eq!(world.deliver(&platform_target).await.attempts, [Delivered]);
    assert_eq!(
        titles(&platform),
        [told("opened", key), told("resolved", key)]
    );
}

#[tokio::test]
async fn counts_that_cannot_be_true_are_told_of() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let platform = world.declare_webhook("platform", &receiver.url);
    let settings = WatchSettings {
        platform_target: Some(platform.clone()),
        ..settings()
    };
    world.fires("checkout", &[]).await;
    let mut looks = Vec::new();
    for secs in [0, 60] {
        world.advance(secs);
        evaluated_on_less_than_nothing(&world).await;
        looks.push(both_look(&world, &settings).await);
    }
    assert_eq!(looks, [(0, 0), (1, 0)]);
    assert_eq!(world.deliver(&platform).await.attempts, [Delivered]);
    assert_eq!(
        titles(&receiver),
        [told("opened", "throughline/inconsistent-counts")]
    );
}

#[tokio::test]
async fn s47_definitions_that_a_replica_does_not_apply_are_told_to_the_platform_target() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let platform = world.declare_webhook("platform", &receiver.url);
    let settings = WatchSettings {
        platform_target: Some(platform.clone()),
        ..settings()
    };
    let limits = OutageLimits {
        silence: MINUTE,
        catch_up: MINUTE,
    };
    let mut looks = Vec::new();
    for (secs, problems) in [
        (0, vec!["the files declare no SLO".to_owned()]),
        (60, vec!["the files declare no SLO".to_owned()]),
        (1, Vec::new()),
        (60, Vec::new()),
    ] {
        world.advance(secs);
        let mut tx = world
            .database
            .store
            .begin("record a heartbeat")
            .await
            .unwrap();
        let replica = ReplicaId(1);
        tx.record_heartbeat(replica, world.now, &limits)
            .await
            .unwrap();
        let signs = ReplicaSigns {
            clock_offset_ms: 0,
            last_span_at: None,
            definition_problems: problems,
            definitions_hash: None,
            rejected_senders: Vec::new(),
            login_problems: Vec::new(),
            kafka_problems: Vec::new(),
            certificates_expired: Vec::new(),
            certificates_expiring: Vec::new(),
        };
        tx.note_signs(replica, &signs).await.unwrap();
        tx.commit().await.unwrap();
        looks.push(both_look(&world, &settings).await);
    }
    assert_eq!(looks, [(0, 0), (1, 0), (0, 0), (0, 1)]);
    for _ in 0..2 {
        assert_eq!(world.deliver(&platform).await.attempts, [Delivered]);
    }
    let key = "throughline/definitions-refused";
    assert_eq!(
        titles(&receiver),
        [told("opened", key), told("resolved", key)]
    );
}

async fn evaluated_on_less_than_nothing(world: &TestBench) {
    let counts = EventCounts {
        good: -1,
        ..EventCounts::ZERO
    };
    sqlx::query(
        "insert into slo_statuses (slo_id, evaluated_at, status, state)
         select id, $1, jsonb_build_object('window', $2), 'ok' from slos where declared
         on conflict (slo_id) do update set evaluated_at = excluded.evaluated_at",
    )
    .bind(world.now.to_chrono())
    .bind(serde_json::to_value(counts).unwrap())
    .execute(&mut world.database.connect().await)
    .await
    .unwrap();
}

#[tokio::test]
pub(crate) async fn t36_that_the_platform_target_fails_is_told_to_the_emergency_target_too() {
    let mut world = TestBench::create().await;
    let emergency = Receiver::start([]).await;
    let platform = world.declare_webhook("platform", NOBODY);
    let emergency_target = world.declare_webhook("emergency", &emergency.url);
    let settings = WatchSettings {
        platform_target: Some(platform.clone()),
        emergency_target: Some(emergency_target.clone()),
        ..settings()
    };
    world.fires("checkout", &[&platform]).await;
    retire_slos(&world).await;
    fails(&mut world, &platform).await;
    assert_eq!(both_look(&world, &settings).await, (1, 0));
    assert_eq!(world.deliver(&emergency_target).await.attempts, [Delivered]);
    let key = "throughline/target/platform/failing";
    assert_eq!(titles(&emergency), [told("opened", key)]);
}

#[tokio::test]
async fn a_notification_that_was_given_up_is_told_of_and_withholds_the_heartbeat_until_then() {
    let mut world = TestBench::create().await;
    let platform = Receiver::start([]).await;
    let refusing = Receiver::start([(); 9].map(|()| Reply::Status(400, String::new()))).await;
    let monitor = Receiver::start([]).await;
    let refuses = world.declare_pagerduty("refuses", &refusing.url);
    let platform_target = world.declare_webhook("platform", &platform.url);
    let monitor_target = world.declare_webhook("monitor", &monitor.url);
    let settings = WatchSettings {
        platform_target: Some(platform_target.clone()),
        heartbeat: Some(HeartbeatSettings {
            target: monitor_target.clone(),
            every: MINUTE,
        }),
        ..settings()
    };
    ingest_is_well(&world).await;
    world.fires("checkout", &[&refuses]).await;
    retire_slos(&world).await;
    assert_eq!(world.deliver(&refuses).await.dead, 1);
    let watcher = watcher(&world, &settings);
    let report = watcher.tick(world.now).await.unwrap();
    assert_eq!(report.opened, 1);
    assert!(
        matches!(&report.heartbeat, Some(HeartbeatResult::Withheld(why)) if why[0].contains("failed permanently")),
        "{report:?}"
    );
    assert_eq!(world.deliver(&platform_target).await.attempts, [Delivered]);
    world.advance(60);
    let report = watcher.tick(world.now).await.unwrap();
    assert_eq!(report.heartbeat, Some(HeartbeatResult::Sent));
    assert_eq!(world.deliver(&monitor_target).await.attempts, [Delivered]);
    assert_eq!(monitor.requests()[0].json()["type"], "slo.heartbeat");
}

/// As if every replica received.
async fn ingest_is_well(world: &TestBench) {
    let now = world.now.to_chrono();
    sqlx::query(
        "insert into ingest_watermark (complete_until, heartbeat_at, catch_up_until) values ($1, $1, $1)",
    )
    .bind(now)
    .execute(&mut world.database.connect().await)
    .await
    .unwrap();
}

/// Nobody evaluates in these tests.
async fn retire_slos(world: &TestBench) {
    world.execute("update slos set declared = false").await;
}

#[tokio::test]
async fn one_heartbeat_is_sent_in_an_interval_however_many_replicas_there_are() {
    let mut world = TestBench::create().await;
    let monitor = Receiver::start([]).await;
    let target = world.declare_webhook("monitor", &monitor.url);
    let settings = WatchSettings {
        heartbeat: Some(HeartbeatSettings {
            target: target.clone(),
            every: MINUTE,
        }),
        ..settings()
    };
    ingest_is_well(&world).await;
    for _ in 0..4 {
        both_look(&world, &settings).await;
        world.deliver(&target).await;
        world.advance(30);
    }
    assert_eq!(monitor.requests().len(), 2);
}

#[tokio::test]
async fn a_heartbeat_by_get_has_no_body_and_other_messages_have_theirs() {
    let mut world = TestBench::with(DeliverSettings {
        heartbeat_method: HeartbeatMethod::Get,
        ..DeliverSettings::default()
    })
    .await;
    let monitor = Receiver::start([]).await;
    let target = world.declare_webhook("monitor", &format!("{}/ping/1", monitor.url));
    let settings = WatchSettings {
        heartbeat: Some(HeartbeatSettings {
            target: target.clone(),
            every: MINUTE,
        }),
        ..settings()
    };
    ingest_is_well(&world).await;
    both_look(&world, &settings).await;
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    world.fires("checkout", &[&target]).await;
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    let [beat, alert] = &monitor.requests()[..] else {
        panic!("two requests");
    };
    assert_eq!((&*beat.method, &*beat.path), ("GET", "/ping/1"));
    assert!(beat.body.is_empty() && !beat.headers.contains_key("content-type"));
    assert_eq!(
        (&*alert.method, alert.json()["type"].as_str()),
        ("POST", Some("slo.alert.firing"))
    );
}

#[tokio::test]
async fn a_heartbeat_that_nobody_takes_is_worth_nothing_once_the_next_is_due() {
    let mut world = TestBench::create().await;
    let monitor = Receiver::start([Reply::Status(503, String::new())]).await;
    let target = world.declare_webhook("monitor", &monitor.url);
    let settings = WatchSettings {
        heartbeat: Some(HeartbeatSettings {
            target: target.clone(),
            every: MINUTE,
        }),
        ..settings()
    };
    ingest_is_well(&world).await;
    both_look(&world, &settings).await;
    assert_eq!(world.deliver(&target).await.attempts, [Unavailable]);
    world.advance(60);
    both_look(&world, &settings).await;
    assert_eq!(world.deliver(&target).await.attempts, [Delivered]);
    assert_eq!(world.deliver(&target).await.attempts, []);
    let ids: Vec<_> = monitor
        .requests()
        .iter()
        .map(|one| one.headers["webhook-id"].clone())
        .collect();
    assert_ne!(ids[0], ids[1], "the second is another one");
}

fn emergency(world: &TestBench, target: &Name) -> Emergency {
    let settings = EmergencySettings {
        target: target.clone(),
        after: MINUTE,
        service: "slo.example.com".to_owned(),
    };
    let store = world.database.store.clone();
    Emergency::new(store, world.catalog(), settings, &deliver_settings()).unwrap()
}

/// What the service needs to write is taken away from it.
async fn goes_away(world: &TestBench) {
    world
        .execute("alter table service_state rename to away")
        .await;
}

async fn comes_back(world: &TestBench) {
    world
        .execute("alter table away rename to service_state")
        .await;
}

#[tokio::test]
pub(crate) async fn t11_every_replica_tells_of_an_outage_under_one_id_without_a_secret_to_read() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([Reply::Status(500, String::new())]).await;
    let target = world.declare_webhook("emergency", &receiver.url);
    world.sends_without_outbox(&target);
    let replicas = [emergency(&world, &target), emergency(&world, &target)];
    for replica in &replicas {
        assert!(replica.tick(world.now).await.database_answers);
    }
    goes_away(&world).await;
    world.forget_secrets();
    world.advance(59);
    for replica in &replicas {
        let look = replica.tick(world.now).await;
        assert_eq!((look.database_answers, look.attempt), (false, None));
    }
    world.advance(1);
    assert_eq!(replicas[0].tick(world.now).await.attempt, Some(Unavailable));
    for replica in &replicas {
        assert_eq!(replica.tick(world.now).await.attempt, Some(Delivered));
        assert_eq!(replica.tick(world.now).await.attempt, None);
    }
    world.advance(300);
    assert_eq!(replicas[0].tick(world.now).await.attempt, Some(Delivered));
    comes_back(&world).await;
    for replica in &replicas {
        assert_eq!(replica.tick(world.now).await.attempt, Some(Delivered));
        assert_eq!(replica.tick(world.now).await.attempt, None);
    }
    let said = receiver.requests();
    let ids: Vec<_> = said
        .iter()
        .map(|one| one.headers["webhook-id"].clone())
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert!(ids[..4].iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(ids[4], ids[5]);
    assert_ne!(ids[3], ids[4]);
    let body = said[1].json();
    assert_eq!(body["data"]["key"], "throughline/slo.example.com/blind");
    assert_eq!(body["type"], "slo.self_check.opened");
    assert_eq!(said[5].json()["type"], "slo.self_check.resolved");
    assert!(
        body["data"]["summary"]
            .as_str()
            .unwrap()
            .ends_with("; no alert was firing")
    );
    let outages: i64 = sqlx::query_scalar("select database_outages from service_state")
        .fetch_one(&mut world.database.connect().await)
        .await
        .unwrap();
    assert_eq!(outages, 1, "the next outage has another id");
}

#[tokio::test]
async fn an_emergency_that_nobody_hears_is_told_again_at_the_next_look() {
    let mut world = TestBench::create().await;
    let target = world.declare_webhook("emergency", NOBODY);
    let replica = emergency(&world, &target);
    let start: Timestamp = world.now;
    replica.tick(start).await;
    goes_away(&world).await;
    for _ in 0..2 {
        world.advance(60);
        assert_eq!(replica.tick(world.now).await.attempt, Some(Connect));
    }
}
