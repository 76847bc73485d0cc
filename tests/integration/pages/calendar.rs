//! An SLO by the month on its page: what is left of this month, and when the budget is whole again.

use std::{sync::Arc, time::Duration};

use chrono_tz::Tz;
use throughline::{
    domain::{
        model::window::{Calendar, CalendarUnit, SloWindow},
        slo::{Catalog, Slo},
    },
    evaluate::{Evaluator, EvaluatorSettings},
};

use super::{
    client::get,
    fixture,
    groups::{between, words},
    has_nothing_inline,
};

const SLO: &str = "refunds-settled";

/// The shop with one SLO by the month, evaluated anew.
async fn by_the_month() -> fixture::Shop {
    let shop = fixture::four_weeks().await;
    shop.catalog.send_modify(|catalog| {
        let mut changed: Catalog = (**catalog).clone();
        let slo: &mut Arc<Slo> = changed.slos.get_mut(&SLO.parse().unwrap()).unwrap();
        Arc::make_mut(slo).window = SloWindow::Calendar(Calendar {
            unit: CalendarUnit::Month,
            zone: Tz::Europe__London,
        });
        *catalog = Arc::new(changed);
    });
    let settings = EvaluatorSettings {
        interval: Duration::from_secs(1),
        page_base_url: None,
        platform_target: None,
    };
    let store = shop.database.store.clone();
    let evaluator = Evaluator::new(store, shop.catalog.subscribe(), settings);
    evaluator.tick(fixture::now()).await.unwrap();
    shop
}

#[tokio::test]
async fn a_page_by_the_month_says_when_the_budget_is_whole_again() {
    let shop = by_the_month().await;
    let path = format!("/slos/{SLO}");
    let page = get(&shop.router, &path).await;
    assert_eq!(page.status, 200, "{}", page.body);
    has_nothing_inline(&path, &page.body);
    let numbers = words(between(&page.body, "class=\"kpi\"", "</dl>"));
    let budget = between(&page.body, "id=\"budget\"", "</figure>");
    let sentence = regex::Regex::new("aria-label=\"(Error budget[^\"]*)\"").unwrap();
    let sentence = &sentence.captures(budget).unwrap()[1];
    let (chart, rest) = budget.split_once("<script").unwrap();
    let (_, rest) = rest.split_once("</script>").unwrap();
    let read = [numbers, sentence.to_owned(), words(chart), words(rest)];
    insta::assert_snapshot!(read.join("\n\n"));
    let overview = get(&shop.router, "/").await;
    assert!(overview.body.contains("<small>this month</small>"));
    let declared = get(&shop.router, "/definitions").await;
    assert!(declared.body.contains("calendar month, Europe/London"));
}

#[tokio::test]
async fn the_period_stands_in_the_json_twin() {
    let shop = by_the_month().await;
    let answer = get(&shop.router, &format!("/api/v1/slos/{SLO}")).await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let calendar = &json["calendar"];
    assert_eq!(calendar["unit"], "month");
    assert_eq!(calendar["time_zone"], "Europe/London");
    assert_eq!(calendar["from"], "2026-11-01T00:00:00Z");
    assert_eq!(calendar["to"], "2026-12-01T00:00:00Z");
    assert!(calendar["expected_events"].as_f64() > json["counts"]["total"].as_f64());
    let first = &json["budget_history"][0];
    assert_eq!(first["at"], "2026-11-01T00:00:00Z");
    assert_eq!(first["budget_remaining_ratio"], 1.0);
}

#[tokio::test]
async fn the_sparkline_of_the_overview_is_whole_again_with_the_month() {
    let shop = by_the_month().await;
    let answer = get(&shop.router, "/api/v1/slos").await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let days = &json["budget_remaining_by_day"][SLO];
    // Today is the 22nd, and the last but one of 29 points is its beginning.
    let at_the_end_of = |day_of_november: usize| days[6 + day_of_november].as_f64().unwrap();
    assert!(at_the_end_of(0) < 0.5, "{days}");
    assert!(at_the_end_of(1) > 0.9, "{days}");
    assert!(at_the_end_of(20) < at_the_end_of(10), "{days}");
}
