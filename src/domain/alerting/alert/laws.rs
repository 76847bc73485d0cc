//! Laws of alerts for any observations, and an oracle that evaluates all of them at once.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    doubt_tests::{CLEAR_AS_GOOD, IN_DOUBT},
    tests::{RESOLVE_AFTER, at, breach, run, seen},
    *,
};

/// One tick: the signal, whether it is on time, and the seconds since the last.
type Tick = (Signal, Continuity, u64);

fn any_verdict() -> impl Strategy<Value = Signal> {
    prop_oneof![
        3 => Just(breach()),
        1 => Just(Signal::Breach(vec![BreachedRule {
            rule: "slow-burn".parse().unwrap(),
            pending_for: Duration::from_mins(3),
        }])),
        9 => Just(Signal::Clear),
        1 => Just(Signal::Between),
        1 => Just(Signal::Unknown),
        1 => Just(Signal::TooFew),
        1 => Just(Signal::Inconsistent),
        1 => Just(IN_DOUBT),
        2 => Just(CLEAR_AS_GOOD),
    ]
}

fn any_tick() -> impl Strategy<Value = Tick> {
    let continuity = prop_oneof![
        9 => Just(Continuity::Continuous),
        1 => Just(Continuity::AfterGap),
    ];
    (any_verdict(), continuity, 1_u64..200)
}

fn any_observations() -> impl Strategy<Value = Vec<Observation>> {
    let mute = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Suppression::Inhibited { by: Severity::Page })),
        1 => Just(Some(Suppression::Silenced { silence: Uuid::nil(), until: at(9_000) })),
    ];
    let impact = (0_i64..60, any::<bool>()).prop_map(|(customers, budget_spent)| Impact {
        customers,
        budget_spent,
    });
    vec((any_tick(), mute, impact), 0..200).prop_map(|steps| {
        let mut secs = 0;
        steps
            .into_iter()
            .map(|((verdict, continuity, pause), muted, impact)| {
                secs += pause;
                Observation {
                    continuity,
                    impact,
                    muted,
                    ..seen(secs, verdict)
                }
            })
            .collect()
    })
}

/// Returns the beginnings and ends only.
fn frame(transitions: &[Transition]) -> Vec<&Transition> {
    let is_frame =
        |transition: &&Transition| !matches!(transition.change, AlertChange::Developed(_));
    transitions.iter().filter(is_frame).collect()
}

/// Computes the beginnings and ends of episodes from all ticks at once: for every tick the ticks
/// before it are examined again. Slow and stateless, so that it shares no mistake with the state
/// machine.
mod oracle {
    use super::*;

    pub(super) fn frames(ticks: &[Observation]) -> Vec<(usize, TransitionKind)> {
        let mut frames = Vec::new();
        let mut from = 0;
        loop {
            let Some(begins) = (from..ticks.len()).find(|&i| begins_at(ticks, from, i)) else {
                return frames;
            };
            frames.push((begins, TransitionKind::Firing));
            let Some(ends) = (begins + 1..ticks.len()).find(|&i| ends_at(ticks, begins, i)) else {
                return frames;
            };
            frames.push((ends, TransitionKind::Resolved));
            from = ends + 1;
        }
    }

    fn counts(tick: &Observation) -> bool {
        tick.continuity == Continuity::Continuous
    }

    /// Returns whether at `i` some rule has burned for its `for`, in ticks since `from`.
    fn begins_at(ticks: &[Observation], from: usize, i: usize) -> bool {
        let Signal::Breach(burning) = &ticks[i].verdict else {
            return false;
        };
        let is_over = |rule: &BreachedRule| burned(ticks, from, i, &rule.rule) >= rule.pending_for;
        counts(&ticks[i]) && burning.iter().any(is_over)
    }

