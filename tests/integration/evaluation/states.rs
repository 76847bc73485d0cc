//! What becomes of an alert between its beginning and its end.

use throughline::domain::{
    alerting::{
        alert::{
            AlertState, AlertUpdate,
            TransitionKind::{
                DataResumed, DataStopped, Firing, Reminded, Resolved, Unmuted, Updated,
            },
        },
        incident::Acknowledgement,
        rule_status::{BurnCondition, Missing},
        snapshot::AlertSnapshot,
        suppression::Suppression,
    },
    model::time::TimeRange,
    slo::{AlertRule, Alerting, Notify, SecretRef, Severity, Slo, Target, TargetKind},
};

use super::*;

/// The same with a ticket at half the burn rate of the page, to a target of its own.
fn with_ticket() -> Slo {
    let slo = slo();
    let ticket = AlertRule {
        name: "ticket-burn".parse().unwrap(),
        severity: Severity::Ticket,
        factor: 2.8,
        ..slo.alerting.rules[0].clone()
    };
    Slo {
        alerting: Alerting {
            rules: vec![slo.alerting.rules[0].clone(), ticket],
            ..slo.alerting
        },
        notify: Notify {
            ticket: vec!["backlog".parse().unwrap()],
            ..slo.notify
        },
        ..slo
    }
}

fn pending_for(minutes: u32) -> Slo {
    let mut slo = slo();
    slo.alerting.rules.truncate(1);
    slo.alerting.rules[0].pending_for = MINUTE * minutes;
    slo
}

impl TestApp {
    async fn state(&self) -> AlertState {
        self.status().await.alerts[0].state
    }

    async fn acknowledge(&self, episode: uuid::Uuid) {
        let mut tx = self.store.begin("acknowledge").await.unwrap();
        let acknowledged = Acknowledgement {
            at: after(490),
            by: None,
        };
        assert!(tx.acknowledge(episode, &acknowledged).await.unwrap());
        tx.commit().await.unwrap();
    }

    async fn last_facts(&self) -> AlertSnapshot {
        self.facts().await.pop().unwrap()
    }

    async fn suppressions(&self) -> Vec<(TransitionKind, Severity, Option<Suppression>)> {
        let mut all = self.transitions().await;
        all.sort_by_key(|one| (one.at, std::cmp::Reverse(one.facts.severity)));
        all.into_iter()
            .map(|one| (one.facts.kind, one.facts.severity, one.suppression))
            .collect()
    }
}

#[tokio::test]
pub(crate) async fn t01_events_that_stop_are_told_once_with_what_was_known_last() {
    let story = story().await;
    story.fill([0, 10], timeouts(10)).await;
    story.ticks(10..=100).await;
    assert_eq!(story.kinds().await, [Firing, DataStopped]);
    let stopped = story.last_facts().await;
    // The longest short window is half an hour, up to where all timeouts are counted one minute more;
    // five minutes more may only be late.
    assert_eq!(stopped.evaluated_at, after(46));
    assert_eq!(
        stopped.development,
        Some(AlertUpdate::DataStopped {
            heard_until: Some(after(10)),
            missing: Missing::Events
        })
    );
    assert_eq!(
        (stopped.long.counts.bad(), stopped.fired_at),
        (100, Some(after(10)))
    );
    let progress = story.status().await.alerts[0].progress;
    assert_eq!(progress.data_stale_since, Some(after(41)));
    story.fill([100, 200], good(10)).await;
    story.ticks(101..=102).await;
    assert_eq!(story.kinds().await, [Firing, DataStopped, DataResumed]);
    story.ticks(103..=140).await;
    assert_eq!(story.kinds().await.last(), Some(&Resolved));
    assert_eq!(
        story.deliveries().await.len(),
        8,
        "both targets hear of all"
    );
}

#[tokio::test]
pub(crate) async fn t01_an_idle_service_at_night_tells_nobody() {
    let story = story().await;
    story.ticks(10..=200).await;
    assert!(story.facts().await.is_empty());
}

#[tokio::test]
pub(crate) async fn t03_a_rule_with_a_wait_fires_after_so_much_evaluated_time() {
    let story = story().await;
    story.define([pending_for(5)]).await;
    story.fill([0, 60], timeouts(10)).await;
    story.ticks([10, 11, 12]).await;
    assert_eq!(story.state().await, AlertState::Pending);
    assert_eq!(story.status().await.state, SloState::Rising);
    // Nobody looks for half an hour, which is neither counted nor forgotten.
    for minute in 42..=45 {
        story.tick_at(minute).await;
        assert_eq!(story.state().await, AlertState::Pending, "{minute}");
    }
    story.tick_at(46).await;
    assert_eq!(story.facts().await[0].fired_at, Some(after(46)));
}

#[tokio::test]
pub(crate) async fn t03_after_a_pause_the_second_good_tick_is_the_first_to_change_anything() {
    let story = story().await;
    story.ticks([0]).await;
    story.fill([0, 100], timeouts(10)).await;
    assert_eq!(story.tick_at(60).await.fired, 0);
    assert_eq!(story.tick_at(61).await.fired, 0);
    assert_eq!(story.tick_at(62).await.fired, 1);
}

