//! What a service says that cannot start, and what it waits for.

use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use throughline::domain::health::CleanUp;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::{
    api::until,
    database::TestDatabase,
    link::Link,
    service::{Site, postmaster},
    workload::ORDERS,
};

/// Waits for the end of a service that fails, and returns its last line.
async fn failure(site: &Site) -> String {
    let (status, said) = site.spawn().ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said.lines().last().expect("a last word").to_owned()
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let site = Site::embedded(ORDERS);
    let _taken = TcpListener::bind(site.pages_address()).await.unwrap();
    let address = site.pages_address();
    let said = failure(&site).await;
    let expected =
        format!("error: cannot listen on `{address}`: choose another address with `--listen`");
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(postmaster(&site.data()), None, "its server was stopped");
}

/// Nobody listens on port 1 (tcpmux, long out of use).
const NOBODY: &str = "postgres://shop:hunter2@127.0.0.1:1/shop";

#[tokio::test]
async fn a_database_that_does_not_answer_is_named_without_its_password() {
    let site = Site::new(ORDERS)
        .variable("DATABASE_URL", NOBODY)
        .flag("--database-startup-timeout", "100ms");
    let (status, said) = site.spawn().ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("error: the database `127.0.0.1:1/shop` does not answer: start it, or "),
        "{last}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn who_waits_for_its_database_still_stops_when_told() {
    let site = Site::new(ORDERS).variable("DATABASE_URL", NOBODY);
    let service = site.spawn();
    until("a word about the database", async || {
        service
            .said()
            .contains("the database does not answer")
            .then_some(())
    })
    .await;
    service.signal(Signal::SIGTERM);
    let (status, said) = service.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn a_database_that_comes_up_later_is_waited_for() {
    let database = TestDatabase::create().await;
    let mut link = Link::to(&database);
    let site = Site::new(ORDERS).variable("DATABASE_URL", &link.url);
    let mut service = site.spawn();
    until("a word about the database", async || {
        service
            .said()
            .contains("the database does not answer")
            .then_some(())
    })
    .await;
    link.open().await;
    service.ready().await;
}

#[tokio::test]
async fn a_user_without_rights_is_told_which_it_needs() {
    let database = TestDatabase::create().await;
    let user = format!("powerless_{}", Uuid::now_v7().simple());
    let mut connection = database.connect().await;
    let create = format!("create role {user} login");
    connection.execute(AssertSqlSafe(create)).await.unwrap();
    let url = database.options.clone().username(&user).to_url_lossy();
    let site = Site::new(ORDERS).variable("DATABASE_URL", url.as_str());
    let said = failure(&site).await;
    assert!(
        said.contains("must own it, or be allowed to create in it"),
        "{said}"
    );
    assert!(said.contains("permission denied"), "{said}");
}

/// What a service says that starts on a current database after `change` was made to its migrations.
async fn refusal(change: &'static str) -> String {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    connection.execute(change).await.unwrap();
    let said = failure(&Site::on(&database, ORDERS)).await;
    said.replace(&database.store.address(), "PLACE")
}

#[tokio::test]
async fn a_database_of_another_version_is_refused_with_the_migration_that_is_unknown() {
    // The first migration of the time before the schema was written anew.
    let change = "insert into _sqlx_migrations values
        (20261122100000, 'create ledger', now(), true, '\\x00', 0)";
    assert_eq!(
        refusal(change).await,
        "error: the database `PLACE` has the schema of another version of throughline, which this \
         version cannot use or upgrade (it has migration 20261122100000, which this version does \
         not know, and which is not marked as compatible with it): start the version that made it, \
         or restore a backup of before; before the first release schemas are not upgraded: use an \
         empty database, with `--database-url` or `--data-dir`"
    );
}

#[tokio::test]
async fn a_newer_migration_is_refused_if_only_versions_after_this_one_can_use_it() {
    let change = "insert into _sqlx_migrations values (9998, 'add', now(), true, '\\x00', 0);
        insert into _sqlx_migrations values (9999, 'remove', now(), true, '\\x00', 0);
        insert into schema_compatibility values (9998, 7), (9999, 9998)";
    let said = refusal(change).await;
    assert!(
        said.contains("it has migration 9999, which this version does not know, and which is not"),
        "{said}"
    );
}

#[tokio::test]
async fn every_clean_up_comes_to_its_end() {
    let database = TestDatabase::create().await;
    let _service = Site::on(&database, ORDERS).start().await;
    let all = i64::try_from(CleanUp::ALL.len()).unwrap();
    let mut past = database.connect().await;
    until("all clean-ups", async || {
        let finished: i64 = sqlx::query_scalar("select count(*) from clean_ups")
            .fetch_one(&mut past)
            .await
            .unwrap();
        (finished == all).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_whose_migration_was_edited_is_refused_with_its_number() {
    let change = "update _sqlx_migrations set checksum = '\\x00' where version = 1";
    assert_eq!(
        refusal(change).await,
        "error: the database `PLACE` has the schema of another version of throughline, which this \
         version cannot use or upgrade (the checksum of its migration 1 differs from this \
         version's): start the version that made it, or restore a backup of before; before the \
         first release schemas are not upgraded: use an empty database, with `--database-url` or \
         `--data-dir`"
    );
}

#[tokio::test]
async fn definitions_with_errors_are_named_with_file_and_line_at_the_first_start() {
    let database = TestDatabase::create().await;
    let site = Site::on(
        &database,
        &ORDERS.replace("objective: 99.5%", "objective: 199.5%"),
    );
    let (status, said) = site.spawn().ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("orders.yaml:6:"), "{said}");
    assert!(said.contains("are refused, and there are none"), "{said}");
}

#[tokio::test]
async fn a_lease_that_a_slow_target_could_outlast_is_refused_with_its_flag() {
    let database = TestDatabase::create().await;
    let site = Site::on(&database, ORDERS).flag("--delivery-lease", "10s");
    let said = failure(&site).await;
    assert!(said.contains("`--delivery-lease`"), "{said}");
    assert!(said.contains("at least 45s"), "{said}");
}
