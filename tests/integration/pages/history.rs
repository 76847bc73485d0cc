//! The history of an SLO by day, week and month.

use std::time::Duration;

use serde_json::{Value, json};
use throughline::domain::slo::definition::DefinitionFile;

use super::{
    client::get,
    fixture::{self, Shop, now},
};
use crate::support::service::program;

const PATH: &str = "/api/v1/slos/orders-on-time/history";

async fn history(shop: &Shop, query: &str) -> Value {
    let answer = get(&shop.router, &format!("{PATH}?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.json()
}

fn sum(periods: &[Value], field: &str) -> i64 {
    let counts = periods.iter().map(|period| period[field].as_i64().unwrap());
    counts.sum()
}

#[tokio::test]
async fn a_week_and_a_month_have_the_events_of_their_days() {
    let shop = fixture::four_weeks().await;
    let days = history(&shop, "by=day").await;
    let days = days["periods"].as_array().unwrap();
    for pair in days.windows(2) {
        assert_eq!(pair[0]["from"], pair[1]["to"], "without gaps, newest first");
    }
    for (by, first) in [
        ("week", "2026-11-16T00:00:00Z"),
        ("month", "2026-11-01T00:00:00Z"),
    ] {
        let view = history(&shop, &format!("by={by}")).await;
        let newest = &view["periods"][0];
        assert_eq!((&view["by"], &newest["from"]), (&json!(by), &json!(first)));
        let own = days
            .iter()
            .filter(|day| day["from"].as_str().unwrap() >= first);
        let own: Vec<Value> = own.cloned().collect();
        let counts = ["good", "bad"].map(|field| (sum(&own, field), newest[field].as_i64()));
        for (of_days, of_period) in counts {
            assert!(of_days > 0);
            assert_eq!(Some(of_days), of_period, "{by}");
        }
    }
}

#[tokio::test]
async fn a_day_is_one_in_utc_whatever_time_zone_the_page_shows() {
    let shop = fixture::four_weeks().await;
    let rows = async |zone: &str| {
        let path = format!("/slos/orders-on-time/history?by=day&tz={zone}");
        let page = get(&shop.router, &path).await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(
            page.body.contains("A day begins at midnight UTC"),
            "{}",
            page.body
        );
        let (_, rows) = page.body.split_once("<tbody>").unwrap();
        rows.split_once("</tbody>").unwrap().0.to_owned()
    };
    let in_utc = rows("UTC").await;
    assert!(in_utc.contains("2026-11-21"), "{in_utc}");
    assert_eq!(rows("Pacific/Auckland").await, in_utc);
}

#[tokio::test]
async fn a_period_has_its_incidents_and_what_of_its_budget_was_spent() {
    let shop = fixture::four_weeks().await;
    let view = history(&shop, "").await;
    let today = &view["periods"][0];
    let number = |field: &str| today[field].as_f64().unwrap();
    let expected =
        number("bad") / (number("good") + number("bad")) / (1.0 - number("objective_ratio"));
    assert!(
        (number("budget_spent_ratio") - expected).abs() < 1e-9,
        "{today}"
    );
    let incidents = today["incidents"].as_array().unwrap();
    assert!(
        incidents.iter().any(|one| one["severity"] == "page"),
        "{today}"
    );
    let page = get(&shop.router, "/slos/orders-on-time/history?by=week").await;
    let id = incidents[0]["incident"].as_str().unwrap();
    for text in [
        "week of 2026-11-16",
        &format!("/incidents/{id}"),
        "Budget spent",
    ] {
        assert!(page.body.contains(text), "no `{text}` in {}", page.body);
    }
}

#[tokio::test]
async fn a_day_is_held_against_the_objective_of_its_time() {
    let shop = fixture::four_weeks().await;
    let files = |objective: &str| {
        let text = format!(
            "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: orders-on-time }}\nspec:\n  \
             objective: {objective}\n  window: 28d\n  indicator:\n    \
             span: {{ match: '{{ true }}', good: '{{ true }}' }}\n"
        );
        let path = "orders.yaml".to_owned();
        [DefinitionFile { path, text }]
    };
    let store = &shop.state.store;
    let mut tx = store.begin("activate definitions").await.unwrap();
    for (days, objective) in [(20, "99%"), (3, "90%")] {
        let at = now() - Duration::from_hours(24 * days);
        tx.put_definitions_in_force(&files(objective), at)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let view = history(&shop, "by=day").await;
    let of = |day: usize| {
        let period = &view["periods"][day];
        (
            period["objective_ratio"].clone(),
            period["revision"].clone(),
        )
    };
    let (old, new) = ((json!(0.99), json!(1)), (json!(0.9), json!(2)));
    assert_eq!([of(0), of(3)], [new.clone(), new]);
    assert_eq!([of(4), of(20)], [old.clone(), old]);
    assert_eq!(of(21).1, Value::Null, "nobody knows any more");
}

#[tokio::test]
async fn a_history_is_read_by_spreadsheets_and_refuses_what_it_cannot_divide_by() {
    let shop = fixture::four_weeks().await;
    let csv = get(&shop.router, &format!("{PATH}?by=month&format=csv")).await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = csv.body.lines().collect();
    assert!(lines[0].starts_with("from,to,objective_ratio,revision,good,bad"));
    assert!(lines[1].starts_with("2026-11-01T00:00:00"), "{}", csv.body);
    assert!(
        lines.iter().all(|line| line.split(',').count() == 8),
        "{}",
        csv.body
    );
    for wrong in ["by=hour", "format=pdf", "before=yesterday", "from=1"] {
        let answer = get(&shop.router, &format!("{PATH}?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    let unknown = get(&shop.router, "/api/v1/slos/nothing/history").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_whole_history_is_exported_with_one_line_for_each_period() {
    let shop = fixture::four_weeks().await;
    let url = shop.serve().await;
    let export = async |arguments: &[&str]| {
        let mut program = program();
        program
            .env("THROUGHLINE_SERVER", &url)
            .arg("export")
            .args(arguments);
        let running = tokio::task::spawn_blocking(move || program.output().unwrap());
        running.await.unwrap()
    };
    let days = export(&["events", "orders-on-time", "--format", "csv"]).await;
    assert!(days.status.success(), "{days:?}");
    let days = String::from_utf8(days.stdout).unwrap();
    let mut starts: Vec<&str> = days
        .lines()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(starts.remove(0), "from");
    assert!(
        starts.len() > 31 && starts.is_sorted_by(|one, next| one > next),
        "{days}"
    );
    let unknown = export(&["events", "nothing"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert!(said.contains("there is no SLO `nothing`"), "{said}");
    let wrong = export(&["events", "orders-on-time", "--by", "hour"]).await;
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
}
