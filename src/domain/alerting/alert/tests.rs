//! Steps of an alert, one scenario per test.

use super::*;

pub(super) const RESOLVE_AFTER: Duration = Duration::from_mins(5);

pub(super) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_790_000_000) + Duration::from_secs(secs)
}

pub(super) fn breach() -> Signal {
    burning(&[("fast-burn", 0)])
}

/// Makes a signal of burning rules, with the seconds that each must burn.
fn burning(rules: &[(&str, u64)]) -> Signal {
    let burning = rules.iter().map(|(rule, secs)| BreachedRule {
        rule: rule.parse().unwrap(),
        pending_for: Duration::from_secs(*secs),
    });
    Signal::Breach(burning.collect())
}

/// The long window of the rule.
pub(super) const DOUBT_CLEARS_AFTER: Duration = Duration::from_hours(1);

pub(super) fn seen(secs: u64, verdict: Signal) -> Observation {
    Observation {
        at: at(secs),
        missing: verdict.missing(crate::domain::alerting::rule_status::Freshness::Fresh),
        verdict,
        continuity: Continuity::Continuous,
        impact: Impact::default(),
        muted: None,
        unacknowledged: false,
        doubt_clears_after: DOUBT_CLEARS_AFTER,
        new_episode: Uuid::from_u128(u128::from(secs) + 1),
    }
}

fn after_gap(secs: u64, verdict: Signal) -> Observation {
    Observation {
        continuity: Continuity::AfterGap,
        ..seen(secs, verdict)
    }
}

fn hurting(secs: u64, customers: i64) -> Observation {
    Observation {
        impact: Impact {
            customers,
            budget_spent: false,
        },
        ..seen(secs, breach())
    }
}

fn out_of_budget(secs: u64) -> Observation {
    Observation {
        impact: Impact {
            customers: 0,
            budget_spent: true,
        },
        ..seen(secs, breach())
    }
}

fn muted(by: Suppression, seen: Observation) -> Observation {
    Observation {
        muted: Some(by),
        ..seen
    }
}

/// Takes all steps; returns the last state and every transition.
pub(super) fn run(observations: &[Observation]) -> (Alert, Vec<Transition>) {
    let mut transitions = Vec::new();
    let alert = observations.iter().fold(Alert::new(at(0)), |alert, seen| {
        let (alert, transition) = step(alert, seen, RESOLVE_AFTER);
        transitions.extend(transition);
        alert
    });
    (alert, transitions)
}

fn kinds(sent: &[Transition]) -> Vec<TransitionKind> {
    sent.iter().map(|one| one.change.kind()).collect()
}

/// Makes ticks with the same signal every `pace` seconds.
pub(super) fn every(
    pace: u64,
    secs: std::ops::RangeInclusive<u64>,
    verdict: &Signal,
) -> Vec<Observation> {
    let ticks = secs.step_by(usize::try_from(pace).unwrap());
    ticks.map(|secs| seen(secs, verdict.clone())).collect()
}

const PAGE: Suppression = Suppression::Inhibited { by: Severity::Page };

fn silenced(until_secs: u64) -> Suppression {
    Suppression::Silenced {
        silence: Uuid::from_u128(9),
        until: at(until_secs),
    }
}

use TransitionKind::{DataResumed, DataStopped, Firing, Reminded, Resolved, Unmuted, Updated};

#[test]
fn a_breach_fires_at_once_and_only_once() {
    let (alert, sent) = run(&[seen(5, breach()), seen(10, breach()), seen(15, breach())]);
    assert_eq!(alert.state(), AlertState::Firing);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].change, AlertChange::Fired);
    assert_eq!(sent[0].episode.rule.as_str(), "fast-burn");
    assert_eq!(alert.to_status(Severity::Page).since, at(5));
}

#[test]
fn it_resolves_after_a_full_stretch_of_clear() {
    let mut ticks = vec![seen(0, breach()), seen(10, Signal::Clear)];
    ticks.push(seen(309, Signal::Clear));
    assert_eq!(run(&ticks).0.state(), AlertState::Recovering);
    ticks.push(seen(310, Signal::Clear));
    let (alert, sent) = run(&ticks);
    assert_eq!(alert.state(), AlertState::Inactive);
    assert_eq!(sent[1].change, AlertChange::Resolved(EpisodeEnd::Recovered));
    assert_eq!(sent[1].episode.id, sent[0].episode.id);
    assert_eq!(alert.to_status(Severity::Page).since, at(310));
}

