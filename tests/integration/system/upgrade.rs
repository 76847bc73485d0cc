//! Two versions on one database: today's program, and the migrations of a next version.
//!
//! There is no release yet, so nothing else than today's program can be run. What the next version
//! would change is made up: a column more in every table, and a new table.

use std::{fs, path::Path, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{Connection as _, migrate::Migrator};
use throughline::domain::model::counts::EventCounts;

use super::{machine::traces, orders_with_a_hook};
use crate::support::{
    database::TestDatabase,
    receiver::Receiver,
    service::{Service, Site, program},
    workload::{Delivery, Workload, now, send},
};

const TABLES: &str = "
    select c.relname::text from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and not c.relispartition and c.relname !~ '^(_sqlx_migrations|schema_compatibility)$'
    order by 1";

/// Migrates as a next version does that has one more migration for each table.
async fn expand(database: &TestDatabase) {
    let mut connection = database.connect().await;
    let tables: Vec<String> = sqlx::query_scalar(TABLES)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(tables.len() > 30, "{tables:?}");
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for file in fs::read_dir(own).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        let name = file.file_name().into_string().unwrap();
        last = last.max(name[..4].parse().unwrap());
    }
    let changes = tables.iter().map(|table| {
        format!("alter table {table} add column of_the_next_version integer default 7;")
    });
    let new = "create table of_the_next_version (id bigint primary key);".to_owned();
    for (version, change) in (last + 1..).zip(changes.chain([new])) {
        let says = format!("insert into schema_compatibility values ({version}, {last});");
        let file = folder.path().join(format!("{version:04}_expand.sql"));
        fs::write(file, format!("{change}\n{says}\n")).unwrap();
    }
    let mut next = Migrator::new(folder.path()).await.unwrap();
    next.set_locking(false);
    next.run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn stop(service: Service) {
    service.signal(Signal::SIGTERM);
    let (status, said) = service.ended().await;
    assert!(status.success(), "{said}");
}

fn good(events: EventCounts, good: i64) -> EventCounts {
    EventCounts {
        good: events.good + good,
        ..events
    }
}

/// What `throughline doctor` says of the schema.
fn schema(database: &TestDatabase, site: &Site) -> Value {
    let url = sqlx::ConnectOptions::to_url_lossy(&database.options);
    let output = program()
        .args(["doctor", "-o", "json", "--database-url", url.as_str()])
        .args(["--definitions", &site.definitions_folder()])
        .output()
        .expect("the program starts");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut checks = found["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["check"] == "database schema");
    check.expect("the check").clone()
}

#[tokio::test]
async fn two_versions_are_one_service_and_the_older_one_can_be_started_again() {
    let database = TestDatabase::create().await;
    database.make_old("orders").await;
    let hook = Receiver::start([]).await;
    let site = || {
        Site::on(&database, &orders_with_a_hook())
            .flag("--evaluation-interval", "500ms")
            .variable("HOOK_URL", &hook.url)
            .variable("HOOK_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    };
    let (first, second) = (site(), site());
    let (running, restarted) = tokio::join!(first.start(), second.start());
    let at = now();
    let ended = at + Duration::from_secs(1);
    let before = traces(20);
    send(&restarted.api, "order placed", &before, at).await;

    expand(&database).await;
    let later = traces(20);
    send(&running.api, "order placed", &later, at).await;
    stop(restarted).await;
    let restarted = second.start().await;
    assert!(
        restarted
            .said()
            .contains("of a newer version, which this one can use"),
        "{}",
        restarted.said()
    );
    send(&running.api, "order confirmed", &before, ended).await;
    send(&restarted.api, "order confirmed", &later, ended).await;
    let workload = Workload::of(600, 5);
    Delivery::start(&workload, &[&running.api.http, &restarted.api.http])
        .finish()
        .await;
    let expected = good(workload.expected, 40);
    running.api.counts_become("orders", expected).await;
    hook.wait_for(1).await;

    // Back to the older version alone, with what the newer one has left.
    let unfinished = traces(20);
    send(&restarted.api, "order placed", &unfinished, at).await;
    stop(running).await;
    stop(restarted).await;
    let restarted = first.start().await;
    send(&restarted.api, "order confirmed", &unfinished, ended).await;
    // Once more all that was sent before.
    Delivery::start(&workload, &[&restarted.api.http])
        .finish()
        .await;
    let expected = good(expected, 20);
    restarted.api.counts_become("orders", expected).await;
    for name in ["evaluate", "deliver"] {
        restarted.api.has_ticked(name).await;
    }
    assert_eq!(restarted.api.counts("orders").await, expected);
    assert_eq!(hook.requests().len(), 1, "one page");
    let found = schema(&database, &first);
    assert_eq!(found["result"], "ok", "{found}");
    assert!(found["text"].as_str().unwrap().contains("newer"), "{found}");
}
