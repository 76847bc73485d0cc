//! Parquet files of `throughline export`, as a reader that is not ours has them.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use throughline::{domain::model::time::Timestamp, evaluate::index_workflows::SearchIndexer};

use super::{
    client::get,
    fixture::{self, Shop},
};
use crate::support::{installs, service::program};

async fn export(shop: &Shop, arguments: &[&str]) -> Output {
    let url = shop.serve().await;
    let mut program = program();
    program.env("THROUGHLINE_SERVER", &url).arg("export");
    program.args(arguments).args(["--format", "parquet"]);
    let running = tokio::task::spawn_blocking(move || program.output().unwrap());
    running.await.unwrap()
}

/// The types of the columns, and the rows.
async fn exported(shop: &Shop, arguments: &[&str]) -> Value {
    let output = export(shop, arguments).await;
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problem}");
    let mut reader = Command::new(installs::python("parquet"))
        .arg(installs::sources("parquet").join("read.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = reader.stdin.take().unwrap();
    input.write_all(&output.stdout).unwrap();
    drop(input);
    let read = reader.wait_with_output().unwrap();
    serde_json::from_slice(&read.stdout).unwrap()
}

async fn column_names(shop: &Shop, path: &str) -> Vec<String> {
    let csv = get(&shop.router, path).await.body;
    let head = csv.lines().next().unwrap();
    head.split(',').map(str::to_owned).collect()
}

/// The API and Python write the same time differently.
fn moment(cell: &Value) -> Option<Timestamp> {
    let text = cell.as_str()?.replace("+00:00", "Z");
    Some(Timestamp::parse_rfc3339(&text).unwrap())
}

/// Indexes the workflows of the fixture, which are written without a queue.
async fn make_findable(shop: &Shop) {
    let queued = "create table search_of_fixture partition of workflow_search for values in (1, 5);
        insert into search_queue (epochs, slo_ids, keys)
        select array_agg(epoch), array_agg(slo_id), array_agg(key) from workflows";
    let mut connection = shop.database.connect().await;
    sqlx::raw_sql(queued)
        .execute(&mut connection)
        .await
        .unwrap();
    let store = shop.database.store.clone();
    SearchIndexer { store }.tick().await.unwrap();
}

#[tokio::test]
async fn workflows_are_exported_with_times_as_times_and_nulls_as_nulls() {
    let shop = fixture::four_weeks().await;
    make_findable(&shop).await;
    let file = exported(&shop, &["workflows"]).await;
    let columns = file["columns"].as_object().unwrap();
    let names: Vec<&String> = columns.keys().collect();
    assert_eq!(
        names,
        column_names(&shop, "/api/v1/workflows?format=csv")
            .await
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(columns["started_at"], "timestamp[us, tz=UTC]");
    assert_eq!(columns["duration_seconds"], "double");
    assert_eq!(columns["customer"], "string");
    let answer = get(&shop.router, "/api/v1/workflows?limit=500")
        .await
        .json();
    let of_api = answer["workflows"].as_array().unwrap();
    let rows = file["rows"].as_array().unwrap();
    assert_eq!(rows.len(), of_api.len());
    for (row, of_api) in rows.iter().zip(of_api) {
        for name in ["slo", "key", "label", "customer", "outcome", "trace_id"] {
            assert_eq!(row[name], of_api[name], "{name}");
        }
        for name in ["started_at", "ended_at", "deadline"] {
            assert_eq!(moment(&row[name]), moment(&of_api[name]), "{name}");
        }
    }
    assert!(rows.iter().any(|row| row["ended_at"].is_null()), "{rows:?}");
    assert!(
        rows.iter().any(|row| row["ended_at"].is_string()),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_whole_history_is_exported_as_one_file() {
    let shop = fixture::four_weeks().await;
    let file = exported(&shop, &["events", "orders-on-time"]).await;
    let columns = file["columns"].as_object().unwrap();
    let path = "/api/v1/slos/orders-on-time/history?format=csv";
    assert_eq!(
        columns.keys().collect::<Vec<_>>(),
        column_names(&shop, path).await.iter().collect::<Vec<_>>()
    );
    assert_eq!(
        (
            &columns["from"],
            &columns["good"],
            &columns["objective_ratio"]
        ),
        (
            &json!("timestamp[us, tz=UTC]"),
            &json!("int64"),
            &json!("double")
        )
    );
    let rows = file["rows"].as_array().unwrap();
    assert!(rows.len() > 31, "more than one part: {}", rows.len());
    let path = "/api/v1/slos/orders-on-time/history";
    let newest = &get(&shop.router, path).await.json()["periods"][0];
    assert_eq!(moment(&rows[0]["from"]), moment(&newest["from"]));
    assert_eq!(rows[0]["good"], newest["good"]);
    let incident = newest["incidents"][0]["incident"].as_str().unwrap();
    let incidents = rows[0]["incidents"].as_str().unwrap();
    assert!(incidents.contains(incident), "{incidents}");
}

#[tokio::test]
async fn a_file_of_which_a_part_is_refused_is_no_file() {
    let shop = fixture::four_weeks().await;
    let output = export(&shop, &["events", "nothing"]).await;
    assert_eq!(output.status.code(), Some(1));
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("there is no SLO `nothing`"), "{problem}");
    assert!(!output.stdout.ends_with(b"PAR1") || output.stdout.len() <= 4);
}
