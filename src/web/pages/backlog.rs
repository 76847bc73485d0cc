//! Workflows that are stuck: how many, and whether they become more.

use serde::Serialize;

use crate::domain::{alerting::status::SloStatus, model::format};

/// Workflows that have not finished though their time is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Backlog {
    /// Since the incident began that goes on, else of the last hour.
    pub(crate) workflows: i64,
    /// So many more lately, in the short window of the rule that fired.
    pub(crate) per_minute: f64,
}

impl Backlog {
    pub(super) fn new(status: &SloStatus) -> Self {
        let lately = status.lately();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let [timeouts, minutes] = [lately.counts.timeout as f64, lately.secs as f64 / 60.0];
        Self {
            workflows: status.in_incident.unwrap_or(status.last_hour).timeout,
            per_minute: timeouts / minutes.max(1.0),
        }
    }

    /// `1,071 never finished, 40 a minute more`.
    pub(crate) fn text(self) -> String {
        let count = format::count(self.workflows);
        match self.pace_text() {
            Some(pace) => format!("{count} never finished, {pace}"),
            None => format!("{count} never finished"),
        }
    }

    /// `40 a minute more`; nothing where none are left behind.
    pub(crate) fn pace_text(self) -> Option<String> {
        (self.workflows > 0).then(|| match self.per_minute {
            rate if rate <= 0.0 => "no more of late".to_owned(),
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
    fn p14_what_is_stuck_is_told_with_how_fast_it_grows() {
        let text = |workflows, per_minute| {
            Backlog {
                workflows,
                per_minute,
            }
            .text()
        };
        assert_eq!(text(1_071, 40.2), "1,071 never finished, 40 a minute more");
        assert_eq!(
            text(7, 0.2),
            "7 never finished, less than one a minute more"
        );
        assert_eq!(text(7, 0.0), "7 never finished, no more of late");
        assert_eq!(text(0, 0.0), "0 never finished");
    }
}
