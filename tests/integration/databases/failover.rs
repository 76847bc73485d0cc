//! The primary dies under load, and its standby is promoted.

use sqlx::{ConnectOptions as _, PgConnection};
use throughline::{domain::model::counts::EventCounts, store::Store};

use crate::{
    kafka::{self, catch_up::message, has_read},
    support::{
        api::until,
        app::good,
        cluster::{Cluster, Replication},
        receiver::Receiver,
        service::{Service, Site},
        workload::{Delivery, Workload, now, send},
    },
    system::restore::{definitions, traces},
};

const SLOS: [&str; 3] = ["orders", "stalled", "healthy"];
const IN_FLIGHT: usize = 60;
const IN_FLIGHT_EVENTS: i64 = 60;

/// A service that knows both servers, and whoever it pages.
struct TestBench {
    cluster: Cluster,
    site: Site,
    pager: Receiver,
    _tickets: Receiver,
}

impl TestBench {
    /// The SLOs had their first events half an hour ago.
    async fn new(replication: Replication) -> Self {
        let cluster = Cluster::start(replication).await;
        let store = Store::at(&cluster.url(), 4).unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        let mut connection = cluster.options().connect().await.unwrap();
        for slo in SLOS {
            make_old(&mut connection, slo).await;
        }
        let (pager, tickets) = (Receiver::start([]).await, Receiver::start([]).await);
        let site = Site::new(&definitions())
            .variable("DATABASE_URL", &cluster.url())
            .variable("PAGER_URL", &pager.url)
            .variable("TICKETS_URL", &tickets.url);
        Self {
            cluster,
            site,
            pager,
            _tickets: tickets,
        }
    }

    /// Spans come from there as well.
    fn reading(mut self, log: &kafka::Cluster) -> Self {
        self.site = self.site.flag("--kafka-brokers", &log.brokers);
        self
    }

    async fn fail_over(&mut self) {
        self.cluster.kill_primary();
        self.cluster.promote().await;
    }

    async fn has_paged(&self) {
        until("the page", async || (self.pages() > 0).then_some(())).await;
    }

    fn pages(&self) -> usize {
        self.pager.requests().len()
    }
}

async fn make_old(connection: &mut PgConnection, slo: &str) {
    sqlx::query(
        "insert into slos (name, first_event_at, has_ended)
         values ($1, clock_timestamp() - interval '30 minutes', true)",
    )
    .bind(slo)
    .execute(connection)
    .await
    .unwrap();
}

fn assert_takes_it_for_the_same_database(service: &Service) {
    let said = service.said();
    assert!(!said.contains("was restored from a backup"), "{said}");
    assert!(!said.contains("lacks committed data"), "{said}");
}

#[tokio::test]
async fn a_promoted_synchronous_standby_has_all_that_senders_were_told_is_stored() {
    let mut world = TestBench::new(Replication::Synchronous).await;
    let service = world.site.start().await;
    send(&service.api, "stalled begun", &traces(60), now()).await;
    world.has_paged().await;
    let workload = Workload::of(1_500, 7);
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    load.has_taken(workload.requests.len() / 4).await;
    world.fail_over().await;
    load.finish().await;
    service.api.counts_become("orders", workload.expected).await;
    assert!(load.unavailable() > 0, "nothing was sent meanwhile");
    Delivery::start(&workload, &[&service.api.http])
        .finish()
        .await;
    assert_eq!(service.api.counts("orders").await, workload.expected);
    service.api.has_ticked("evaluate").await;
    assert_eq!(world.pages(), 1, "nobody is paged twice");
    assert_takes_it_for_the_same_database(&service);
    // A start on the promoted server is like any other.
    service.kill();
    let again = world.site.start().await;
    again.api.counts_become("orders", workload.expected).await;
    assert_takes_it_for_the_same_database(&again);
}

#[tokio::test]
async fn what_waits_times_out_though_the_service_died_with_the_primary_of_a_synchronous_standby() {
    let mut world = TestBench::new(Replication::Synchronous).await;
    let service = world.site.start().await;
    service.api.has_ticked("heartbeat").await;
    send(&service.api, "healthy begun", &traces(IN_FLIGHT), now()).await;
    service.kill();
    world.fail_over().await;
    let service = world.site.start().await;
    let expected = EventCounts {
        timeout: IN_FLIGHT_EVENTS,
        ..EventCounts::ZERO
    };
    service.api.counts_become("healthy", expected).await;
    assert_takes_it_for_the_same_database(&service);
}