#[tokio::test]
pub(crate) async fn t04_a_tick_before_the_last_one_changes_nothing_and_is_counted() {
    let mut story = story().await;
    story.stall().await;
    story.ticks([10]).await;
    story.restart_with(|settings| settings.evaluator.interval = Duration::ZERO);
    let report = story.tick_at(2).await;
    assert_eq!((report.clock_went_back, report.resolved), (1, 0));
    assert_eq!(story.state().await, AlertState::Firing);
    let report = story.tick_at(3).await;
    assert_eq!(report.clock_went_back, 0, "it goes on from there");
}

#[tokio::test]
pub(crate) async fn t05_a_flap_within_the_wait_is_counted_and_told_at_the_end() {
    let story = story().await;
    story.define([pending_for(0)]).await;
    story.fill([0, 10], timeouts(10)).await;
    story.fill([10, 18], good(10)).await;
    story.fill([18, 24], timeouts(10)).await;
    story.fill([24, 90], good(10)).await;
    story.ticks(10..=80).await;
    let told = story.facts().await;
    let kinds: Vec<_> = told.iter().map(|facts| facts.kind).collect();
    assert_eq!(kinds, [Firing, Resolved]);
    assert_eq!(told[1].episode_summary.as_ref().unwrap().flaps, 1);
}

#[tokio::test]
pub(crate) async fn t05_what_fires_again_within_half_an_hour_says_which_time_today_it_is() {
    let story = story().await;
    story.define([pending_for(0)]).await;
    for begin in [0, 30, 60] {
        story.fill([begin, begin + 10], timeouts(10)).await;
        story.fill([begin + 10, begin + 30], good(10)).await;
    }
    story.ticks(8..=90).await;
    let told = story.facts().await;
    let firing = told.iter().filter(|facts| facts.kind == Firing);
    let times: Vec<_> = firing.map(|facts| facts.nth_today).collect();
    assert_eq!(times, [None, Some(2), Some(3)]);
}

#[tokio::test]
pub(crate) async fn t06_too_few_events_to_tell_are_shown_as_that_and_page_nobody() {
    let story = story().await;
    story.execute("truncate event_counts").await;
    story.fill([0, 10], good(1)).await;
    story.fill([6, 10], timeouts(1)).await;
    assert_eq!(story.ticks([10]).await.fired, 0);
    assert_eq!(
        story.status().await.rules[0].condition,
        BurnCondition::TooFew
    );
    story.fill([10, 11], timeouts(1)).await;
    assert_eq!(story.ticks([11]).await.fired, 1);
}

#[tokio::test]
pub(crate) async fn t07_an_edit_keeps_an_alert_firing_and_a_removed_target_hears_of_the_end() {
    let story = story().await;
    story.stall().await;
    story.ticks([10]).await;
    let mut edited = slo();
    edited.display_name = "Orders arrive".to_owned();
    edited.objective = "98%".parse().unwrap();
    edited.notify.page = vec!["deploy-slack".parse().unwrap(), "new".parse().unwrap()];
    story.define([edited]).await;
    let report = story.ticks(11..=60).await;
    assert_eq!((report.fired, report.resolved), (0, 1));
    let told = story.facts().await;
    assert_eq!(told[1].display_name, "Orders arrive");
    assert_eq!(told[1].episode, told[0].episode);
    assert_eq!(
        story.deliveries().await[2..],
        [
            "deploy-slack resolved slo/orders/page 0",
            "oncall resolved slo/orders/page 0"
        ],
        "who has an open page hears of its end, and nobody else"
    );
}

#[tokio::test]
pub(crate) async fn t07_a_renamed_slo_ends_under_its_old_name_and_begins_anew_under_the_other() {
    let story = story().await;
    story.stall().await;
    story.ticks([10]).await;
    let renamed = Slo {
        name: "deliveries".parse().unwrap(),
        ..slo()
    };
    story.define([renamed]).await;
    let other = story.id("deliveries");
    let history = TimeRange::ending_at(after(0), HOUR * 48);
    story.fill_range(other, history, good(10)).await;
    let stalled = TimeRange::new(after(0), after(10));
    story.fill_range(other, stalled, timeouts(10)).await;
    let report = story.ticks([11]).await;
    assert_eq!((report.fired, report.resolved), (1, 1));
    let resolved = story.last_facts().await;
    assert_eq!((resolved.kind, resolved.slo.as_str()), (Resolved, "orders"));
    let deliveries = story.deliveries().await;
    assert!(deliveries.contains(&"oncall firing slo/deliveries/page 0".to_owned()));
}

