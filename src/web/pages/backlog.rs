//! Workflows that are stuck: how many, and whether their number grows.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{
    alerting::status::{LAST_HOUR, SloStatus},
    model::format,
};

/// Workflows that have not finished by their deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, JsonSchema, Serialize)]
pub(crate) struct Backlog {
    /// Over the period that `since_incident_began` selects.
    pub(crate) workflows: i64,
    /// True if they are counted since the current incident began; otherwise over the last hour.
    pub(crate) since_incident_began: bool,
    /// The recent growth per minute, in the short window of the rule that fired.
    pub(crate) per_minute: f64,
}

impl Backlog {
    pub(super) fn new(status: &SloStatus) -> Self {
        let lately = status.lately();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let [timeouts, minutes] = [lately.counts.timeout as f64, lately.secs as f64 / 60.0];
        Self {
            workflows: status.in_incident.unwrap_or(status.last_hour).timeout,
            since_incident_began: status.in_incident.is_some(),
            per_minute: timeouts / minutes.max(1.0),
        }
    }

    /// Formats `1,071 never finished since the incident began, 40 a minute more`.
    pub(crate) fn text(self) -> String {
        let count = format::count(self.workflows);
        let period = if self.since_incident_began {
            "since the incident began".to_owned()
        } else {
            format!("in the last {}", format::window(LAST_HOUR.as_secs()))
        };
        match self.pace_text() {
            Some(pace) => format!("{count} never finished {period}, {pace}"),
            None => format!("{count} never finished {period}"),
        }
    }

    /// Formats `40 a minute more`; `None` without such workflows.
    pub(crate) fn pace_text(self) -> Option<String> {
        (self.workflows > 0).then(|| match self.per_minute {
            rate if rate <= 0.0 => "no longer growing".to_owned(),
            rate if rate < 1.0 => "less than one a minute more".to_owned(),
            #[expect(clippy::cast_possible_truncation, reason = "counts of a minute")]
            rate => format!("{} a minute more", format::count(rate.round() as i64)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p14_the_stuck_workflows_are_given_with_their_period_and_how_fast_they_become_more() {
        let text = |workflows, per_minute, since_incident_began| {
            Backlog {
                workflows,
                since_incident_began,
                per_minute,
            }
            .text()
        };
        assert_eq!(
            text(1_071, 40.2, true),
            "1,071 never finished since the incident began, 40 a minute more"
        );
        assert_eq!(
            text(7, 0.2, false),
            "7 never finished in the last 1 h, less than one a minute more"
        );
        assert_eq!(
            text(7, 0.0, false),
            "7 never finished in the last 1 h, no longer growing"
        );
        assert_eq!(text(0, 0.0, false), "0 never finished in the last 1 h");
    }
}