#[tokio::test]
async fn what_an_asynchronous_standby_lacks_is_evidence_lost_and_pages_nobody() {
    let mut world = TestBench::new(Replication::Asynchronous).await;
    let service = world.site.start().await;
    let in_flight = traces(IN_FLIGHT);
    send(&service.api, "healthy begun", &in_flight, now()).await;
    service.api.has_ticked("heartbeat").await;
    world.cluster.cut_off().await;
    // The sender takes these for stored, and the standby never gets them.
    let ended_at = now();
    send(&service.api, "healthy done", &in_flight, ended_at).await;
    service
        .api
        .counts_become("healthy", good(IN_FLIGHT_EVENTS))
        .await;
    service.api.has_ticked("heartbeat").await;
    world.fail_over().await;
    let counts = until("the deadline of what was in flight", async || {
        // Meanwhile the database may not answer.
        let view = service.api.json("/api/v1/slos/healthy").await;
        let counts: EventCounts = serde_json::from_value(view["counts"].clone()).ok()?;
        (counts.evidence_lost == IN_FLIGHT_EVENTS).then_some(counts)
    });
    assert_eq!(counts.await.bad(), 0);
    let said = service.said();
    assert!(said.contains("lacks committed data"), "{said}");
    service.api.has_ticked("evaluate").await;
    assert_eq!(world.pages(), 0);
    // Sent again, they complete the counts.
    send(&service.api, "healthy done", &in_flight, ended_at).await;
    service
        .api
        .counts_become("healthy", good(IN_FLIGHT_EVENTS))
        .await;
}

/// A service that has read the starts from the standby's past, and the ends only the primary has.
async fn reads_ends_that_the_standby_lacks(world: &TestBench, log: &kafka::SpanLog) -> Service {
    let service = world.site.start().await;
    let in_flight = traces(IN_FLIGHT);
    log.write(&[message("healthy begun", &in_flight, now())])
        .await;
    has_read(&service.api, 1).await;
    for name in ["kafka", "heartbeat"] {
        service.api.has_ticked(name).await;
    }
    world.cluster.cut_off().await;
    log.write(&[message("healthy done", &in_flight, now())])
        .await;
    let all = good(IN_FLIGHT_EVENTS);
    service.api.counts_become("healthy", all).await;
    for name in ["kafka", "heartbeat"] {
        service.api.has_ticked(name).await;
    }
    service
}

#[tokio::test]
async fn a_replica_that_starts_on_a_promoted_standby_reads_again_what_that_lacks_of_a_topic() {
    let log = kafka::Cluster::new(1);
    let mut world = TestBench::new(Replication::Asynchronous)
        .await
        .reading(&log);
    let service = reads_ends_that_the_standby_lacks(&world, &log).await;
    service.kill();
    world.fail_over().await;
    let service = world.site.start().await;
    let all = good(IN_FLIGHT_EVENTS);
    service.api.counts_become("healthy", all).await;
    assert_eq!(world.pages(), 0);
}

#[tokio::test]
async fn a_replica_that_keeps_running_reads_again_what_a_promoted_standby_lacks_of_a_topic() {
    let log = kafka::Cluster::new(1);
    let mut world = TestBench::new(Replication::Asynchronous)
        .await
        .reading(&log);
    let service = reads_ends_that_the_standby_lacks(&world, &log).await;
    world.fail_over().await;
    until("a word that it is read again", async || {
        let said = service.said();
        said.contains("these partitions are read again")
            .then_some(())
    })
    .await;
    let all = good(IN_FLIGHT_EVENTS);
    service.api.counts_become("healthy", all).await;
    // It reads on as ever.
    let later = traces(IN_FLIGHT);
    log.write(&[
        message("healthy begun", &later, now()),
        message("healthy done", &later, now()),
    ])
    .await;
    let all = good(2 * IN_FLIGHT_EVENTS);
    service.api.counts_become("healthy", all).await;
    assert_eq!(world.pages(), 0);
}