/// A replica that has read the new files and one that has not take turns.
#[tokio::test]
pub(crate) async fn t08_a_rollout_of_new_definitions_neither_loses_nor_repeats_an_alert() {
    let story = story().await;
    story.stall().await;
    let mut edited = slo();
    edited.display_name = "Orders arrive".to_owned();
    let newer = Catalog {
        slos: [(edited.name.clone(), edited.into())].into(),
        ..Catalog::default()
    };
    let newer = ReadDefinitions::new(newer, &BTreeMap::new());
    let newer = story.replica_that_reads(newer, |_| {});
    for minute in 10..=60 {
        story.clock.set(after(minute));
        let replica = if minute % 2 == 0 { &*story } else { &newer };
        replica.evaluate().await;
    }
    assert_eq!(story.kinds().await, [Firing, Resolved]);
}

#[tokio::test]
async fn counts_that_cannot_be_true_neither_fire_nor_resolve_and_are_counted() {
    let story = story().await;
    story.stall().await;
    story.ticks([10]).await;
    story
        .execute("update event_counts set good = -1000000 where bucket >= '2026-11-22T10:10:00Z'")
        .await;
    let report = story.ticks(11..=60).await;
    assert_eq!((report.resolved, report.inconsistent_counts), (0, 50));
    assert_eq!(story.kinds().await, [Firing, DataStopped]);
    assert_eq!(
        story.last_facts().await.development,
        Some(AlertUpdate::DataStopped {
            heard_until: Some(after(11)),
            missing: Missing::ConsistentCounts
        })
    );
}

#[tokio::test]
async fn a_ticket_is_held_back_by_the_page_and_told_when_it_burns_on() {
    let story = story().await;
    story.define([with_ticket()]).await;
    story.fill([0, 10], timeouts(10)).await;
    // Far below what pages, over what is worth a ticket.
    story.fill([10, 200], good(9)).await;
    story.fill([10, 200], timeouts(1)).await;
    story.ticks(10..=60).await;
    let by_page = Some(Suppression::Inhibited { by: Severity::Page });
    let told = story.suppressions().await;
    assert_eq!(
        told[..2],
        [
            (Firing, Severity::Page, None),
            (Firing, Severity::Ticket, by_page)
        ]
    );
    assert!(told.contains(&(Resolved, Severity::Page, None)), "{told:?}");
    assert!(
        told.contains(&(Unmuted, Severity::Ticket, None)),
        "{told:?}"
    );
    let deliveries = story.deliveries().await;
    let to_backlog: Vec<_> = deliveries
        .iter()
        .filter(|one| one.starts_with("backlog"))
        .collect();
    assert_eq!(to_backlog, ["backlog unmuted slo/orders/ticket 1"]);
}

#[tokio::test]
async fn a_ticket_that_ends_with_its_page_is_told_to_nobody_and_says_why() {
    let story = story().await;
    story.define([with_ticket()]).await;
    story.stall().await;
    story.ticks(10..=60).await;
    let by_page = Some(Suppression::Inhibited { by: Severity::Page });
    assert_eq!(
        story.suppressions().await,
        [
            (Firing, Severity::Page, None),
            (Firing, Severity::Ticket, by_page),
            (Resolved, Severity::Page, None),
            (Resolved, Severity::Ticket, by_page),
        ]
    );
    let deliveries = story.deliveries().await;
    assert!(
        deliveries.iter().all(|one| !one.starts_with("backlog")),
        "{deliveries:?}"
    );
}

#[tokio::test]
async fn a_budget_that_is_spent_while_it_pages_is_told_to_those_who_were_paged() {
    let story = story().await;
    story.fill([0, 200], timeouts(10)).await;
    story.ticks(10..=100).await;
    let told = story.facts().await;
    let updates: Vec<_> = told.iter().filter(|facts| facts.kind == Updated).collect();
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].development, Some(AlertUpdate::BudgetSpent));
    assert!(updates[0].evaluated_at >= after(40));
    let deliveries = story.deliveries().await;
    assert_eq!(
        deliveries[2..],
        [
            "deploy-slack updated slo/orders/page 0",
            "oncall updated slo/orders/page 0"
        ]
    );
}

#[tokio::test]
async fn a_chat_is_reminded_of_a_page_that_nobody_acknowledges_and_a_pager_is_not() {
    let story = story().await;
    let chat = Target::new(
        "deploy-slack".parse().unwrap(),
        TargetKind::Slack {
            webhook_url: SecretRef::Env("UNUSED".to_owned()),
        },
    );
    story.declare_target(chat);
    story.fill([0, 600], timeouts(10)).await;
    story.ticks([10, 249, 260]).await;
    let told = story.facts().await;
    let kinds: Vec<_> = told.iter().map(|facts| facts.kind).collect();
    assert_eq!(kinds, [Firing, Updated], "the budget is spent by then");
    story.ticks([489]).await;
    assert_eq!(story.last_facts().await.kind, Reminded);
    let reminded: Vec<_> = story.deliveries().await.split_off(4);
    assert_eq!(reminded, ["deploy-slack reminded slo/orders/page 0"]);
    let episode = story.facts().await[0].episode;
    story.acknowledge(episode).await;
    story.ticks([600, 740]).await;
    assert_eq!(story.last_facts().await.kind, Reminded);
    assert_eq!(story.facts().await.len(), 3);
}