#[test]
fn a_rule_with_a_wait_is_pending_until_it_has_burned_for_so_long() {
    let verdict = burning(&[("slow", 60)]);
    let (alert, sent) = run(&every(10, 0..=50, &verdict));
    assert_eq!((alert.state(), sent.len()), (AlertState::Pending, 0));
    assert_eq!(alert.to_status(Severity::Page).since, at(0));
    let (alert, sent) = run(&every(10, 0..=60, &verdict));
    assert_eq!(alert.state(), AlertState::Firing);
    assert_eq!(sent[0].episode.fired_at, at(60));
}

#[test]
fn each_rule_waits_for_itself_and_the_first_whose_wait_is_over_fires() {
    let slow = burning(&[("slow", 60)]);
    let mut ticks = every(10, 0..=40, &slow);
    ticks.push(seen(50, burning(&[("slow", 60), ("now", 0)])));
    let (_, sent) = run(&ticks);
    assert_eq!(sent[0].episode.rule.as_str(), "now");
    let other = burning(&[("other", 60)]);
    let mut ticks = every(10, 0..=50, &slow);
    ticks.extend(every(10, 60..=110, &other));
    assert_eq!(
        run(&ticks).0.state(),
        AlertState::Pending,
        "the other is younger"
    );
}

#[test]
fn what_is_clear_for_a_moment_waits_afresh() {
    let verdict = burning(&[("slow", 60)]);
    let mut ticks = every(10, 0..=50, &verdict);
    ticks.push(seen(55, Signal::Clear));
    ticks.extend(every(10, 60..=110, &verdict));
    assert_eq!(run(&ticks).0.state(), AlertState::Pending);
}

#[test]
fn t03_a_wait_counts_evaluated_time_and_no_time_that_nobody_looked() {
    let verdict = burning(&[("slow", 60)]);
    for unseen in [
        Signal::Unknown,
        Signal::TooFew,
        Signal::Inconsistent,
        Signal::Between,
    ] {
        let mut ticks = every(10, 0..=30, &verdict);
        ticks.extend([seen(40, unseen.clone()), seen(5_000, unseen)]);
        ticks.extend(every(10, 5_010..=5_020, &verdict));
        assert_eq!(run(&ticks).0.state(), AlertState::Pending);
        ticks.push(seen(5_030, verdict.clone()));
        assert_eq!(run(&ticks).0.state(), AlertState::Firing);
    }
    let mut ticks = every(10, 0..=30, &verdict);
    ticks.extend([
        after_gap(9_000, verdict.clone()),
        after_gap(9_010, verdict.clone()),
    ]);
    ticks.extend(every(10, 9_020..=9_030, &verdict));
    assert_eq!(run(&ticks).0.state(), AlertState::Pending);
    ticks.push(seen(9_040, verdict));
    assert_eq!(run(&ticks).0.state(), AlertState::Firing);
}

#[test]
fn t03_after_a_gap_nothing_fires_recovers_or_resolves() {
    assert_eq!(run(&[after_gap(9_000, breach())]).1, []);
    let ticks = [seen(0, breach()), after_gap(9_000, Signal::Clear)];
    assert_eq!(run(&ticks).0.state(), AlertState::Firing);
    let mut ticks = vec![seen(0, breach()), seen(10, Signal::Clear)];
    ticks.push(after_gap(9_000, Signal::Clear));
    assert_eq!(run(&ticks).0.state(), AlertState::Recovering);
    ticks.extend([seen(9_010, Signal::Clear), seen(9_299, Signal::Clear)]);
    assert_eq!(run(&ticks).0.state(), AlertState::Recovering);
    ticks.push(seen(9_300, Signal::Clear));
    assert_eq!(run(&ticks).0.state(), AlertState::Inactive);
}

#[test]
fn t04_a_clock_set_back_resolves_nothing_early() {
    let (alert, _) = run(&[
        seen(5_000, breach()),
        seen(5_010, Signal::Clear),
        seen(100, Signal::Clear),
        seen(390, Signal::Clear),
    ]);
    assert_eq!(alert.state(), AlertState::Recovering);
}

#[test]
fn t05_a_flap_tells_nobody_is_counted_and_starts_the_wait_afresh() {
    for (verdict, flaps) in [(breach(), 1), (Signal::Between, 0)] {
        let mut ticks = vec![
            seen(0, breach()),
            seen(10, Signal::Clear),
            seen(200, verdict),
            seen(205, Signal::Clear),
            seen(400, Signal::Clear),
        ];
        let (alert, sent) = run(&ticks);
        assert_eq!(alert.state(), AlertState::Recovering);
        assert_eq!(sent.len(), 1);
        assert_eq!(alert.to_status(Severity::Page).progress.flaps, flaps);
        ticks.push(seen(505, Signal::Clear));
        assert_eq!(run(&ticks).1[1].episode.flaps, flaps);
    }
}

