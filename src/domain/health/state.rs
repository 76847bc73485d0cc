//! The state of one check over time: it opens once and resolves once, however often it is found.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::model::time::Timestamp;

/// The state of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckState {
    /// Increases by one with every change.
    pub version: i64,
    pub phase: CheckPhase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckPhase {
    Well,
    /// Found, but not yet for long enough to notify.
    Suspect {
        since: Timestamp,
    },
    Open {
        episode: Uuid,
        opened_at: Timestamp,
    },
    /// Not found any more, but not yet for long enough to resolve.
    Recovering {
        episode: Uuid,
        opened_at: Timestamp,
        well_since: Timestamp,
    },
}

/// The time that a finding must last before its check opens, and be absent before it resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldTimes {
    pub before_open: Duration,
    pub before_resolve: Duration,
}

/// The notification to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckAnnouncement {
    Opened { episode: Uuid },
    Resolved { episode: Uuid, opened_at: Timestamp },
}

impl CheckState {
    pub const WELL: Self = Self {
        version: 0,
        phase: CheckPhase::Well,
    };
}

/// Returns the next state, given whether the problem was found at `now`, and the notification that
/// follows. `new_episode` is used if the check opens.
pub fn step(
    state: CheckState,
    is_found: Found,
    now: Timestamp,
    hold_times: HoldTimes,
    new_episode: Uuid,
) -> (CheckState, Option<CheckAnnouncement>) {
    let (phase, announcements) = match (state.phase, is_found) {
        (CheckPhase::Well | CheckPhase::Suspect { .. }, Found::No) => (CheckPhase::Well, None),
        (CheckPhase::Well, Found::Yes) => suspect(now, now, hold_times, new_episode),
        (CheckPhase::Suspect { since }, Found::Yes) => suspect(since, now, hold_times, new_episode),
        (open @ CheckPhase::Open { .. }, Found::Yes) => (open, None),
        (CheckPhase::Open { episode, opened_at }, Found::No) => {
            recovering(episode, opened_at, now, now, hold_times)
        }
        (
            CheckPhase::Recovering {
                episode, opened_at, ..
            },
            Found::Yes,
        ) => (CheckPhase::Open { episode, opened_at }, None),
        (
            CheckPhase::Recovering {
                episode,
                opened_at,
                well_since,
            },
            Found::No,
        ) => recovering(episode, opened_at, well_since, now, hold_times),
    };
    let version = state.version + i64::from(phase != state.phase);
    (CheckState { version, phase }, announcements)
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Yes,
    No,
}

fn suspect(
    since: Timestamp,
    now: Timestamp,
    hold_times: HoldTimes,
    episode: Uuid,
) -> (CheckPhase, Option<CheckAnnouncement>) {
    if now.saturating_since(since) < hold_times.before_open {
        return (CheckPhase::Suspect { since }, None);
    }
    let opened_at = now;
    (
        CheckPhase::Open { episode, opened_at },
        Some(CheckAnnouncement::Opened { episode }),
    )
}

fn recovering(
    episode: Uuid,
    opened_at: Timestamp,
    well_since: Timestamp,
    now: Timestamp,
    hold_times: HoldTimes,
) -> (CheckPhase, Option<CheckAnnouncement>) {
    if now.saturating_since(well_since) < hold_times.before_resolve {
        let phase = CheckPhase::Recovering {
            episode,
            opened_at,
            well_since,
        };
        return (phase, None);
    }
    (
        CheckPhase::Well,
        Some(CheckAnnouncement::Resolved { episode, opened_at }),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: HoldTimes = HoldTimes {
        before_open: Duration::from_mins(1),
        before_resolve: Duration::from_mins(2),
    };

    fn run(looks: &[(i64, Found)]) -> (CheckState, Vec<(i64, CheckAnnouncement)>) {
        let mut state = CheckState::WELL;
        let mut announcements = Vec::new();
        for (secs, is_found) in looks {
            let now = Timestamp::from_secs(*secs);
            let episode = Uuid::from_u128(u128::from(secs.unsigned_abs()) + 1);
            let (next, announcement) = step(state, *is_found, now, PATIENCE, episode);
            announcements.extend(announcement.map(|announcement| (*secs, announcement)));
            state = next;
        }
        (state, announcements)
    }

    #[test]
    fn what_lasts_opens_once_and_resolves_once() {
        use Found::{No, Yes};
        let (end, announcements) = run(&[
            (0, Yes),
            (30, Yes),
            (60, Yes),
            (90, Yes),
            (100, No),
            (219, No),
            (220, No),
            (300, No),
        ]);
        let episode = Uuid::from_u128(61);
        let opened_at = Timestamp::from_secs(60);
        let expected = [
            (60, CheckAnnouncement::Opened { episode }),
            (220, CheckAnnouncement::Resolved { episode, opened_at }),
        ];
        assert_eq!(announcements, expected);
        assert_eq!(end.phase, CheckPhase::Well);
    }

    #[test]
    fn what_flickers_is_told_once_or_not_at_all() {
        use Found::{No, Yes};
        assert_eq!(run(&[(0, Yes), (30, No), (50, Yes), (100, No)]).1, []);
        let (_, announcements) = run(&[
            (0, Yes),
            (60, Yes),
            (70, No),
            (100, Yes),
            (110, No),
            (200, Yes),
        ]);
        assert_eq!(announcements.len(), 1);
    }

    proptest! {
        #[test]
        fn openings_and_ends_take_turns_and_versions_are_dense(
            looks in proptest::collection::vec((0_i64..100, any::<bool>()), 0..200),
        ) {
            let mut at = 0;
            let looks: Vec<_> = looks
                .into_iter()
                .map(|(pause, found)| {
                    at += pause;
                    (at, if found { Found::Yes } else { Found::No })
                })
                .collect();
            let (_, announcements) = run(&looks);
            for (index, (_, announcement)) in announcements.iter().enumerate() {
                prop_assert_eq!(matches!(announcement, CheckAnnouncement::Opened { .. }), index % 2 == 0);
            }
            for pair in announcements.chunks_exact(2) {
                let (CheckAnnouncement::Opened { episode: began }, CheckAnnouncement::Resolved { episode: ended, .. }) =
                    (pair[0].1, pair[1].1)
                else {
                    return Err(TestCaseError::fail("a pair of no begin and end"));
                };
                prop_assert_eq!(began, ended);
                prop_assert!(pair[1].0 - pair[0].0 >= 120);
            }
        }
    }
}
