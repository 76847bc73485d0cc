//! From counts to alert states, told as stories on a real Postgres.

mod one_value;
pub(crate) mod states;
mod target_changes;
mod unchanged;
mod young;

use std::{collections::BTreeMap, time::Duration};

use throughline::{
    domain::{
        alerting::{
            alert::{AlertState, EpisodeEnd, TransitionKind},
            rule_status::BurnCondition,
            status::SloState,
        },
        slo::{Catalog, Notify, Slo},
        workflow::Outcome,
    },
    evaluate::EvaluationReport,
};

use crate::support::app::{
    BadWorkflow, HOUR, MINUTE, ORDERS, ReadDefinitions, SECOND, TestApp, after, good,
    slo as slo_of, timeouts,
};

/// With a chat that is paged as well.
fn slo() -> Slo {
    let mut slo = slo_of(ORDERS);
    slo.notify.page.push("deploy-slack".parse().unwrap());
    slo
}

/// After two days of ten good workflows a minute, on the eve of trouble.
async fn story() -> TestApp {
    let history = HOUR * 48;
    let app = TestApp::new().define(slo()).history(history, good(10));
    app.with(|settings| {
        settings.evaluator.page_base_url = Some("https://slo.example.com/".to_owned());
    })
    .await
}

#[tokio::test]
async fn a_stall_pages_in_the_first_tick_in_which_both_windows_burn() {
    let story = story().await;
    story.stall().await;
    assert_eq!(story.ticks([0, 5]).await.fired, 0);
    let status = story.status().await;
    assert_eq!(status.state, SloState::Rising);
    assert_eq!(status.rules[0].condition, BurnCondition::Rising);

    assert_eq!(story.ticks([10]).await.fired, 1);
    let status = story.status().await;
    assert_eq!(status.state, SloState::Paging);
    assert_eq!(status.alerts[0].state, AlertState::Firing);
    assert_eq!(status.alerts[0].since, after(10));
    assert_eq!(status.last_hour.bad(), 100);
    assert_eq!(
        story.deliveries().await,
        [
            "deploy-slack firing slo/orders/page 0",
            "oncall firing slo/orders/page 0"
        ]
    );
    assert_eq!(story.ticks([11, 12]).await.fired, 0);
}

#[tokio::test]
async fn what_is_told_names_the_hurt_and_the_three_worst() {
    let story = story().await;
    story.stall().await;
    for (minute, customer) in [(1, "acme"), (2, "acme"), (3, "globex"), (4, "initech")] {
        let workflow = BadWorkflow {
            label: &format!("order {minute}"),
            customer: Some(customer),
            started_at: after(minute) - MINUTE * 5,
            judged_at: after(minute),
            ended_at: (minute == 1).then(|| after(minute) + MINUTE),
            outcome: if minute == 1 {
                Outcome::Late
            } else {
                Outcome::Timeout
            },
        };
        story.add_bad(workflow).await;
    }
    story.ticks([10]).await;
    let facts = story.facts().await.remove(0);
    assert_eq!(facts.rule.as_str(), "fast-burn");
    assert_eq!((facts.long.secs, facts.short.secs), (3_600, 300));
    assert_eq!(facts.long.counts.timeout, 100);
    assert!(facts.long.burn_rate.unwrap() >= 13.44);
    assert_eq!(facts.customers_affected, Some(3));
    assert_eq!(facts.began_at, Some(after(0)));
    assert_eq!(facts.within_secs, Some(300.0));
    assert_eq!(
        facts.page_url,
        Some(format!(
            "https://slo.example.com/incidents/{}",
            facts.episode
        ))
    );
    let worst: Vec<_> = facts
        .worst
        .iter()
        .map(|worst| worst.label.as_str())
        .collect();
    assert_eq!(worst, ["order 2", "order 3", "order 4"]);
    assert_eq!(facts.worst[0].took_secs, Some(13.0 * 60.0));
    assert!(!facts.worst[0].ended);
}

