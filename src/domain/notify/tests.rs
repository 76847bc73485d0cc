//! Tests that the body for each kind of target stays within that target's limits.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::{
    RenderContext,
    channels::{pagerduty, slack, webhook},
    sample, wording,
};
use crate::domain::{
    alerting::{
        alert::EpisodeEnd,
        end_shortfall::EndShortfall,
        rule_status::WindowStatus,
        snapshot::AlertSnapshot,
        threshold::{ThresholdState, ThresholdStatus},
    },
    slo::{Limit, Severity},
};

#[test]
fn a_headline_leads_with_the_slo_then_the_place_the_people_and_the_pace() {
    assert_eq!(
        wording::headline(&sample::firing()),
        "PAGE Checkout speed: waiting in cards & co, 412 of 9,120 customers, \
         1,240 of 9,310 workflows bad (13.3 %) in 1 h, budget gone in 4 h 52 min"
    );
    let mut stuck = sample::firing();
    stuck.long.counts.timeout = 5_000;
    stuck.display_name = "Orders are confirmed within twenty seconds of payment".to_owned();
    assert_eq!(
        wording::headline(&stuck),
        "PAGE Orders are confirmed within twenty seconds of payment: stuck in cards & co, \
         412 of 9,120 customers, budget gone in 4 h 52 min",
        "what does not fit is left out whole"
    );
    assert_eq!(
        wording::headline(&sample::resolved()),
        "RESOLVED Checkout speed: 38 min, 655 customers, 2,010 workflows bad, 21 % of the budget spent, \
         burned again 2 times"
    );
}

#[test]
fn s37_a_description_says_how_many_ends_are_missing_where_they_are_sampled() {
    let mut facts = sample::firing();
    facts.long.ends_missing = Some(EndShortfall {
        arrived: 3,
        expected: 150,
    });
    let told = wording::description(&facts);
    let why = "; ends are sampled, ends missing: 3 of 150 expected have come.";
    assert!(told.ends_with(why), "{told}");
}

#[test]
fn s44_a_description_says_since_when_nothing_has_matched_a_new_finish() {
    let mut facts = sample::firing();
    facts.finish_unmatched_since = Some(facts.evaluated_at);
    let why = "Nothing has matched the new `finish` since";
    assert!(wording::description(&facts).contains(why));
    facts.long.counts.timeout = 0;
    assert!(!wording::description(&facts).contains(why));
}

#[test]
fn every_kind_of_target_is_told_which_group_it_is() {
    let facts = sample::of_group();
    assert_eq!(
        wording::headline(&facts),
        "PAGE Checkout speed, rollback, (none): waiting in cards & co, 412 of 9,120 customers, \
         budget gone in 4 h 52 min"
    );
    let slack = slack::body(&facts.clone().into(), &RenderContext::default()).to_string();
    assert!(
        slack.contains("`deployment.kind = rollback, region = (none)`"),
        "{slack}"
    );
    let event = pagerduty::body(&facts.clone().into(), &RenderContext::default(), "R0");
    assert_eq!(
        event["payload"]["custom_details"]["group"],
        "deployment.kind = rollback, region = (none)"
    );
    let hook = &webhook::body(&facts.clone().into(), &RenderContext::default())["data"];
    assert_eq!(hook["group"]["deployment.kind"], "rollback");
    assert_eq!(hook["alert_key"], event["dedup_key"]);
    let of_slo = pagerduty::body(&sample::firing().into(), &RenderContext::default(), "R0");
    assert_ne!(event["dedup_key"], of_slo["dedup_key"]);
}

#[test]
fn an_alert_whose_slo_was_removed_is_not_called_resolved() {
    let mut facts = sample::resolved();
    if let Some(episode) = &mut facts.episode_summary {
        episode.ended_by = EpisodeEnd::Undeclared;
    }
    assert_eq!(
        wording::headline(&facts),
        "SLO REMOVED Checkout speed: 38 min, 655 customers, 2,010 workflows bad, \
         21 % of the budget spent, burned again 2 times"
    );
    let slack = slack::body(&facts.clone().into(), &RenderContext::default()).to_string();
    assert!(
        slack.contains("it is unknown whether it is over"),
        "{slack}"
    );
    assert!(!slack.contains("Resolved"), "{slack}");
    let event = pagerduty::body(&facts.clone().into(), &RenderContext::default(), "R0");
    assert_eq!(event["event_action"], "resolve");
    assert_eq!(event["payload"]["custom_details"]["ended_by"], "removed");
    assert_eq!(
        webhook::body(&facts.clone().into(), &RenderContext::default())["data"]["incident_summary"]
            ["ended_by"],
        "removed"
    );
}

