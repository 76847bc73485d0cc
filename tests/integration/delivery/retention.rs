//! The end of incidents that ended long ago.

use throughline::{
    domain::{model::ids::Name, notify::delivery::AttemptClass::Delivered},
    store::Progress,
};
use uuid::Uuid;

use super::world::TestBench;
use crate::support::receiver::Receiver;

const YEAR: u64 = 365 * 86_400;

/// Of each table, how many rows belong to the episode.
async fn rows_of(world: &TestBench, episode: Uuid) -> [i64; 7] {
    let of_transitions = "(select id from alert_transitions where episode = $1)";
    let deliveries = format!("select id from deliveries where transition_id in {of_transitions}");
    let counts = [
        "alert_transitions where episode = $1".to_owned(),
        format!("deliveries where transition_id in {of_transitions}"),
        format!("delivery_attempts where delivery_id in ({deliveries})"),
        "target_references where episode = $1".to_owned(),
        "acknowledgements where episode = $1".to_owned(),
        "incident_notes where episode = $1".to_owned(),
        "incident_snapshots where episode = $1".to_owned(),
    ];
    let mut connection = world.database.connect().await;
    let mut found = [0; 7];
    for (count, table) in found.iter_mut().zip(counts) {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        *count = sqlx::query_scalar(sql)
            .bind(episode)
            .fetch_one(&mut connection)
            .await
            .unwrap();
    }
    found
}

/// What people add to the current episode.
async fn add_notes(world: &TestBench) {
    let mut connection = world.database.connect().await;
    for statement in [
        "insert into acknowledgements values ($1, now(), 'kim')",
        "insert into incident_notes (id, episode, at, text)
         values (gen_random_uuid(), $1, now(), 'restarted')",
        "insert into incident_snapshots
         values ($1, 'firing', now(), '{}'), ($1, 'resolved', now(), '{}')",
    ] {
        sqlx::query(statement)
            .bind(world.episode)
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

async fn forget(world: &TestBench) -> Progress {
    let mut tx = world.database.store.begin("forget").await.unwrap();
    let progress = tx.forget_incidents(world.now).await.unwrap();
    tx.commit().await.unwrap();
    progress
}

/// An incident of an SLO that begins and ends, of which the pager is notified both times.
async fn incident(world: &mut TestBench, slo: &str, pager: &Name) -> Uuid {
    world.episode = Uuid::now_v7();
    world.fires(slo, &[pager]).await;
    assert_eq!(world.deliver(pager).await.attempts, [Delivered]);
    add_notes(world).await;
    world.advance(60);
    world.resolves(slo, &[pager]).await;
    assert_eq!(world.deliver(pager).await.attempts, [Delivered]);
    world.advance(60);
    world.episode
}

#[tokio::test]
async fn an_incident_goes_with_all_that_belongs_to_it_once_a_later_one_has_ended() {
    let mut world = TestBench::create().await;
    let receiver = Receiver::start([]).await;
    let pager = world.declare_pagerduty("pager", &receiver.url);
    let first = incident(&mut world, "checkout", &pager).await;
    assert_eq!(rows_of(&world, first).await, [2, 2, 2, 1, 1, 1, 2]);
    world.advance(YEAR);
    assert_eq!(forget(&world).await, Progress::Done);
    // It says what the pager shows.
    assert_eq!(rows_of(&world, first).await, [2, 2, 2, 1, 1, 1, 2]);
    let second = incident(&mut world, "checkout", &pager).await;
    world.advance(YEAR);
    assert_eq!(forget(&world).await, Progress::Done);
    assert_eq!(rows_of(&world, first).await, [0; 7]);
    assert_eq!(rows_of(&world, second).await, [2, 2, 2, 1, 1, 1, 2]);
}

#[tokio::test]
async fn what_fires_and_what_is_still_to_be_sent_stays() {
    let mut world = TestBench::create().await;
    let (receiver, other) = (Receiver::start([]).await, Receiver::start([]).await);
    let pager = world.declare_pagerduty("pager", &receiver.url);
    let hook = world.declare_webhook("hook", &other.url);
    world.fires("checkout", &[&pager]).await;
    world.deliver(&pager).await;
    let firing = world.episode;

    world.episode = Uuid::now_v7();
    world.fires("search", &[&hook]).await;
    world.resolves("search", &[]).await;
    let waiting = world.episode;
    world.advance(YEAR);
    assert_eq!(forget(&world).await, Progress::Done);
    assert_eq!(rows_of(&world, firing).await[..2], [1, 1]);
    assert_eq!(rows_of(&world, waiting).await[..2], [2, 1]);
    world
        .execute(
            "update deliveries set state = 'expired', settled_at = now() where state = 'pending'",
        )
        .await;
    assert_eq!(forget(&world).await, Progress::Done);
    assert_eq!(rows_of(&world, firing).await[..2], [1, 1]);
    assert_eq!(rows_of(&world, waiting).await, [0; 7]);
}

#[tokio::test]
async fn many_incidents_go_in_steps() {
    let mut world = TestBench::create().await;
    world.fires("checkout", &[]).await;
    world
        .execute(
            "insert into alert_transitions (id, slo_id, severity, version, episode, kind, at, snapshot)
             select gen_random_uuid(), slo_id, severity, version + n, gen_random_uuid(), 'resolved',
                 at, snapshot
             from alert_transitions, generate_series(1, 501) n",
        )
        .await;
    world.advance(YEAR);
    assert_eq!(forget(&world).await, Progress::More);
    assert_eq!(forget(&world).await, Progress::Done);
    assert_eq!(rows_of(&world, world.episode).await[0], 1, "it still fires");
}
