//! The alert of one SLO and severity over time: inactive, pending, firing, recovering, and inactive
//! again.
//!
//! [`step`] is the whole state machine: a pure function of the state, one observation and the time.
//! It is called with the state in a row and its result is written by compare-and-swap, so replicas
//! that evaluate at the same time take the same steps as a single one.
//!
//! | state      | breach                    | clear                              | between | unknown |
//! |------------|---------------------------|------------------------------------|---------|---------|
//! | inactive   | pending, or **firing**    | -                                  | -       | -       |
//! | pending    | after its `for`: **firing** | inactive                         | holds   | holds   |
//! | firing     | -                         | recovering                         | -       | -       |
//! | recovering | firing, a flap            | after `resolve_after`: **inactive** | firing | holds   |
//!
//! Transitions in bold are notified, and so are updates of an episode: that it is significantly
//! worse, that data stopped or resumed, that its suppression has ended ([`Episode`]). A flap
//! between recovering and firing belongs to the same episode: it is counted and reported at the
//! end.
//!
//! A rule is in doubt if it burns only with the unusable events counted as bad
//! ([`Signal::InDoubt`]). It does not page: inactive and pending alerts stay as they are. A firing
//! alert keeps firing, and recovers while everything is clear with those events counted as good; it
//! then resolves after the long window of its rule ([`Observation::doubt_clears_after`]) instead of
//! `resolve_after`.
//!
//! The signal is unknown if nothing can be concluded: no data, stale data, too little data, or
//! inconsistent counts. An alert without data is not recovering. Both kinds of waiting count
//! evaluated time only: time without an evaluation or a verdict adds nothing, and after a gap
//! nothing changes before the second tick that is on time ([`TickHistory`]).

#[cfg(test)]
mod doubt_tests;
mod episode;
#[cfg(test)]
mod laws;
mod status;
#[cfg(test)]
mod tests;
mod tick_history;
mod transition_kind;
mod update;

use std::{collections::BTreeMap, time::Duration};

use uuid::Uuid;

pub use self::{
    episode::{Episode, Impact, LastNotified},
    status::{AlertProgress, AlertState, AlertStatus, Recovery, firing},
    tick_history::{Continuity, EvaluatedTime, TickGap, TickHistory},
    transition_kind::TransitionKind,
    update::{AlertUpdate, EpisodeEnd},
};
use super::{
    condition::{BreachedRule, Signal},
    suppression::Suppression,
};
use crate::domain::{
    alerting::rule_status::Missing,
    model::{ids::Name, time::Timestamp},
    slo::Severity,
};
use episode::Course;

/// The state of one alert. Every change increases the version by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub version: i64,
    pub phase: AlertPhase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertPhase {
    Inactive {
        since: Timestamp,
    },
    Pending(Waits),
    Firing(Episode),
    Recovering {
        episode: Episode,
        /// The evaluated time for which it has been clear.
        clear: EvaluatedTime,
    },
}

/// The evaluated time for which rules have burned that must burn for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    pub since: Timestamp,
    pub rules: BTreeMap<Name, EvaluatedTime>,
}

/// The result of one evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub at: Timestamp,
    pub verdict: Signal,
    pub continuity: Continuity,
    /// The missing input without which the alert cannot resolve.
    pub missing: Option<Missing>,
    /// The time for which the rules must be clear with unusable events counted as good before an
    /// alert in doubt resolves.
    pub doubt_clears_after: Duration,
    pub impact: Impact,
    /// The reason to suppress all notifications except ends.
    pub muted: Option<Suppression>,
    /// True if it is a page without an acknowledgement, whose target does not send reminders
    /// itself.
    pub unacknowledged: bool,
    /// The id of the episode that begins at this step, if one does.
    pub new_episode: Uuid,
}

/// A change that is recorded and notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub episode: Episode,
    /// The version of the alert after it.
    pub version: i64,
    pub at: Timestamp,
    pub change: AlertChange,
    /// The reason why it is not notified. For an end: the reason why the beginning was not
    /// notified, if it was not.
    pub suppression: Option<Suppression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertChange {
    Fired,
    Developed(AlertUpdate),
    Resolved(EpisodeEnd),
}

impl Alert {
    /// Makes the alert of an SLO that has never been evaluated.
    pub const fn new(since: Timestamp) -> Self {
        Self {
            version: 0,
            phase: AlertPhase::Inactive { since },
        }
    }

    pub const fn state(&self) -> AlertState {
        match self.phase {
            AlertPhase::Inactive { .. } => AlertState::Inactive,
            AlertPhase::Pending(_) => AlertState::Pending,
            AlertPhase::Firing(_) => AlertState::Firing,
            AlertPhase::Recovering { .. } => AlertState::Recovering,
        }
    }

    /// Returns the active episode.
    pub const fn episode(&self) -> Option<&Episode> {
        match &self.phase {
            AlertPhase::Inactive { .. } | AlertPhase::Pending(_) => None,
            AlertPhase::Firing(episode) | AlertPhase::Recovering { episode, .. } => Some(episode),
        }
    }