#[test]
fn a_burn_rate_beside_its_limit_does_not_read_as_equal_to_it() {
    assert_eq!(
        wording::burn(&sample::firing()),
        "27× over 1 h and 14.41× over 5 min, limit 14.4×"
    );
}

#[test]
fn a_rule_on_a_limit_is_told_by_where_its_number_is_and_not_as_a_burn_rate() {
    let long = sample::firing().long;
    let facts = AlertSnapshot {
        factor: 1.0,
        limit: Some(ThresholdStatus {
            name: "nearly-spent".parse().unwrap(),
            severity: Severity::Page,
            limit: Limit::BudgetSpent { over: 0.9 },
            pending_for: Duration::ZERO,
            value: Some(0.92),
            value_is_upper_bound: false,
            state: ThresholdState::Over,
            as_good: None,
            lacking: None,
            window: WindowStatus::new(long.secs, long.counts, long.burn_rate),
        }),
        ..sample::firing()
    };
    let told = "92 % of the budget spent, limit 90 %";
    assert_eq!(
        wording::headline(&facts),
        format!(
            "PAGE Checkout speed: {told}, waiting in cards & co, 412 of 9,120 customers, \
             1,240 of 9,310 workflows bad (13.3 %) in 1 h"
        )
    );
    let slack = slack::body(&facts.clone().into(), &RenderContext::default()).to_string();
    assert!(slack.contains(&format!("*Limit*\\n{told}")), "{slack}");
    let event = &pagerduty::body(&facts.clone().into(), &RenderContext::default(), "R0")["payload"];
    assert_eq!(event["class"], "slo-threshold");
    assert_eq!(event["custom_details"]["threshold_rule"], told);
    let hook = &webhook::body(&facts.clone().into(), &RenderContext::default())["data"];
    assert_eq!(hook["factor"], Value::Null);
    assert_eq!(hook["threshold_rule"]["text"], told);
    assert_eq!(hook["threshold_rule"]["threshold"]["kind"], "budget_spent");
    let json = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<AlertSnapshot>(&json).unwrap(), facts);
}

#[test]
fn slack_is_told_all_facts() {
    insta::assert_json_snapshot!(slack::body(&sample::firing().into(), &sample::every_note()));
    insta::assert_json_snapshot!(slack::body(
        &sample::resolved().into(),
        &RenderContext::default()
    ));
}

#[test]
fn pagerduty_is_told_all_facts_under_one_key() {
    insta::assert_json_snapshot!(pagerduty::body(
        &sample::firing().into(),
        &sample::every_note(),
        "R0"
    ));
    insta::assert_json_snapshot!(pagerduty::body(
        &sample::resolved().into(),
        &RenderContext::default(),
        "R0"
    ));
}

#[test]
fn a_webhook_is_told_all_facts() {
    insta::assert_json_snapshot!(webhook::body(
        &sample::firing().into(),
        &sample::every_note()
    ));
    insta::assert_json_snapshot!(webhook::body(
        &sample::resolved().into(),
        &RenderContext::default()
    ));
}

#[test]
fn t29_a_message_that_is_too_long_drops_its_examples_first() {
    let mut facts = sample::firing();
    facts.worst[0].label = "&".repeat(300);
    facts.worst[0].customer = Some("<".repeat(300));
    facts.worst = vec![facts.worst[0].clone(); 3];
    let long = |bytes| Some(format!("https://a.example/{}", "x".repeat(bytes)));
    let examples = |facts: &AlertSnapshot| {
        let text = slack::body(&facts.clone().into(), &RenderContext::default()).to_string();
        text.matches("trace 0a0a").count()
    };
    assert_eq!(examples(&facts), 3);
    (facts.page_url, facts.runbook) = (long(1_200), long(1_200));
    assert_eq!(examples(&facts), 1);
    let text = slack::body(&facts.clone().into(), &RenderContext::default()).to_string();
    assert!(text.contains("Budget left"), "what counts stays: {text}");
}

