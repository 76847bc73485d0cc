//! One notion has one value: what a message, the incident, the page, the API and the list of alerts say at
//! one moment is the same.

use serde_json::Value;
use throughline::domain::{alerting::snapshot::AlertSnapshot, model::format, notify::wording};

use super::story;
use crate::support::app::{TestApp, after, good, timeouts};

/// What every place says of one notion.
fn agree(notion: &str, values: &[(&str, Value)]) {
    let (_, first) = &values[0];
    for (place, value) in values {
        assert_eq!(
            value, first,
            "{notion}: {place} and {}: {values:?}",
            values[0].0
        );
        assert!(!value.is_null(), "{notion}: {place} has none");
    }
}

async fn all_agree(app: &TestApp, facts: &AlertSnapshot) {
    let message = serde_json::to_value(facts).unwrap();
    let slo = app.api("/slos/orders").await;
    let incident = app.api(&format!("/incidents/{}", facts.episode)).await;
    let alerts = app.api("/alerts").await;
    let alert = &alerts["firing"][0];
    let rules = slo["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["name"] == message["rule"]);
    let rule = rule.unwrap();

    agree(
        "since",
        &[
            ("message", message["began_at"].clone()),
            ("incident", incident["began_at"].clone()),
            ("page", slo["began_at"].clone()),
            ("alerts", alert["began_at"].clone()),
        ],
    );
    let window = |of: &Value| [of["burn_rate"].clone(), of["counts"].clone()];
    agree(
        "how fast and how many bad",
        &[
            ("message", window(&message["long_window"]).into()),
            (
                "incident",
                window(&incident["latest_alert"]["long_window"]).into(),
            ),
            ("page", window(&rule["long"]).into()),
            ("alerts", window(&alert["rule"]["long"]).into()),
        ],
    );
    agree(
        "budget left",
        &[
            ("message", message["budget_remaining_ratio"].clone()),
            ("page", slo["budget_remaining_ratio"].clone()),
            ("alerts", alert["budget_remaining_ratio"].clone()),
        ],
    );
    agree(
        "empty in",
        &[
            ("message", message["budget_empty_in_seconds"].clone()),
            ("page", slo["budget_empty_in_seconds"].clone()),
        ],
    );
    let page = app.page("/slos/orders").await.body;
    let began = facts.began_at.unwrap();
    let since = format!("since {}", format::moment(began, facts.evaluated_at));
    assert!(page.contains(&since), "{since}");
    let of_incident = app.page(&format!("/incidents/{}", facts.episode)).await;
    assert!(of_incident.body.contains(&since), "{since}");
    let in_words = wording::since(facts).unwrap();
    assert!(
        in_words.starts_with(&format::date_time(began)),
        "{in_words}"
    );
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