#[test]
fn t01_what_cannot_be_judged_adds_nothing_to_the_wait_and_resolves_nothing() {
    for unseen in [Signal::Unknown, Signal::Inconsistent, Signal::TooFew] {
        let mut ticks = vec![
            seen(0, breach()),
            seen(10, Signal::Clear),
            seen(200, Signal::Clear),
        ];
        ticks.extend(every(10, 210..=4_000, &unseen));
        let (alert, sent) = run(&ticks);
        assert_eq!(alert.state(), AlertState::Recovering);
        assert!(!kinds(&sent).contains(&Resolved));
        ticks.extend([seen(4_010, Signal::Clear), seen(4_110, Signal::Clear)]);
        assert_eq!(run(&ticks).0.state(), AlertState::Inactive);
    }
}

#[test]
fn t01_data_that_stop_are_told_once_and_again_when_they_are_back() {
    let mut ticks = vec![seen(0, breach())];
    ticks.extend(every(10, 10..=300, &Signal::Unknown));
    let (alert, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing], "they may only be late");
    let progress = alert.to_status(Severity::Page).progress;
    assert_eq!(progress.data_stale_since, Some(at(10)));
    ticks.extend(every(10, 310..=9_000, &Signal::Unknown));
    let (alert, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, DataStopped]);
    assert_eq!(sent[1].at, at(310));
    assert_eq!(alert.state(), AlertState::Firing);
    ticks.extend(every(10, 9_010..=9_050, &breach()));
    let (alert, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, DataStopped, DataResumed]);
    assert_eq!(
        sent[2].change,
        AlertChange::Developed(AlertUpdate::DataResumed { stopped_at: at(10) })
    );
    assert_eq!(
        alert.to_status(Severity::Page).progress.data_stale_since,
        None
    );
}

#[test]
fn t01_stale_counts_that_still_burn_are_told_as_stopped_data_too() {
    let stale = |secs| Observation {
        missing: Some(Missing::Ingest),
        ..seen(secs, breach())
    };
    let mut ticks = vec![seen(0, breach())];
    ticks.extend((10..=310).step_by(10).map(stale));
    let (_, sent) = run(&ticks);
    assert_eq!(
        sent[1].change,
        AlertChange::Developed(AlertUpdate::DataStopped {
            heard_until: Some(at(10)),
            missing: Missing::Ingest
        })
    );
}

#[test]
fn data_that_come_and_go_are_told_at_most_every_half_hour() {
    let mut ticks = vec![seen(0, breach())];
    for turn in 0..20 {
        ticks.extend(every(
            10,
            turn * 400 + 10..=turn * 400 + 390,
            &Signal::Unknown,
        ));
        ticks.push(seen(turn * 400 + 400, breach()));
    }
    let stops: Vec<_> = run(&ticks)
        .1
        .into_iter()
        .filter(|one| one.change.kind() == DataStopped)
        .collect();
    assert_eq!(stops.len(), 4);
    assert!(
        stops
            .windows(2)
            .all(|two| two[1].at.saturating_since(two[0].at) >= Duration::from_mins(30))
    );
}

#[test]
fn nobody_is_told_of_data_that_stop_while_nothing_fires() {
    let mut ticks = every(10, 0..=9_000, &Signal::Unknown);
    ticks.extend(every(10, 9_010..=9_050, &Signal::Clear));
    assert_eq!(run(&ticks).1, []);
}

#[test]
fn worse_is_twice_the_customers_at_most_every_half_hour() {
    let half_hour = 1_800;
    let ticks = [hurting(0, 10), hurting(10, 40), hurting(half_hour - 1, 40)];
    assert_eq!(
        kinds(&run(&ticks).1),
        [Firing],
        "its numbers grow while it is read"
    );
    let ticks = [
        hurting(0, 10),
        hurting(half_hour, 19),
        hurting(half_hour + 10, 20),
        hurting(half_hour + 20, 90),
        hurting(2 * half_hour + 20, 90),
        hurting(4 * half_hour, 179),
    ];
    let (_, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, Updated, Updated]);
    assert_eq!(
        sent[1].change,
        AlertChange::Developed(AlertUpdate::MoreCustomers {
            before: 10,
            now: 20
        })
    );
    assert_eq!(sent[2].at, at(2 * half_hour + 20));
}

#[test]
fn two_customers_instead_of_one_are_no_news() {
    let ticks = [hurting(0, 1), hurting(2_000, 5)];
    assert_eq!(kinds(&run(&ticks).1), [Firing]);
    let ticks = [hurting(0, 1), hurting(2_000, 6)];
    assert_eq!(kinds(&run(&ticks).1), [Firing, Updated]);
}

