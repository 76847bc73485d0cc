//! The report of a month, of one team or of all.

use serde_json::{Value, json};

use super::{client::get, fixture};

#[tokio::test]
async fn a_report_has_every_slo_of_its_team_with_its_month() {
    let shop = fixture::four_weeks().await;
    let report = async |path: &str| get(&shop.router, path).await.json();
    let all = report("/api/v1/reports/2026-11").await;
    let payments = report("/api/v1/reports/2026-11?team=payments").await;
    assert_eq!(payments["team"], "payments");
    assert!(
        all["teams"]
            .as_array()
            .unwrap()
            .contains(&json!("payments"))
    );
    let rows = |report: &Value| report["slos"].as_array().unwrap().clone();
    let expected: Vec<Value> = rows(&all)
        .into_iter()
        .filter(|row| row["team"] == "payments")
        .collect();
    assert!(
        !expected.is_empty() && expected.len() < rows(&all).len(),
        "{all}"
    );
    assert_eq!(rows(&payments), expected);
    for row in rows(&all) {
        let slo = row["slo"].as_str().unwrap();
        let months = report(&format!("/api/v1/slos/{slo}/history?by=month")).await;
        let of_history = &months["periods"][0];
        if of_history.is_null() {
            assert_eq!(row["good"], 0, "{row}");
            continue;
        }
        for field in ["from", "good", "bad", "budget_spent_ratio", "incidents"] {
            assert_eq!(row[field], of_history[field], "{slo}: {field}");
        }
    }
}

#[tokio::test]
async fn a_report_is_a_page_a_table_for_spreadsheets_and_markdown() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/reports/2026-11?team=payments").await;
    for text in [
        "Report of 2026-11 for payments",
        "/reports/2026-10?team=payments",
        "All teams",
    ] {
        assert!(page.body.contains(text), "no `{text}` in {}", page.body);
    }
    assert!(
        !page.body.contains("/reports/2026-12"),
        "that has not begun"
    );
    let csv = get(&shop.router, "/api/v1/reports/2026-11?format=csv").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(
        csv.body.lines().count(),
        1 + fixture::SHAPES.len(),
        "{}",
        csv.body
    );
    let markdown = get(&shop.router, "/api/v1/reports/2026-11?format=markdown").await;
    assert_eq!(
        markdown.header("content-type"),
        "text/markdown; charset=utf-8"
    );
    assert!(
        markdown.body.starts_with("# Report of 2026-11\n\n"),
        "{}",
        markdown.body
    );
    let table = markdown.body.lines().filter(|line| line.starts_with("| "));
    assert_eq!(table.count(), 1 + fixture::SHAPES.len());
    let newest = get(&shop.router, "/reports").await;
    assert_eq!(
        (newest.status, newest.header("location")),
        (303, "/reports/2026-11")
    );
    for wrong in [
        "2026-13",
        "november",
        "2026-11-01",
        "26-11",
        "2026-11?format=pdf",
    ] {
        let answer = get(&shop.router, &format!("/api/v1/reports/{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
}