    /// Returns how long a rule has burned until `i`: back to the last tick at which it did not.
    fn burned(ticks: &[Observation], from: usize, i: usize, rule: &Name) -> Duration {
        let says_no = |tick: &Observation| match &tick.verdict {
            Signal::Clear => true,
            Signal::Breach(burning) => burning.iter().all(|other| other.rule != *rule),
            Signal::Between
            | Signal::InDoubt { .. }
            | Signal::TooFew
            | Signal::Unknown
            | Signal::Inconsistent
            | Signal::Undeclared => false,
        };
        let begin = (from..i)
            .rev()
            .find(|&j| counts(&ticks[j]) && says_no(&ticks[j]));
        let burns = |tick: &Observation| counts(tick) && matches!(tick.verdict, Signal::Breach(_));
        stretch(ticks, begin.map_or(from, |j| j + 1), i, burns)
    }

    /// Returns whether at `i` it has been clear for long enough since it was last neither clear nor
    /// unknown.
    fn ends_at(ticks: &[Observation], begins: usize, i: usize) -> bool {
        let is_clear = |tick: &Observation| {
            counts(tick) && (tick.verdict == Signal::Clear || tick.verdict == CLEAR_AS_GOOD)
        };
        let says_no = |tick: &Observation| {
            let is_no = matches!(tick.verdict, Signal::Breach(_) | Signal::Between);
            counts(tick) && (is_no || tick.verdict == IN_DOUBT)
        };
        let needed = if ticks[i].verdict == CLEAR_AS_GOOD {
            RESOLVE_AFTER.max(ticks[i].doubt_clears_after)
        } else {
            RESOLVE_AFTER
        };
        let Some(last) = (begins..i).rev().find(|&j| says_no(&ticks[j])) else {
            return false;
        };
        let has_begun = (last + 1..i).any(|j| is_clear(&ticks[j]));
        is_clear(&ticks[i]) && has_begun && stretch(ticks, last + 1, i, is_clear) >= needed
    }

    /// Adds up the time between ticks for which `so` is true, after the first one.
    fn stretch(
        ticks: &[Observation],
        from: usize,
        to: usize,
        so: impl Fn(&Observation) -> bool,
    ) -> Duration {
        let Some(first) = (from..=to).find(|&j| so(&ticks[j])) else {
            return Duration::ZERO;
        };
        (first + 1..=to)
            .filter(|&j| so(&ticks[j]))
            .map(|j| ticks[j].at.saturating_since(ticks[j - 1].at))
            .sum()
    }
}

/// Four weeks with a tick per minute: problems of some minutes to hours, and gaps without
/// evaluation.
#[derive(Clone, Debug)]
struct Weeks {
    troubles: Vec<(usize, usize)>,
    gaps: Vec<(usize, usize)>,
}

const MINUTES: usize = 28 * 24 * 60;
const MINUTE: Duration = Duration::from_mins(1);

fn any_weeks() -> impl Strategy<Value = Weeks> {
    let troubles = vec((0..MINUTES, 1_usize..240), 0..40);
    let gaps = vec((0..MINUTES, 4_usize..600), 0..20);
    (troubles, gaps).prop_map(|(troubles, gaps)| Weeks { troubles, gaps })
}

impl Weeks {
    fn within(spans: &[(usize, usize)], minute: usize) -> bool {
        spans
            .iter()
            .any(|(from, length)| (*from..from + length).contains(&minute))
    }

    /// Returns the transitions, by minute.
    fn transitions(&self, gaps: &[(usize, usize)]) -> Vec<(usize, TransitionKind)> {
        let mut alert = Alert::new(at(0));
        let mut ticks: Option<TickHistory> = None;
        let mut all = Vec::new();
        for minute in 0..MINUTES {
            if Self::within(gaps, minute) {
                continue;
            }
            let verdict = if Self::within(&self.troubles, minute) {
                breach()
            } else {
                Signal::Clear
            };
            let seen = seen(minute as u64 * 60, verdict);
            let next = ticks.map_or_else(
                || TickHistory::first(seen.at),
                |last| last.next(seen.at, MINUTE * 3).0,
            );
            ticks = Some(next);
            let seen = Observation {
                continuity: next.continuity(),
                ..seen
            };
            let (stepped, transition) = step(alert, &seen, RESOLVE_AFTER);
            alert = stepped;
            all.extend(transition.map(|transition| (minute, transition.change.kind())));
        }
        all
    }

