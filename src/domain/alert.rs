//! The alert of one SLO and severity over time: inactive, firing, recovering, and inactive again.
//!
//! [`step`] is all there is: a pure function of the state, one observation and the time. It is called
//! with the state that a row holds and its answer is written back by compare-and-swap, so replicas
//! that evaluate at the same time take the same steps as one would.
//!
//! | state      | breach      | clear                                    | between   | unknown   |
//! |------------|-------------|------------------------------------------|-----------|-----------|
//! | inactive   | **firing**  | -                                        | -         | -         |
//! | firing     | -           | recovering                               | -         | -         |
//! | recovering | firing      | after `resolve_after`: **inactive**      | firing    | firing    |
//!
//! Only the bold ones are transitions, which people are told of: a flap between recovering and firing
//! is the same trouble. What cannot be seen is not recovering, so an unknown verdict starts the wait
//! afresh and no alert resolves on it.

use std::time::Duration;

use uuid::Uuid;

use super::{
    condition::Verdict,
    definition::Severity,
    names::Name,
    notification::{EpisodeEnd, TransitionKind},
    status::{AlertState, AlertStatus},
    time::Timestamp,
};

/// The state of one alert. Every change raises the version by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub version: i64,
    pub phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    Inactive {
        since: Timestamp,
    },
    Firing(Episode),
    Recovering {
        episode: Episode,
        /// Evaluated time since when it is clear without a break.
        clear_since: Timestamp,
    },
}

/// One uninterrupted trouble, from firing to resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    pub id: Uuid,
    /// The rule that made it fire.
    pub rule: Name,
    pub fired_at: Timestamp,
}

/// What one evaluation saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub at: Timestamp,
    pub verdict: Verdict,
    pub continuity: Continuity,
    /// The id of the episode, should one begin.
    pub new_episode: Uuid,
}

/// Whether evaluation has been going on since the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    Continuous,
    /// Nobody looked for some time: what went before cannot count as quiet.
    AfterGap,
}

/// A change that people are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub episode: Episode,
    /// The version that it raised the alert to.
    pub version: i64,
    pub at: Timestamp,
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Fired,
    Resolved(EpisodeEnd),
}

impl Alert {
    /// The alert of an SLO that has never been evaluated.
    pub const fn new(since: Timestamp) -> Self {
        Self {
            version: 0,
            phase: Phase::Inactive { since },
        }
    }

    pub const fn state(&self) -> AlertState {
        match self.phase {
            Phase::Inactive { .. } => AlertState::Inactive,
            Phase::Firing(_) => AlertState::Firing,
            Phase::Recovering { .. } => AlertState::Recovering,
        }
    }

    /// The trouble that is going on.
    pub const fn episode(&self) -> Option<&Episode> {
        match &self.phase {
            Phase::Inactive { .. } => None,
            Phase::Firing(episode) | Phase::Recovering { episode, .. } => Some(episode),
        }
    }

    /// What the pages show. A firing or recovering alert is so since the episode began.
    pub fn to_status(&self, severity: Severity) -> AlertStatus {
        AlertStatus {
            severity,
            state: self.state(),
            since: match &self.phase {
                Phase::Inactive { since } => *since,
                Phase::Firing(episode) | Phase::Recovering { episode, .. } => episode.fired_at,
            },
            rule: self.episode().map(|episode| episode.rule.clone()),
        }
    }

    fn moved_to(self, phase: Phase) -> Self {
        let version = self.version + i64::from(self.phase != phase);
        Self { version, phase }
    }
}

impl Change {
    pub const fn kind(self) -> TransitionKind {
        match self {
            Self::Fired => TransitionKind::Firing,
            Self::Resolved(_) => TransitionKind::Resolved,
        }
    }
}

/// The next state of `alert`, and what people must be told, if anything.
pub fn step(
    alert: Alert,
    seen: &Observation,
    resolve_after: Duration,
) -> (Alert, Option<Transition>) {
    match (alert.phase.clone(), &seen.verdict) {
        (Phase::Inactive { .. }, Verdict::Breach(rule)) => fire(alert, seen, rule),
        (Phase::Inactive { .. }, _) => (alert, None),
        (Phase::Firing(episode) | Phase::Recovering { episode, .. }, Verdict::Undeclared) => {
            resolve(alert, episode, seen.at, EpisodeEnd::Undeclared)
        }
        (Phase::Firing(episode), Verdict::Clear) => recover(alert, episode, seen.at),
        (
            Phase::Recovering {
                episode,
                clear_since,
            },
            Verdict::Clear,
        ) => match seen.continuity {
            Continuity::AfterGap => recover(alert, episode, seen.at),
            Continuity::Continuous if seen.at.saturating_since(clear_since) >= resolve_after => {
                resolve(alert, episode, seen.at, EpisodeEnd::Recovered)
            }
            Continuity::Continuous => (alert, None),
        },
        (
            Phase::Firing(episode) | Phase::Recovering { episode, .. },
            Verdict::Breach(_) | Verdict::Between | Verdict::Unknown,
        ) => (alert.moved_to(Phase::Firing(episode)), None),
    }
}

