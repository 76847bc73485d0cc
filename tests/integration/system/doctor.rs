//! What `throughline doctor` says of an installation.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, postgres::PgConnectOptions};
use uuid::Uuid;

use super::orders_with_a_hook;
use crate::support::{
    database::TestDatabase,
    receiver::Receiver,
    service::{Site, program},
    workload::{now, send},
};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

pub(crate) fn doctor(database: &PgConnectOptions, definitions: &str) -> Command {
    let mut command = program();
    command
        .env("DATABASE_URL", database.to_url_lossy().as_str())
        .env("HOOK_SECRET", SECRET)
        .args(["doctor", "-o", "json", "--definitions", definitions]);
    command
}

/// Its exit code, and the result and the text of each check.
pub(crate) fn examined(mut command: Command) -> (Option<i32>, BTreeMap<String, (String, String)>) {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains("hunter2"), "{said}");
    let view: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = view["checks"].as_array().unwrap().iter();
    let checks = checks.map(|check| {
        let result = (text(&check["result"]), text(&check["text"]));
        (text(&check["check"]), result)
    });
    (output.status.code(), checks.collect())
}

#[tokio::test]
async fn a_service_that_works_is_examined_without_a_message_to_anybody() {
    let database = TestDatabase::create().await;
    let hook = Receiver::start([]).await;
    let site = Site::on(&database, &orders_with_a_hook())
        .variable("HOOK_URL", &hook.url)
        .variable("HOOK_SECRET", SECRET);
    let service = site.start().await;
    send(&service.api, "order placed", &[rand::random()], now()).await;
    service.api.has_ticked("heartbeat").await;
    let folder = site.definitions_folder();
    let mut command = doctor(&database.options, &folder);
    command.env("HOOK_URL", &hook.url);
    let (code, checks) = examined(command);
    for check in [
        "database",
        "database version",
        "database writes",
        "database permissions",
        "database schema",
        "database autovacuum",
        "clocks",
        "service",
        "senders",
        "self-checks",
        "definitions",
        "target hook",
    ] {
        assert_eq!(checks[check].0, "ok", "{check}: {checks:?}");
    }
    assert_eq!(code, Some(0), "{checks:?}");
    assert_eq!(checks["service"].1, "1 replica runs");
    assert_eq!(hook.requests().len(), 0);
    // Without its secret the target cannot be examined.
    let (code, checks) = examined(doctor(&database.options, &folder));
    assert_eq!(checks["target hook"].0, "warn", "{checks:?}");
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_user_without_permission_and_a_schema_of_another_version_are_found() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let name = format!("doctor_{}", Uuid::now_v7().simple());
    for statement in [
        format!("create database {name}"),
        format!("create role {name} login"),
        format!("alter role {name} set statement_timeout = '5s'"),
    ] {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        connection.execute(statement).await.unwrap();
    }
    let limited = database.options.clone().database(&name).username(&name);
    let (code, checks) = examined(doctor(&limited, "slo-definitions"));
    assert_eq!(code, Some(1));
    assert_eq!(checks["database permissions"].0, "fail", "{checks:?}");
    assert_eq!(checks["database timeouts"].0, "warn", "{checks:?}");
    assert_eq!(checks["database schema"].0, "warn", "{checks:?}");

    let change = "update _sqlx_migrations set checksum = '\\x00'";
    connection.execute(change).await.unwrap();
    let (code, checks) = examined(doctor(&database.options, "slo-definitions"));
    assert_eq!(code, Some(1));
    assert_eq!(checks["database schema"].0, "fail", "{checks:?}");
}

#[test]
fn a_database_and_a_folder_that_are_not_there_are_named() {
    let url = "postgres://shop:hunter2@127.0.0.1:1/shop".parse().unwrap();
    let (code, checks) = examined(doctor(&url, "not/there"));
    assert_eq!(code, Some(1));
    let (result, text) = &checks["database"];
    assert_eq!(result, "fail");
    assert!(text.starts_with("`127.0.0.1:1/shop`: "), "{text}");
    let (result, text) = &checks["definitions"];
    assert_eq!(result, "fail");
    assert!(text.contains("not/there"), "{text}");
}
