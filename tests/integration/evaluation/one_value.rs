//! One notion has one value: what a message, the incident, the page, the API and the list of alerts say at
//! one moment is the same.

use chrono_tz::Tz;
use serde_json::Value;
use throughline::domain::{alerting::snapshot::AlertSnapshot, model::format, notify::wording};

use super::story;
use crate::support::app::{TestApp, after, good, timeouts};

/// Where the message, the page of the SLO, that of the incident and the list of alerts have each notion;
/// nowhere is empty.
const NOTIONS: [(&str, [&str; 4]); 8] = [
    ("since", ["/began_at"; 4]),
    ("fired at", ["/fired_at"; 4]),
    (
        "how fast",
        [
            "/long_window/burn_rate",
            "/leading_window/burn_rate",
            "/now/leading_window/burn_rate",
            "/rule/long/burn_rate",
        ],
    ),
    (
        "how many bad",
        [
            "/long_window/counts",
            "/leading_window/counts",
            "/now/leading_window/counts",
            "/rule/long/counts",
        ],
    ),
    (
        "how many customers",
        [
            "/customers_affected",
            "/customers_affected_last_hour",
            "/now/customers_affected_last_hour",
            "/customers_affected_last_hour",
        ],
    ),
    (
        "how many are stuck",
        ["", "/never_finished", "/now/never_finished", ""],
    ),
    (
        "budget left",
        [
            "/budget_remaining_ratio",
            "/budget_remaining_ratio",
            "/now/budget_remaining_ratio",
            "/budget_remaining_ratio",
        ],
    ),
    (
        "empty in",
        [
            "/budget_empty_in_seconds",
            "/budget_empty_in_seconds",
            "/now/budget_empty_in_seconds",
            "",
        ],
    ),
];

async fn all_agree(app: &TestApp, facts: &AlertSnapshot) {
    let mut alerts = app.api("/alerts").await;
    let places = [
        ("message", serde_json::to_value(facts).unwrap()),
        ("page", app.api("/slos/orders").await),
        (
            "incident",
            app.api(&format!("/incidents/{}", facts.episode)).await,
        ),
        ("alerts", alerts["firing"][0].take()),
    ];
    for (notion, pointers) in NOTIONS {
        let values: Vec<(&str, &Value)> = places
            .iter()
            .zip(pointers)
            .filter(|(_, pointer)| !pointer.is_empty())
            .map(|((place, of), pointer)| (*place, of.pointer(pointer).unwrap_or(&Value::Null)))
            .collect();
        let is_one = values.iter().all(|(_, value)| *value == values[0].1);
        assert!(is_one && !values[0].1.is_null(), "{notion}: {values:?}");
    }
    the_command_says_the_same(app, facts).await;
    let page = app.page("/slos/orders").await.body;
    let began = facts.began_at.unwrap();
    let since = format!(
        "since {}",
        format::moment(began, facts.evaluated_at, Tz::UTC)
    );
    assert!(page.contains(&since), "{since}");
    let of_incident = app.page(&format!("/incidents/{}", facts.episode)).await;
    assert!(of_incident.body.contains(&since), "{since}");
    let in_words = wording::since(facts).unwrap();
    assert!(
        in_words.starts_with(&format::date_time(began)),
        "{in_words}"
    );
}

async fn the_command_says_the_same(app: &TestApp, facts: &AlertSnapshot) {
    let row = app.command(["status"]).await;
    let told = [
        format::budget(facts.budget_remaining),
        format::burn_rate(facts.long.burn_rate, facts.factor),
        facts.long.bad_sentence(),
    ];
    for text in &told {
        assert!(row.contains(text), "{text}: {row}");
    }
    let overview = app.page("/").await.body;
    for text in &told[..2] {
        assert!(overview.contains(text), "{text}: {overview}");
    }
}

#[tokio::test]
async fn what_a_fast_stall_is_called_is_the_same_everywhere() {
    let app = story().await;
    app.stall().await;
    app.ticks([5, 10]).await;
    let facts = app.facts().await.remove(0);
    assert_eq!(facts.began_at, Some(after(0)));
    all_agree(&app, &facts).await;
}

/// A tenth of the budget's factor for hours: the rule of six hours fires, not that of one.
#[tokio::test]
async fn what_a_slow_burn_is_called_is_the_same_everywhere() {
    let app = story().await;
    app.fill([0, 400], timeouts(1)).await;
    for minute in (0..400).step_by(5) {
        if app.ticks([minute]).await.fired > 0 {
            let facts = app.facts().await.remove(0);
            assert_eq!(facts.rule.as_str(), "slow-burn");
            return all_agree(&app, &facts).await;
        }
    }
    panic!("nothing fired");
}

#[tokio::test]
async fn s46_two_incidents_in_a_row_share_no_bad_event() {
    let app = story().await;
    app.fill([0, 10], timeouts(10)).await;
    app.fill([10, 90], good(10)).await;
    app.fill([90, 100], timeouts(10)).await;
    app.fill([100, 190], good(10)).await;
    app.ticks(0..=190).await;
    let facts = app.facts().await;
    let ends: Vec<_> = facts
        .iter()
        .filter_map(|facts| {
            Some((
                facts.began_at?,
                facts.episode_summary.as_ref()?.counts.bad(),
            ))
        })
        .collect();
    assert_eq!(ends, [(after(0), 100), (after(90), 100)]);
}