fn fire(alert: Alert, seen: &Observation, rule: &Name) -> (Alert, Option<Transition>) {
    let episode = Episode {
        id: seen.new_episode,
        rule: rule.clone(),
        fired_at: seen.at,
    };
    let alert = alert.moved_to(Phase::Firing(episode.clone()));
    let transition = Transition {
        episode,
        version: alert.version,
        at: seen.at,
        change: Change::Fired,
    };
    (alert, Some(transition))
}

fn recover(alert: Alert, episode: Episode, at: Timestamp) -> (Alert, Option<Transition>) {
    let recovering = Phase::Recovering {
        episode,
        clear_since: at,
    };
    (alert.moved_to(recovering), None)
}

fn resolve(
    alert: Alert,
    episode: Episode,
    at: Timestamp,
    end: EpisodeEnd,
) -> (Alert, Option<Transition>) {
    let alert = alert.moved_to(Phase::Inactive { since: at });
    let transition = Transition {
        episode,
        version: alert.version,
        at,
        change: Change::Resolved(end),
    };
    (alert, Some(transition))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const RESOLVE_AFTER: Duration = Duration::from_mins(5);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_790_000_000) + Duration::from_secs(secs)
    }

    fn breach() -> Verdict {
        Verdict::Breach("fast-burn".parse().unwrap())
    }

    fn seen(secs: u64, verdict: Verdict) -> Observation {
        Observation {
            at: at(secs),
            verdict,
            continuity: Continuity::Continuous,
            new_episode: Uuid::from_u128(u128::from(secs) + 1),
        }
    }

    /// Takes all steps; returns the last state and every transition.
    fn run(observations: &[Observation]) -> (Alert, Vec<Transition>) {
        let mut transitions = Vec::new();
        let alert = observations.iter().fold(Alert::new(at(0)), |alert, seen| {
            let (alert, transition) = step(alert, seen, RESOLVE_AFTER);
            transitions.extend(transition);
            alert
        });
        (alert, transitions)
    }

    #[test]
    fn a_breach_fires_at_once_and_only_once() {
        let (alert, told) = run(&[seen(5, breach()), seen(10, breach()), seen(15, breach())]);
        assert_eq!(alert.state(), AlertState::Firing);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].change, Change::Fired);
        assert_eq!(told[0].episode.rule.as_str(), "fast-burn");
        assert_eq!(alert.to_status(Severity::Page).since, at(5));
    }

    #[test]
    fn it_resolves_after_a_full_stretch_of_clear() {
        let mut ticks = vec![seen(0, breach()), seen(10, Verdict::Clear)];
        ticks.push(seen(309, Verdict::Clear));
        assert_eq!(run(&ticks).0.state(), AlertState::Recovering);
        ticks.push(seen(310, Verdict::Clear));
        let (alert, told) = run(&ticks);
        assert_eq!(alert.state(), AlertState::Inactive);
        assert_eq!(told[1].change, Change::Resolved(EpisodeEnd::Recovered));
        assert_eq!(told[1].episode, told[0].episode);
        assert_eq!(alert.to_status(Severity::Page).since, at(310));
    }

    #[test]
    fn a_flap_back_tells_nobody_and_starts_the_wait_afresh() {
        for verdict in [breach(), Verdict::Between, Verdict::Unknown] {
            let (alert, told) = run(&[
                seen(0, breach()),
                seen(10, Verdict::Clear),
                seen(200, verdict),
                seen(205, Verdict::Clear),
                seen(400, Verdict::Clear),
            ]);
            assert_eq!(alert.state(), AlertState::Recovering);
            assert_eq!(told.len(), 1);
        }
    }

    #[test]
    fn a_pause_of_the_evaluators_does_not_count_as_quiet() {
        let after_gap = Observation {
            continuity: Continuity::AfterGap,
            ..seen(4_000, Verdict::Clear)
        };
        let mut ticks = vec![seen(0, breach()), seen(10, Verdict::Clear), after_gap];
        assert_eq!(run(&ticks).0.state(), AlertState::Recovering);
        ticks.push(seen(4_300, Verdict::Clear));
        assert_eq!(run(&ticks).0.state(), AlertState::Inactive);
    }

    #[test]
    fn a_clock_set_back_resolves_nothing_early() {
        let (alert, _) = run(&[
            seen(5_000, breach()),
            seen(5_010, Verdict::Clear),
            seen(100, Verdict::Clear),
        ]);
        assert_eq!(alert.state(), AlertState::Recovering);
    }

    #[test]
    fn what_is_no_longer_declared_does_not_stay_open_for_ever() {
        let (alert, told) = run(&[seen(0, breach()), seen(5, Verdict::Undeclared)]);
        assert_eq!(alert.state(), AlertState::Inactive);
        assert_eq!(told[1].change, Change::Resolved(EpisodeEnd::Undeclared));
        assert_eq!(run(&[seen(5, Verdict::Undeclared)]).1, []);
    }

    fn any_observations() -> impl Strategy<Value = Vec<Observation>> {
        let verdict = prop_oneof![
            2 => Just(breach()),
            6 => Just(Verdict::Clear),
            1 => Just(Verdict::Between),
            1 => Just(Verdict::Unknown),
        ];
        let continuity = prop_oneof![
            9 => Just(Continuity::Continuous),
            1 => Just(Continuity::AfterGap),
        ];
        vec((verdict, continuity, 1_u64..200), 0..200).prop_map(|steps| {
            let mut secs = 0;
            steps
                .into_iter()
                .map(|(verdict, continuity, pause)| {
                    secs += pause;
                    Observation {
                        continuity,
                        ..seen(secs, verdict)
                    }
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn every_change_raises_the_version_by_exactly_one(ticks in any_observations()) {
            let mut alert = Alert::new(at(0));
            for seen in &ticks {
                let (next, transition) = step(alert.clone(), seen, RESOLVE_AFTER);
                let changes = i64::from(next.phase != alert.phase);
                prop_assert_eq!(next.version, alert.version + changes);
                prop_assert!(transition.is_none_or(|told| told.version == next.version));
                alert = next;
            }
        }

        #[test]
        fn every_firing_is_followed_by_its_own_resolve(ticks in any_observations()) {
            let (_, told) = run(&ticks);
            for (index, transition) in told.iter().enumerate() {
                let expected = if index % 2 == 0 {
                    Change::Fired
                } else {
                    Change::Resolved(EpisodeEnd::Recovered)
                };
                prop_assert_eq!(transition.change, expected);
                prop_assert_eq!(&transition.episode, &told[index - index % 2].episode);
            }
        }

        #[test]
        fn nothing_resolves_but_on_a_stretch_of_nothing_but_clear(ticks in any_observations()) {
            let (_, told) = run(&ticks);
            let resolves = told.iter().filter(|told| told.change != Change::Fired);
            for resolve in resolves {
                let quiet = resolve.at - RESOLVE_AFTER;
                let stretch = ticks.iter().filter(|seen| quiet <= seen.at && seen.at <= resolve.at);
                prop_assert!(stretch.into_iter().all(|seen| seen.verdict == Verdict::Clear));
            }
        }

        /// Each evaluator reads at one moment and writes at a later one; whoever is late has seen an
        /// outdated version and drops its step.
        #[test]
        fn any_interleaving_of_two_evaluators_tells_what_the_winners_would_alone(
            ticks in any_observations(), interleaving in vec((0_usize..2, any::<bool>()), 400),
        ) {
            let mut row = Alert::new(at(0));
            let mut read = [row.clone(), row.clone()];
            let (mut told, mut winners) = (Vec::new(), Vec::new());
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
                    told.extend(transition);
                    winners.push(seen);
                }
            }
            prop_assert_eq!(run(&winners), (row, told));
        }

        #[test]
        fn the_same_ticks_seen_twice_tell_the_same(ticks in any_observations()) {
            let twice: Vec<_> = ticks.iter().flat_map(|seen| [seen.clone(), seen.clone()]).collect();
            let twice_continuous: Vec<_> = twice
                .chunks(2)
                .flat_map(|pair| [pair[0].clone(), Observation {
                    continuity: Continuity::Continuous,
                    ..pair[1].clone()
                }])
                .collect();
            prop_assert_eq!(run(&ticks).1, run(&twice_continuous).1);
        }
    }
}
