//! A backup of a service under load, restored to another database.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use throughline::domain::model::counts::EventCounts;

use crate::support::{
    api::until,
    app::good,
    backup::Backup,
    database::TestDatabase,
    receiver::{Receiver, Request},
    service::{Service, Site},
    workload::{Delivery, ORDERS, Workload, now, send},
};

/// Besides the load: one SLO that pages before the backup, and one that is healthy and has workflows in
/// flight when it is taken.
pub(crate) fn definitions() -> String {
    let slo = |name: &str, within: &str| {
        format!(
            "---\napiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name} }}\nspec:\n  \
             objective: 99.5%\n  window: 30d\n  indicator:\n    workflow:\n      \
             start: '{{ name = \"{name} begun\" }}'\n      finish: '{{ name = \"{name} done\" }}'\n      \
             within: {within}\n      correlate: [trace]\n  grace: 1s\n  \
             notify: {{ page: [pager], ticket: [tickets] }}\n"
        )
    };
    let target = |name: &str, variable: &str| {
        format!(
            "---\napiVersion: throughline/v1\nkind: AlertNotificationTarget\n\
             metadata: {{ name: {name} }}\nspec: {{ webhook: {{ url: {{ env: {variable} }} }} }}\n"
        )
    };
    [
        ORDERS.trim_start().to_owned(),
        slo("stalled", "2s"),
        slo("healthy", "15s"),
        target("pager", "PAGER_URL"),
        target("tickets", "TICKETS_URL"),
    ]
    .concat()
}

/// Counts by outcome, as the rows of workflows and as the sums have them.
async fn outcomes(database: &PgConnectOptions, slo: &str) -> [BTreeMap<i16, i64>; 2] {
    let mut connection = database.connect().await.unwrap();
    let workflows: Vec<(i16, i64)> = sqlx::query_as(
        "select w.outcome, count(*) from workflows w join slos s on s.id = w.slo_id
         where s.name = $1 and w.outcome in (1, 2, 3, 4) group by 1",
    )
    .bind(slo)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let sums: Vec<(i16, i64)> = sqlx::query_as(
        "select o.outcome::smallint, o.events::bigint from (
             select sum(good) as good, sum(late) as late, sum(failed) as failed,
                 sum(timeout) as timeout
             from event_counts c join slos s on s.id = c.slo_id
             where s.name = $1 and c.resolution = 86400) c,
         lateral (values (1, good), (2, late), (3, failed), (4, timeout)) o(outcome, events)
         where o.events > 0",
    )
    .bind(slo)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    [workflows, sums].map(|rows| rows.into_iter().collect())
}

pub(crate) fn traces(count: usize) -> Vec<[u8; 16]> {
    (0..count).map(|_| rand::random()).collect()
}

fn site(database: &PgConnectOptions, pager: &Receiver, tickets: &Receiver) -> Site {
    Site::new(&definitions())
        .variable("DATABASE_URL", database.to_url_lossy().as_str())
        .variable("PAGER_URL", &pager.url)
        .variable("TICKETS_URL", &tickets.url)
}

/// The service that the backup is taken of, with an alert that fires.
async fn paging(site: &Site, pager: &Receiver) -> Service {
    let service = site.start().await;
    send(&service.api, "stalled begun", &traces(60), now()).await;
    until("the page", async || pager.requests().into_iter().next()).await;
    service
}

/// Senders that repeat what was taken and lost complete the counts, and nothing counts twice.
async fn send_again(service: &Service, workload: &Workload) {
    let mut again = Delivery::start(workload, &[&service.api.http]);
    again.finish().await;
    let expected = workload.expected;
    until("the counts", async || {
        let counts = service.api.counts("orders").await;
        let counted = EventCounts {
            timeout: counts.timeout + counts.evidence_lost,
            evidence_lost: 0,
            ..counts
        };
        (counted == expected).then_some(())
    })
    .await;
}

/// The second start on a restored database is like any other.
async fn assert_starts_without_a_restore(site: &Site, service: Service) {
    service.signal(Signal::SIGTERM);
    let (status, _) = service.ended().await;
    assert_eq!(status.code(), Some(0));
    let again = site.start().await;
    let said = again.said();
    let noticed = said.matches("was restored from a backup").count();
    assert_eq!(noticed, 1, "{said}");
}

#[tokio::test]
async fn a_backup_under_load_is_restored_without_a_false_page_or_a_second_one() {
    let database = TestDatabase::create().await;
    for slo in ["orders", "stalled", "healthy"] {
        database.make_old(slo).await;
    }
    let (pager, tickets) = (Receiver::start([]).await, Receiver::start([]).await);
    let old = site(&database.options, &pager, &tickets);
    let service = paging(&old, &pager).await;
    let workload = Workload::of(2_000, 7);
    let mut load = Delivery::start(&workload, &[&service.api.http]);
    load.has_taken(workload.requests.len() / 4).await;
    let in_flight = traces(60);
    send(&service.api, "healthy begun", &in_flight, now()).await;
    let backup = Backup::take(&database).await;
    // What the service receives after the backup is lost with its database.
    send(&service.api, "healthy done", &in_flight, now()).await;
    service.api.counts_become("healthy", good(60)).await;
    load.finish().await;
    service.kill();

    let restored = backup.restore(&database).await.options;
    let [workflows, sums] = outcomes(&restored, "orders").await;
    assert_eq!(workflows, sums, "the backup is of one moment");
    assert!(!sums.is_empty());
    let new = site(&restored, &pager, &tickets);
    let service = new.start().await;
    assert!(
        service.said().contains("was restored from a backup"),
        "{}",
        service.said()
    );
    let counts = until("the deadline of what was in flight", async || {
        let counts = service.api.counts("healthy").await;
        (counts.evidence_lost == 60).then_some(counts)
    });
    assert_eq!(counts.await.bad(), 0);
    send_again(&service, &workload).await;
    for _ in 0..3 {
        service.api.has_ticked("evaluate").await;
    }
    let sent: Vec<_> = pager.requests().iter().map(Request::json).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0]["data"]["slo"], "stalled", "{sent:?}");
    assert_starts_without_a_restore(&new, service).await;
}