#[tokio::test]
async fn an_alert_resolves_after_quiet_and_tells_what_the_episode_cost() {
    let story = story().await;
    story.stall().await;
    let first = BadWorkflow {
        label: "order 1",
        customer: Some("acme"),
        started_at: after(0) - MINUTE * 5,
        judged_at: after(0),
        ended_at: None,
        outcome: Outcome::Timeout,
    };
    story.add_bad(first).await;
    story.ticks(10..=38).await;
    assert_eq!(story.status().await.state, SloState::Paging);
    // The short window is clear at 39, and a grace later up to where all timeouts are counted.
    story.ticks(39..=43).await;
    let status = story.status().await;
    assert_eq!(status.state, SloState::Recovering);
    let recovery = status.alerts[0].progress.recovery.unwrap();
    assert_eq!(
        (recovery.since, recovery.resolves_at),
        (after(40), after(45))
    );
    assert_eq!(story.ticks(44..=60).await.resolved, 1);
    assert_eq!(story.status().await.state, SloState::Ok);

    let told = story.facts().await;
    assert_eq!(told.len(), 2);
    assert_eq!(told[1].kind, TransitionKind::Resolved);
    assert_eq!(told[1].episode, told[0].episode);
    assert!(told[1].version > told[0].version);
    let summary = told[1].episode_summary.clone().unwrap();
    assert_eq!(
        (summary.fired_at, summary.resolved_at),
        (after(10), after(45))
    );
    assert_eq!(summary.ended_by, EpisodeEnd::Recovered);
    assert_eq!((summary.counts.timeout, summary.counts.good), (100, 350));
    assert_eq!(summary.customers_affected, Some(1));
    assert!(summary.budget_spent.unwrap() > 0.3);
    assert_eq!(story.deliveries().await.len(), 4);
}

#[tokio::test]
pub(crate) async fn t03_a_restart_keeps_an_alert_firing_and_tells_nobody_again() {
    let mut story = story().await;
    story.stall().await;
    story.ticks([10]).await;
    story.restart();
    let report = story.ticks([11, 12]).await;
    assert_eq!((report.evaluated, report.fired), (2, 0));
    assert_eq!(story.status().await.alerts[0].since, after(10));
}

#[tokio::test]
pub(crate) async fn t03_time_that_nobody_evaluated_does_not_count_as_quiet() {
    let story = story().await;
    story.stall().await;
    story.ticks([10, 40]).await;
    assert_eq!(story.status().await.state, SloState::Recovering);
    for minute in 80..=85 {
        assert_eq!(story.tick_at(minute).await.resolved, 0, "{minute}");
    }
    assert_eq!(story.tick_at(86).await.resolved, 1);
}

#[tokio::test]
pub(crate) async fn t01_counts_that_may_be_incomplete_resolve_nothing() {
    let story = story().await;
    story.stall().await;
    story.ingest_ends(after(10)).await;
    assert_eq!(story.ticks(10..=60).await.resolved, 0);
    story.ingest_ends(after(120)).await;
    assert_eq!(story.ticks(61..=66).await.resolved, 1);
}

#[tokio::test]
async fn a_tick_that_cannot_read_its_counts_changes_nothing() {
    let story = story().await;
    story.stall().await;
    story.ticks([10]).await;
    story
        .execute("alter table event_counts rename to gone")
        .await;
    for minute in 11..=60 {
        assert!(story.evaluator.tick(after(minute)).await.is_err());
    }
    assert_eq!(story.status().await.evaluated_at, after(10));
    story
        .execute("alter table gone rename to event_counts")
        .await;
    assert_eq!(story.ticks([61]).await.resolved, 0);
    assert_eq!(story.status().await.state, SloState::Recovering);
}

#[tokio::test]
pub(crate) async fn t07_a_removed_slo_resolves_and_says_so_to_those_who_were_told() {
    let story = story().await;
    story.stall().await;
    story.ticks([10]).await;
    story.reads(|catalog| catalog.slos.clear());
    assert_eq!(
        story.ticks([11]).await.evaluated,
        0,
        "still declared: another replica's turn"
    );
    story.define([]).await;
    assert_eq!(story.ticks([12]).await.resolved, 1);
    let resolved = story.facts().await.remove(1);
    assert_eq!(resolved.display_name, "Orders complete");
    assert_eq!(
        resolved.episode_summary.unwrap().ended_by,
        EpisodeEnd::Undeclared
    );
    assert_eq!(
        story.deliveries().await[2..],
        [
            "deploy-slack resolved slo/orders/page 0",
            "oncall resolved slo/orders/page 0"
        ]
    );
    assert_eq!(story.ticks([13, 14]).await, EvaluationReport::default());
}

#[tokio::test]
pub(crate) async fn t07_an_alert_whose_rules_are_edited_away_resolves() {
    let story = story().await;
    story.stall().await;
    story.ticks([10]).await;
    let mut edited = slo();
    edited.alerting.rules.clear();
    edited.notify = Notify::default();
    story.define([edited]).await;
    assert_eq!(story.ticks([11]).await.resolved, 1);
    assert_eq!(story.deliveries().await.len(), 4);
    assert_eq!(story.status().await.alerts, []);
}