#[test]
fn a_spent_budget_is_told_once() {
    let ticks = [
        hurting(0, 0),
        out_of_budget(2_000),
        hurting(4_000, 0),
        out_of_budget(6_000),
    ];
    let (_, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, Updated]);
    assert_eq!(
        sent[1].change,
        AlertChange::Developed(AlertUpdate::BudgetSpent)
    );
    let ticks = [out_of_budget(0), out_of_budget(2_000)];
    assert_eq!(kinds(&run(&ticks).1), [Firing], "sent with the first");
}

#[test]
fn what_another_alert_says_is_recorded_and_told_when_it_burns_on() {
    let mut ticks = vec![
        muted(PAGE, seen(0, breach())),
        muted(PAGE, seen(10, breach())),
    ];
    let (alert, sent) = run(&ticks);
    assert_eq!(sent[0].suppression, Some(PAGE));
    assert_eq!(alert.to_status(Severity::Ticket).progress.muted, Some(PAGE));
    ticks.extend([
        seen(20, Signal::Between),
        seen(30, breach()),
        seen(40, breach()),
    ]);
    let (alert, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, Unmuted]);
    assert_eq!((sent[1].at, sent[1].suppression), (at(30), None));
    assert_eq!(alert.to_status(Severity::Ticket).progress.muted, None);
}

#[test]
fn what_ends_with_the_alert_that_held_it_back_is_told_to_nobody() {
    let ticks = [
        muted(PAGE, seen(0, breach())),
        muted(PAGE, seen(10, Signal::Clear)),
        seen(20, Signal::Clear),
        seen(310, Signal::Clear),
    ];
    let (_, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, Resolved]);
    assert_eq!(sent[1].suppression, Some(PAGE), "with its reason");
}

#[test]
fn what_was_told_before_another_alert_began_is_not_told_as_held_back() {
    let ticks = [
        seen(0, breach()),
        muted(PAGE, seen(10, breach())),
        seen(20, breach()),
    ];
    assert_eq!(kinds(&run(&ticks).1), [Firing]);
    let worse = muted(PAGE, hurting(2_000, 50));
    let ticks = [seen(0, breach()), worse, seen(2_010, breach())];
    let (_, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, Updated, Unmuted]);
    assert_eq!(sent[1].suppression, Some(PAGE));
}

#[test]
fn the_end_of_a_silence_is_told_at_once_while_it_fires() {
    for unseen in [Signal::Unknown, breach()] {
        let ticks = [
            seen(0, breach()),
            muted(silenced(600), seen(10, breach())),
            seen(20, unseen),
        ];
        let (_, sent) = run(&ticks);
        assert_eq!(kinds(&sent), [Firing, Unmuted]);
        assert_eq!(
            sent[1].change,
            AlertChange::Developed(AlertUpdate::Unmuted { was: silenced(20) }),
            "it ended early"
        );
    }
}

#[test]
fn a_silence_never_keeps_an_end_from_anybody() {
    let ticks = [
        seen(0, breach()),
        seen(10, Signal::Clear),
        muted(silenced(900), seen(310, Signal::Clear)),
    ];
    let (_, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, Resolved]);
    assert_eq!(sent[1].suppression, None);
}

#[test]
fn a_page_that_nobody_acknowledges_is_told_again_every_four_hours_while_it_burns() {
    let hours = |hours: u64, verdict: Signal| Observation {
        unacknowledged: true,
        ..seen(hours * 3_600, verdict)
    };
    let ticks: Vec<_> = (0..10).map(|hour| hours(hour, breach())).collect();
    let (_, sent) = run(&ticks);
    assert_eq!(kinds(&sent), [Firing, Reminded, Reminded]);
    assert_eq!((sent[1].at, sent[2].at), (at(4 * 3_600), at(8 * 3_600)));
    let attended = seen(10 * 3_600, breach());
    assert_eq!(kinds(&run(&[hours(0, breach()), attended]).1), [Firing]);
    let recovering = [hours(0, breach()), hours(5, Signal::Clear)];
    assert_eq!(kinds(&run(&recovering).1), [Firing]);
    let quiet = muted(silenced(90_000), hours(5, breach()));
    assert_eq!(kinds(&run(&[hours(0, breach()), quiet]).1), [Firing]);
}

#[test]
fn t07_what_is_no_longer_declared_does_not_stay_open_for_ever() {
    let undeclared = after_gap(9_000, Signal::Undeclared);
    let (alert, sent) = run(&[seen(0, breach()), undeclared.clone()]);
    assert_eq!(alert.state(), AlertState::Inactive);
    assert_eq!(
        sent[1].change,
        AlertChange::Resolved(EpisodeEnd::Undeclared)
    );
    assert_eq!(run(&[seen(5, Signal::Undeclared)]).1, []);
    let pending = seen(0, burning(&[("slow", 60)]));
    let (alert, sent) = run(&[pending, undeclared]);
    assert_eq!((alert.state(), sent.len()), (AlertState::Inactive, 0));
}
