//! One episode of an alert from beginning to end, and the updates to notify between them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Observation;
use crate::domain::{
    alerting::{alert::AlertUpdate, condition::Signal, suppression::Suppression},
    model::{ids::Name, time::Timestamp},
};

/// The time for which collectors retry by default: until then data may only be late.
const STALE_AFTER: Duration = Duration::from_mins(5);
/// The minimum time between two updates: numbers grow anyway while people read the first.
const SPACING: Duration = Duration::from_mins(30);
/// The interval of reminders in a chat of a page without an acknowledgement, as Alertmanager's
/// default `repeat_interval`.
const REMIND_AFTER: Duration = Duration::from_hours(4);
/// The minimum growth that is notified: one or two customers doubling is not significant.
const LEAST_MORE_CUSTOMERS: i64 = 5;

/// One uninterrupted problem, from firing to resolved.
///
/// Health checks, digests and reports have episodes as well: an episode is that by which notifications
/// belong together. An incident is an episode of an alert with what people read and add
/// ([`incident`](crate::domain::alerting::incident)). So columns say `episode`, and API and messages,
/// which speak of alerts, say `incident`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    pub id: Uuid,
    /// The rule that fired.
    pub rule: Name,
    /// The time at which the problem began, fixed when the rule fires; in whole minutes.
    pub began_at: Timestamp,
    pub fired_at: Timestamp,
    /// The number of times it burned again while recovering.
    pub flaps: u32,
    /// The time since when no verdict is possible for lack of data.
    pub stale_since: Option<Timestamp>,
    /// The reason for suppression, if a notification of the episode has been suppressed.
    pub muted: Option<Suppression>,
    pub last_notified: LastNotified,
}

/// The state at the last notification of the episode, sent or suppressed. Stored as JSON in
/// `alerts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastNotified {
    pub at: Timestamp,
    pub impact: Impact,
    /// The time of the last notification that data had stopped.
    #[serde(default)]
    pub data_stopped_at: Option<Timestamp>,
    /// True if that is the latest notification about the data.
    #[serde(default)]
    pub is_data_stopped: bool,
}

/// The measures of an alert whose growth makes it significantly worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// Customers with a bad event in the last hour; 0 if the SLO names none.
    pub customers: i64,
    pub budget_spent: bool,
}

/// The phase of an episode: firing or recovering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Burning,
    Recovering,
}

impl Episode {
    /// Begins an episode. Until [`Alert::begun_at`](super::Alert::begun_at) sets a better value, it
    /// began when it fired.
    pub fn begin(id: Uuid, rule: Name, fired_at: Timestamp) -> Self {
        Self {
            id,
            rule,
            began_at: fired_at,
            fired_at,
            flaps: 0,
            stale_since: None,
            muted: None,
            last_notified: LastNotified {
                at: fired_at,
                impact: Impact::default(),
                data_stopped_at: None,
                is_data_stopped: false,
            },
        }
    }

    /// Returns the update to notify, at most one per tick. It is recorded as notified even if it is
    /// suppressed; the end of the suppression is then notified.
    pub(super) fn develop(&mut self, course: Course, seen: &Observation) -> Option<AlertUpdate> {
        if let Some(silenced @ Suppression::Silenced { .. }) = seen.muted {
            self.muted = Some(silenced);
        }
        let development = self
            .unmuted(course, seen)
            .or_else(|| self.of_data(seen))
            .or_else(|| self.worse(course, seen))
            .or_else(|| self.reminder(course, seen))?;
        self.muted = seen.muted;
        self.last_notified.at = seen.at;
        Some(development)
    }

    /// Returns the end of a suppression, but only while the alert is firing, and that of an inhibition
    /// only while a rule burns, since the inhibiting alert often ends at the same time.
    fn unmuted(&mut self, course: Course, seen: &Observation) -> Option<AlertUpdate> {
        let was = match (self.muted?, seen.muted) {
            (_, Some(_)) => return None,
            (inhibited @ Suppression::Inhibited { .. }, None) => {
                matches!(seen.verdict, Signal::Breach(_)).then_some(inhibited)?
            }
            (Suppression::Silenced { silence, until }, None) => Suppression::Silenced {
                silence,
                until: until.min(seen.at),
            },
        };
        if course == Course::Recovering {
            return None;
        }
        self.last_notified.impact = seen.impact;
        Some(AlertUpdate::Unmuted { was })
    }

    fn of_data(&mut self, seen: &Observation) -> Option<AlertUpdate> {
        let Some(missing) = seen.missing else {
            let stopped_at = self.stale_since.take()?;
            let is_news = std::mem::take(&mut self.last_notified.is_data_stopped);
            return is_news.then_some(AlertUpdate::DataResumed { stopped_at });
        };
        let since = *self.stale_since.get_or_insert(seen.at);
        let last = &mut self.last_notified;
        let is_long = seen.at.saturating_since(since) >= STALE_AFTER;
        let notified_lately = last
            .data_stopped_at
            .is_some_and(|at| seen.at.saturating_since(at) < SPACING);
        if last.is_data_stopped || !is_long || notified_lately {
            return None;
        }
        last.is_data_stopped = true;
        last.data_stopped_at = Some(seen.at);
        Some(AlertUpdate::DataStopped {
            heard_until: Some(since),
            missing,
        })
    }

    fn reminder(&self, course: Course, seen: &Observation) -> Option<AlertUpdate> {
        let is_due = seen.at.saturating_since(self.last_notified.at) >= REMIND_AFTER;
        let is_wanted = seen.unacknowledged && seen.muted.is_none() && course == Course::Burning;
        (is_due && is_wanted).then_some(AlertUpdate::Reminded)
    }

    fn worse(&mut self, course: Course, seen: &Observation) -> Option<AlertUpdate> {
        let (last, now) = (self.last_notified, seen.impact);
        let burns = course == Course::Burning && matches!(seen.verdict, Signal::Breach(_));
        if !burns || seen.at.saturating_since(last.at) < SPACING {
            return None;
        }
        let before = last.impact.customers;
        let many = before.saturating_mul(2).max(before + LEAST_MORE_CUSTOMERS);
        let development = if now.budget_spent && !last.impact.budget_spent {
            AlertUpdate::BudgetSpent
        } else if now.customers >= many {
            AlertUpdate::MoreCustomers {
                before,
                now: now.customers,
            }
        } else {
            return None;
        };
        self.last_notified.impact = Impact {
            customers: now.customers.max(before),
            budget_spent: now.budget_spent || last.impact.budget_spent,
        };
        Some(development)
    }
}