proptest! {
    #[test]
    fn t29_whatever_the_facts_a_headline_fits_a_phone(facts in sample::arbitrary()) {
        let headline = wording::headline(&facts);
        prop_assert!(headline.chars().count() <= 150, "{headline}");
        prop_assert!(!headline.chars().any(char::is_control));
    }

    #[test]
    fn t29_t30_whatever_the_facts_slack_accepts_the_message(facts in sample::arbitrary()) {
        let body = slack::body(&facts.clone().into(), &sample::every_note());
        check_slack(&body)?;
        check_slack(&slack::reply(&facts.clone().into(), &sample::every_note()))?;
        let text = slack::text_only(&facts.clone().into(), &sample::every_note()).to_string();
        prop_assert!(!has_mention(&text), "{text}");
    }

    #[test]
    fn t29_whatever_the_facts_pagerduty_accepts_the_event(facts in sample::arbitrary()) {
        let body = pagerduty::body(&facts.clone().into(), &sample::every_note(), "0123456789abcdef0123456789abcdef");
        prop_assert!(chars(&body["payload"]["summary"]) <= 1_024);
        prop_assert!(chars(&body["payload"]["summary"]) > 0);
        prop_assert!(chars(&body["dedup_key"]) <= 255);
        prop_assert!(body.to_string().len() <= 512_000);
        for link in body["links"].as_array().unwrap() {
            prop_assert!(link["href"].as_str().unwrap().starts_with("http"));
        }
        reparses(&body)?;
    }

    #[test]
    fn t29_whatever_the_facts_a_webhook_is_below_20_kb(facts in sample::arbitrary()) {
        let body = webhook::body(&facts.clone().into(), &sample::every_note());
        prop_assert!(body.to_string().len() < 20_000, "{} bytes", body.to_string().len());
        reparses(&body)?;
    }
}

/// Checks the limits of Block Kit, and our own for the whole.
fn check_slack(body: &Value) -> Result<(), TestCaseError> {
    let blocks = body["blocks"].as_array().unwrap();
    prop_assert!((1..=12).contains(&blocks.len()));
    let length = body["blocks"].to_string().chars().count();
    prop_assert!(length <= 5_500, "{length} characters of blocks");
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => prop_assert!((1..=150).contains(&chars(&block["text"]["text"]))),
            "section" => check_section(block)?,
            "actions" => check_buttons(block["elements"].as_array().unwrap())?,
            "image" => {
                prop_assert!((1..=3_000).contains(&chars(&block["image_url"])));
                prop_assert!((1..=2_000).contains(&chars(&block["alt_text"])));
            }
            "context" => prop_assert!(block["elements"].as_array().unwrap().len() <= 10),
            other => return Err(TestCaseError::fail(format!("a block of type {other}"))),
        }
    }
    let text = body.to_string();
    prop_assert!(!has_mention(&text), "{text}");
    reparses(body)
}

fn check_section(block: &Value) -> Result<(), TestCaseError> {
    if let Some(fields) = block["fields"].as_array() {
        prop_assert!((1..=10).contains(&fields.len()));
        for field in fields {
            prop_assert!((1..=2_000).contains(&chars(&field["text"])));
        }
    } else {
        let text = &block["text"]["text"];
        prop_assert!((1..=3_000).contains(&chars(text)));
        prop_assert!(
            text.as_str()
                .unwrap()
                .matches('`')
                .count()
                .is_multiple_of(2)
        );
    }
    Ok(())
}

fn check_buttons(buttons: &[Value]) -> Result<(), TestCaseError> {
    prop_assert!((1..=25).contains(&buttons.len()));
    for button in buttons {
        prop_assert!((1..=75).contains(&chars(&button["text"]["text"])));
        prop_assert!((1..=3_000).contains(&chars(&button["url"])));
    }
    Ok(())
}

/// Returns whether anything but our own dates uses Slack's angle brackets.
fn has_mention(text: &str) -> bool {
    let date = r"<!date\^-?\d+\^\{date_short_pretty\} \{time\}\|[-0-9: ]+ UTC>";
    let link = r"<https?://[!-;=?-{}~]+\|[^<>|]*>";
    let ours = regex::Regex::new(&format!("{date}|{link}")).unwrap();
    let rest = ours.replace_all(text, "").into_owned();
    ["<!", "<@", "<#", "<http"]
        .iter()
        .any(|mark| rest.contains(mark))
}

fn chars(value: &Value) -> usize {
    value.as_str().unwrap().chars().count()
}

fn reparses(body: &Value) -> Result<(), TestCaseError> {
    let again: Result<Value, _> = serde_json::from_str(&body.to_string());
    let again = again.map_err(|error| TestCaseError::fail(error.to_string()))?;
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    prop_assert_eq!(keys(&again), keys(body));
    Ok(())
}