    /// Returns the status that pages show. A firing or recovering alert is so since the episode
    /// began.
    pub fn to_status(&self, severity: Severity) -> AlertStatus {
        let episode = self.episode();
        AlertStatus {
            severity,
            state: self.state(),
            since: match &self.phase {
                AlertPhase::Inactive { since } | AlertPhase::Pending(Waits { since, .. }) => *since,
                AlertPhase::Firing(episode) | AlertPhase::Recovering { episode, .. } => {
                    episode.fired_at
                }
            },
            began_at: episode.map(|episode| episode.began_at),
            rule: episode.map(|episode| episode.rule.clone()),
            progress: episode.map_or_else(AlertProgress::default, |episode| AlertProgress {
                flaps: episode.flaps,
                data_stale_since: episode.stale_since,
                muted: episode.muted,
                recovery: None,
            }),
        }
    }

    /// Sets the beginning of an episode that has just begun to fire.
    #[must_use]
    pub fn begun_at(mut self, began_at: Timestamp) -> Self {
        if let AlertPhase::Firing(episode) = &mut self.phase {
            episode.began_at = began_at;
        }
        self
    }

    fn moved_to(self, phase: AlertPhase) -> Self {
        let version = self.version + i64::from(self.phase != phase);
        Self { version, phase }
    }

    /// Keeps the state: waits do not grow until `at`.
    fn held(self, at: Timestamp) -> Self {
        let phase = match self.phase.clone() {
            phase @ (AlertPhase::Inactive { .. } | AlertPhase::Firing(_)) => phase,
            AlertPhase::Pending(waits) => AlertPhase::Pending(waits.passing_over_to(at)),
            AlertPhase::Recovering { episode, clear } => AlertPhase::Recovering {
                episode,
                clear: clear.passing_over_to(at),
            },
        };
        self.moved_to(phase)
    }
}

impl Waits {
    /// Continues the waits until `at`. Rules that no longer burn start again from zero when they
    /// do.
    fn counting_to(&self, at: Timestamp, burning: &[BreachedRule]) -> Self {
        let counted = |rule: &BreachedRule| {
            let known = self.rules.get(&rule.rule);
            let counted =
                known.map_or_else(|| EvaluatedTime::starting(at), |wait| wait.counting_to(at));
            (rule.rule.clone(), counted)
        };
        Self {
            since: self.since,
            rules: burning.iter().map(counted).collect(),
        }
    }

    fn passing_over_to(mut self, at: Timestamp) -> Self {
        for wait in self.rules.values_mut() {
            *wait = wait.passing_over_to(at);
        }
        self
    }

    /// Returns the first rule that has burned for long enough.
    fn over<'a>(&self, burning: &'a [BreachedRule]) -> Option<&'a Name> {
        let has_waited = |rule: &&BreachedRule| {
            let wait = self.rules.get(&rule.rule);
            wait.is_some_and(|wait| wait.so_far >= rule.pending_for)
        };
        burning.iter().find(has_waited).map(|over| &over.rule)
    }
}

impl Observation {
    /// Returns the time for which the present signal must last before the alert resolves; `None` if
    /// it is not clear.
    fn clears_after(&self, resolve_after: Duration) -> Option<Duration> {
        match self.verdict {
            Signal::Clear => Some(resolve_after),
            Signal::InDoubt {
                clear_as_good: true,
            } => Some(resolve_after.max(self.doubt_clears_after)),
            Signal::InDoubt {
                clear_as_good: false,
            }
            | Signal::Breach(_)
            | Signal::Between
            | Signal::TooFew
            | Signal::Unknown
            | Signal::Inconsistent
            | Signal::Undeclared => None,
        }
    }
}

impl Transition {
    /// Returns whether it is notified, and the alert is firing after it.
    pub fn is_notified(&self) -> bool {
        self.suppression.is_none() && self.change.kind().lasts()
    }
}

impl AlertChange {
    pub const fn kind(self) -> TransitionKind {
        match self {
            Self::Fired => TransitionKind::Firing,
            Self::Developed(development) => development.kind(),
            Self::Resolved(_) => TransitionKind::Resolved,
        }
    }
}