    /// Returns whether a minute is so close to a gap that its transitions may depend on it: in the
    /// gap, or before everything that waited for it has settled.
    fn is_near_gap(&self, minute: usize) -> bool {
        let waits = usize::try_from(RESOLVE_AFTER.as_secs() / 60).unwrap();
        let settling = 2 + waits + 1;
        self.gaps
            .iter()
            .any(|(from, length)| (*from..=from + length + settling).contains(&minute))
    }
}

proptest! {
    #[test]
    fn every_change_raises_the_version_by_exactly_one(ticks in any_observations()) {
        let mut alert = Alert::new(at(0));
        for seen in &ticks {
            let (next, transition) = step(alert.clone(), seen, RESOLVE_AFTER);
            let changes = i64::from(next.phase != alert.phase);
            prop_assert_eq!(next.version, alert.version + changes);
            if let Some(transition) = transition {
                prop_assert_eq!((transition.version, changes), (next.version, 1), "{:?}", transition.change);
            }
            alert = next;
        }
    }

    #[test]
    fn every_firing_is_followed_by_its_own_resolve(ticks in any_observations()) {
        let (_, transitions) = run(&ticks);
        for (index, transition) in frame(&transitions).into_iter().enumerate() {
            let expected = match index % 2 {
                0 => AlertChange::Fired,
                _ => AlertChange::Resolved(EpisodeEnd::Recovered),
            };
            prop_assert_eq!(transition.change, expected);
        }
        let mut open = None;
        for transition in &transitions {
            match transition.change {
                AlertChange::Fired => open = Some(transition.episode.id),
                AlertChange::Developed(_) | AlertChange::Resolved(_) => {
                    prop_assert_eq!(open, Some(transition.episode.id));
                }
            }
        }
    }

    #[test]
    fn t01_nothing_ends_but_on_a_clear_verdict(ticks in any_observations()) {
        for resolved in run(&ticks).1 {
            if resolved.change.kind() == TransitionKind::Resolved {
                let last = ticks.iter().find(|seen| seen.at == resolved.at).unwrap();
                prop_assert!(last.verdict == Signal::Clear || last.verdict == CLEAR_AS_GOOD);
                prop_assert_eq!(last.continuity, Continuity::Continuous);
            }
        }
    }

    #[test]
    fn t05_at_most_one_beginning_and_one_end_are_told_in_each_wait(ticks in any_observations()) {
        let (_, transitions) = run(&ticks);
        for kind in [TransitionKind::Firing, TransitionKind::Resolved] {
            let times: Vec<_> = transitions
                .iter()
                .filter(|transition| transition.change.kind() == kind)
                .map(|transition| transition.at)
                .collect();
            for two in times.windows(2) {
                prop_assert!(two[1].saturating_since(two[0]) >= RESOLVE_AFTER);
            }
        }
    }

    #[test]
    fn updates_and_stopped_data_are_half_an_hour_apart(ticks in any_observations()) {
        let (_, transitions) = run(&ticks);
        for kind in [TransitionKind::Updated, TransitionKind::DataStopped] {
            let of_kind: Vec<_> = transitions.iter().filter(|transition| transition.change.kind() == kind).collect();
            for two in of_kind.windows(2) {
                let apart = two[1].at.saturating_since(two[0].at) >= Duration::from_mins(30);
                prop_assert!(apart || two[0].episode.id != two[1].episode.id);
            }
        }
    }

    #[test]
    fn nobody_hears_of_anything_but_an_end_while_it_is_quiet(ticks in any_observations()) {
        for transition in run(&ticks).1 {
            let seen = ticks.iter().find(|seen| seen.at == transition.at).unwrap();
            match transition.change {
                AlertChange::Fired => prop_assert_eq!(transition.suppression, seen.muted),
                AlertChange::Developed(AlertUpdate::Unmuted { .. }) => prop_assert!(seen.muted.is_none()),
                AlertChange::Developed(_) => prop_assert_eq!(transition.suppression, seen.muted),
                AlertChange::Resolved(_) => {}
            }
        }
    }

    #[test]
    fn the_machine_does_what_is_told_by_looking_at_everything_at_once(ticks in any_observations()) {
        let (_, transitions) = run(&ticks);
        let index = |at| ticks.iter().position(|seen| seen.at == at).unwrap();
        let frames: Vec<_> = frame(&transitions)
            .into_iter()
            .map(|transition| (index(transition.at), transition.change.kind()))
            .collect();
        prop_assert_eq!(frames, oracle::frames(&ticks));
    }

    /// Each evaluator reads at one moment and writes at a later one; the slower one has read an
    /// outdated version and drops its step.
    #[test]
    fn t10_any_interleaving_of_two_evaluators_tells_what_the_winners_would_alone(
        ticks in any_observations(), interleaving in vec((0_usize..2, any::<bool>()), 400),
    ) {
        let mut row = Alert::new(at(0));
        let mut read = [row.clone(), row.clone()];
        let (mut transitions, mut winners) = (Vec::new(), Vec::new());
        let mut ticks = ticks.into_iter();
        for (evaluator, writes) in interleaving {
            if !writes {
                read[evaluator] = row.clone();
                continue;
            }
            let Some(seen) = ticks.next() else { break };
            let (next, transition) = step(read[evaluator].clone(), &seen, RESOLVE_AFTER);
            if next != read[evaluator] && read[evaluator].version == row.version {
                row = next;
                transitions.extend(transition);
                winners.push(seen);
            }
        }
        prop_assert_eq!(run(&winners), (row, transitions));
    }

    #[test]
    fn the_same_ticks_tell_the_same_also_when_each_is_seen_twice(ticks in any_observations()) {
        prop_assert_eq!(run(&ticks), run(&ticks));
        let twice: Vec<_> = ticks.iter().flat_map(|seen| [seen.clone(), seen.clone()]).collect();
        let frames = |transitions: &[Transition]| -> Vec<_> {
            frame(transitions).into_iter().map(|transition| (transition.at, transition.change)).collect()
        };
        // Updates of an episode are notified one per tick, so with more ticks they may come
        // earlier.
        prop_assert_eq!(frames(&run(&twice).1), frames(&run(&ticks).1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Transitions outside of gaps are the same as without gaps. Those of problems that extend into
    /// a gap, or begin or end in one, come after it, so both runs are compared only where neither
    /// an episode nor its wait meets a gap.
    #[test]
    fn t03_four_weeks_with_gaps_tell_what_they_would_without_but_for_the_gaps(weeks in any_weeks()) {
        let (whole, with_gaps) = (weeks.transitions(&[]), weeks.transitions(&weeks.gaps));
        let settled = |transitions: &[(usize, TransitionKind)]| -> Vec<(usize, usize)> {
            let pairs = transitions.chunks(2).filter(|pair| pair.len() == 2);
            pairs
                .map(|pair| (pair[0].0, pair[1].0))
                .filter(|(from, to)| !(*from..=*to).any(|minute| weeks.is_near_gap(minute)))
                .collect()
        };
        prop_assert_eq!(settled(&whole), settled(&with_gaps));
        for (index, (_, kind)) in with_gaps.iter().enumerate() {
            let expected = match index % 2 {
                0 => TransitionKind::Firing,
                _ => TransitionKind::Resolved,
            };
            prop_assert_eq!(*kind, expected);
        }
    }

    #[test]
    fn t03_a_pause_of_any_length_neither_fires_nor_resolves_by_itself(
        pause in 4_usize..5_000, fires in any::<bool>(), then in select(vec![breach(), Signal::Clear]),
    ) {
        let before = if fires { breach() } else { Signal::Clear };
        let mut alert = step(Alert::new(at(0)), &seen(0, before), RESOLVE_AFTER).0;
        let state = alert.state();
        let mut ticks = TickHistory::first(at(0));
        for minute in [pause, pause + 1] {
            let seen = seen(minute as u64 * 60, then.clone());
            ticks = ticks.next(seen.at, MINUTE * 3).0;
            let seen = Observation { continuity: ticks.continuity(), ..seen };
            let (next, transition) = step(alert, &seen, RESOLVE_AFTER);
            prop_assert_eq!(transition, None);
            alert = next;
        }
        prop_assert_eq!(alert.state(), state);
    }
}