#[tokio::test]
pub(crate) async fn t10_two_evaluators_at_once_tell_what_one_would() {
    let story = story().await;
    story.stall().await;
    // No interval, no claim that lasts: both see every SLO in every tick.
    let [one, two] = [(); 2].map(|()| {
        story.replica_that_reads(story.definitions.clone(), |settings| {
            settings.evaluator.interval = Duration::ZERO;
        })
    });
    let (mut evaluated, mut told) = (0, 0);
    for half_minute in 20..=120 {
        story.clock.set(after(0) + SECOND * 30 * half_minute);
        let (first, second) = tokio::join!(one.evaluate(), two.evaluate());
        for report in [first, second] {
            evaluated += report.evaluated;
            told += report.fired + report.resolved;
        }
    }
    assert!(evaluated > 101, "both had work to do: {evaluated}");
    assert_eq!(told, 2);
    assert_eq!(
        story.kinds().await,
        [TransitionKind::Firing, TransitionKind::Resolved]
    );
    assert_eq!(story.deliveries().await.len(), 4);
}

#[tokio::test]
async fn open_workflows_are_counted_and_the_overdue_among_them() {
    let story = story().await;
    for minutes_before in [0, 1, 4, 5, 6] {
        story.add_open(after(10) - MINUTE * minutes_before).await;
    }
    story.ticks([10]).await;
    let status = story.status().await;
    assert_eq!((status.time_used.in_flight(), status.overdue), (5, 1));
}

#[tokio::test]
async fn p14_what_is_stuck_grows_with_a_stall_though_in_flight_does_not() {
    let story = story().await;
    story.fill([0, 90], timeouts(10)).await;
    let mut stuck = Vec::new();
    for minute in 0..=90 {
        story.tick_at(minute).await;
        let status = story.status().await;
        stuck.extend(status.in_incident.map(|counts| counts.timeout));
        assert_eq!(status.time_used.in_flight(), 0);
    }
    // The rule looks back an hour; what is stuck is all of it.
    assert_eq!(stuck.last(), Some(&900));
    assert!(stuck.is_sorted(), "{stuck:?}");
}

#[tokio::test]
async fn the_counts_around_an_incident_are_kept_when_it_begins_and_when_it_ends() {
    let story = story().await;
    story.stall().await;
    story.ticks(10..=60).await;
    let episode = story.facts().await[0].episode;
    let mut tx = story.store.begin("read pictures").await.unwrap();
    for (kind, reaches) in [
        (TransitionKind::Firing, after(10)),
        (TransitionKind::Resolved, after(44)),
    ] {
        let picture = tx.incident_snapshot(episode, kind).await.unwrap().unwrap();
        assert_eq!(picture.timeout.iter().sum::<i64>(), 100);
        assert!(picture.range().contains(after(0)) && picture.range().to >= reaches);
        let peak = picture.burn().filter_map(|(_, long, _)| long);
        assert!(peak.into_iter().any(|rate| rate >= 13.44), "{picture:?}");
    }
}

/// A fifth of all workflows never end. Each is counted three minutes after its deadline, so a window of
/// five minutes that ends now has the good ones of five minutes and the timeouts of two.
#[tokio::test]
async fn a_rule_burns_although_its_short_window_ends_before_most_timeouts_are_counted() {
    let mut orders = slo();
    orders.grace = MINUTE * 3;
    let story = TestApp::new().define(orders).history(HOUR * 48, good(10));
    let story = story.await;
    let mut fired = 0;
    for minute in 0..70 {
        story.fill([minute, minute + 1], good(8)).await;
        if let Some(due) = minute.checked_sub(3) {
            story.fill([due, due + 1], timeouts(2)).await;
        }
        fired += story.ticks([minute + 1]).await.fired;
    }
    assert_eq!(fired, 1);
    let facts = story.facts().await.remove(0);
    assert_eq!(facts.long.settled_until, facts.short.settled_until);
    let until = facts.short.settled_until.unwrap();
    assert_eq!(until, facts.evaluated_at - MINUTE * 3);
    assert_eq!(
        (facts.short.counts.timeout, facts.short.counts.good),
        (10, 40)
    );
    assert_eq!(facts.began_at, Some(after(0)));
}