/// Returns the next state of `alert`, and the transition to notify, if any.
pub fn step(
    alert: Alert,
    seen: &Observation,
    resolve_after: Duration,
) -> (Alert, Option<Transition>) {
    if seen.verdict == Signal::Undeclared {
        return end_watch(alert, seen.at);
    }
    if seen.continuity == Continuity::AfterGap {
        return (alert.held(seen.at), None);
    }
    match alert.phase.clone() {
        AlertPhase::Inactive { .. } => begin(alert, seen),
        AlertPhase::Pending(waits) => wait(alert, &waits, seen),
        AlertPhase::Firing(episode) => match seen.clears_after(resolve_after) {
            Some(_) => recover(alert, episode, EvaluatedTime::starting(seen.at), seen),
            None => burn(alert, episode, seen),
        },
        AlertPhase::Recovering { mut episode, clear } => {
            if let Some(needed) = seen.clears_after(resolve_after) {
                let clear = clear.counting_to(seen.at);
                if clear.so_far >= needed {
                    return resolve(alert, episode, seen.at, EpisodeEnd::Recovered);
                }
                return recover(alert, episode, clear, seen);
            }
            match seen.verdict {
                Signal::Breach(_) => {
                    episode.flaps = episode.flaps.saturating_add(1);
                    burn(alert, episode, seen)
                }
                Signal::Between | Signal::InDoubt { .. } => burn(alert, episode, seen),
                Signal::Clear
                | Signal::TooFew
                | Signal::Unknown
                | Signal::Inconsistent
                | Signal::Undeclared => {
                    recover(alert, episode, clear.passing_over_to(seen.at), seen)
                }
            }
        }
    }
}

/// Ends the alert of a rule or SLO that was removed, since its end would never be observed.
fn end_watch(alert: Alert, at: Timestamp) -> (Alert, Option<Transition>) {
    match alert.phase.clone() {
        AlertPhase::Inactive { .. } => (alert, None),
        AlertPhase::Pending(_) => (alert.moved_to(AlertPhase::Inactive { since: at }), None),
        AlertPhase::Firing(episode) | AlertPhase::Recovering { episode, .. } => {
            resolve(alert, episode, at, EpisodeEnd::Undeclared)
        }
    }
}

fn begin(alert: Alert, seen: &Observation) -> (Alert, Option<Transition>) {
    let waits = Waits {
        since: seen.at,
        rules: BTreeMap::new(),
    };
    match seen.verdict {
        Signal::Breach(_) => wait(alert, &waits, seen),
        Signal::Clear
        | Signal::Between
        | Signal::InDoubt { .. }
        | Signal::TooFew
        | Signal::Unknown
        | Signal::Inconsistent
        | Signal::Undeclared => (alert, None),
    }
}

fn wait(alert: Alert, waits: &Waits, seen: &Observation) -> (Alert, Option<Transition>) {
    match &seen.verdict {
        Signal::Breach(burning) => {
            let waits = waits.counting_to(seen.at, burning);
            match waits.over(burning) {
                Some(rule) => fire(alert, seen, rule),
                None => (alert.moved_to(AlertPhase::Pending(waits)), None),
            }
        }
        Signal::Clear => (
            alert.moved_to(AlertPhase::Inactive { since: seen.at }),
            None,
        ),
        Signal::Between
        | Signal::InDoubt { .. }
        | Signal::TooFew
        | Signal::Unknown
        | Signal::Inconsistent
        | Signal::Undeclared => (alert.held(seen.at), None),
    }
}

fn fire(alert: Alert, seen: &Observation, rule: &Name) -> (Alert, Option<Transition>) {
    let mut episode = Episode::begin(seen.new_episode, rule.clone(), seen.at);
    episode.last_notified.impact = seen.impact;
    episode.muted = seen.muted;
    let alert = alert.moved_to(AlertPhase::Firing(episode.clone()));
    let transition = Transition {
        episode,
        version: alert.version,
        at: seen.at,
        change: AlertChange::Fired,
        suppression: seen.muted,
    };
    (alert, Some(transition))
}

fn burn(alert: Alert, mut episode: Episode, seen: &Observation) -> (Alert, Option<Transition>) {
    let development = episode.develop(Course::Burning, seen);
    let alert = alert.moved_to(AlertPhase::Firing(episode.clone()));
    let transition = developed(&alert, episode, development, seen);
    (alert, transition)
}

fn recover(
    alert: Alert,
    mut episode: Episode,
    clear: EvaluatedTime,
    seen: &Observation,
) -> (Alert, Option<Transition>) {
    let development = episode.develop(Course::Recovering, seen);
    let snapshot = episode.clone();
    let alert = alert.moved_to(AlertPhase::Recovering { episode, clear });
    let transition = developed(&alert, snapshot, development, seen);
    (alert, transition)
}

fn developed(
    alert: &Alert,
    episode: Episode,
    development: Option<AlertUpdate>,
    seen: &Observation,
) -> Option<Transition> {
    Some(Transition {
        episode,
        version: alert.version,
        at: seen.at,
        change: AlertChange::Developed(development?),
        suppression: seen.muted,
    })
}

fn resolve(
    alert: Alert,
    episode: Episode,
    at: Timestamp,
    end: EpisodeEnd,
) -> (Alert, Option<Transition>) {
    let alert = alert.moved_to(AlertPhase::Inactive { since: at });
    let transition = Transition {
        suppression: episode.muted,
        episode,
        version: alert.version,
        at,
        change: AlertChange::Resolved(end),
    };
    (alert, Some(transition))
}
