//! Texts for rules on one number, for pages and notifications.

use std::time::Duration;

use super::{ThresholdStatus, usual_length};
use crate::domain::{counting::customers::up_to, model::format, slo::Limit};

impl Limit {
    /// Returns the name of the number: `budget spent`.
    pub const fn title(&self) -> &'static str {
        match *self {
            Limit::BudgetSpent { .. } => "budget spent",
            Limit::Exhaustion { .. } => "budget gone",
            Limit::Customers { .. } => "customers affected",
            Limit::Absence { .. } => "no events",
            Limit::AtRisk { .. } => "workflows at risk",
            Limit::NeverEnded => "no end",
            Limit::Unusable { .. } => "unusable events",
            Limit::Uncorrelated { .. } => "starts without an id",
        }
    }

    /// Formats the limit: `90 %`, `in 4 h`, `10 in 1 h`, `for 15 min`.
    pub fn threshold(&self) -> String {
        match *self {
            Limit::BudgetSpent { over }
            | Limit::Unusable { over, .. }
            | Limit::Uncorrelated { over } => format::percent(over),
            Limit::Exhaustion { within } => format!("in {}", format::duration(within)),
            Limit::Customers { affected, length } => {
                let affected = format::count(i64::from(affected));
                format!("{affected} in {}", format::duration(length))
            }
            Limit::Absence { length } => format!("for {}", format::duration(length)),
            Limit::AtRisk { used, workflows } => {
                let workflows = format::count(i64::from(workflows));
                format!("{workflows} at {}", format::percent(used))
            }
            Limit::NeverEnded => format::NONE.to_owned(),
        }
    }
}

impl ThresholdStatus {
    /// Formats the number: `92 %`, `in 3 h 20 min`, `12`, `0 events`.
    pub fn reading(&self) -> String {
        match (self.limit, self.value) {
            (Limit::Absence { .. }, _) => format::counted(self.window.counts.total(), "event"),
            (_, None) => format::NONE.to_owned(),
            (Limit::BudgetSpent { .. }, Some(spent)) => format::budget(spent),
            (Limit::AtRisk { .. }, Some(workflows)) => format::count(whole(workflows)),
            (Limit::NeverEnded, Some(ends)) => format::counted(whole(ends), "end"),
            (Limit::Unusable { .. } | Limit::Uncorrelated { .. }, Some(share)) => {
                format::percent(share)
            }
            (Limit::Exhaustion { .. }, Some(secs)) => lasting(secs),
            (Limit::Customers { .. }, Some(count)) => self.at_most(format::count(whole(count))),
        }
    }

    /// Formats the number and its limit: `92 % of the budget spent, limit 90 %`.
    pub fn sentence(&self) -> String {
        let threshold = self.limit.threshold();
        match (self.limit, self.value) {
            (Limit::BudgetSpent { .. }, Some(spent)) => format!(
                "{} of the budget spent, limit {threshold}",
                format::budget(spent)
            ),
            (Limit::BudgetSpent { .. }, None) => {
                format!("no event that could spend the budget, limit {threshold}")
            }
            (Limit::Exhaustion { .. }, Some(secs)) if secs <= 0.0 => "budget spent".to_owned(),
            (Limit::Exhaustion { .. }, Some(secs)) => {
                format!("budget gone {}, limit {threshold}", lasting(secs))
            }
            (Limit::Exhaustion { .. }, None) => {
                format!("budget does not burn down, limit {threshold}")
            }
            (Limit::Customers { affected, .. }, count) => format!(
                "{} with a bad event in {}, limit {}",
                self.at_most(format::counted(
                    whole(count.unwrap_or_default()),
                    "customer"
                )),
                self.window.text(),
                format::count(i64::from(affected))
            ),
            (Limit::AtRisk { used, workflows }, at_risk) => format!(
                "{} of the time limit used, {} in flight, limit {}",
                format::percent(used),
                format::count(whole(at_risk.unwrap_or_default())),
                format::count(i64::from(workflows))
            ),
            (Limit::Absence { length }, usual) => self.absence(length, usual.unwrap_or_default()),
            (Limit::NeverEnded, ends) => self.never_ended(whole(ends.unwrap_or_default())),
            (Limit::Unusable { .. }, _) => self.unusable(),
            (Limit::Uncorrelated { .. }, _) => self.uncorrelated(),
        }
    }

    /// Marks the number, if it is the largest possible one.
    fn at_most(&self, number: String) -> String {
        if self.value_is_upper_bound {
            up_to(&number)
        } else {
            number
        }
    }

    /// Returns the number as a multiple of its limit, so that the limit is 1 for every kind. `None`
    /// if there is no number.
    pub fn share_of_limit(&self) -> Option<f64> {
        let value = self.value?;
        match self.limit {
            Limit::BudgetSpent { over }
            | Limit::Unusable { over, .. }
            | Limit::Uncorrelated { over } => Some(value / over),
            Limit::Exhaustion { .. } if value <= 0.0 => Some(f64::INFINITY),
            Limit::Exhaustion { within } => Some(within.as_secs_f64() / value),
            Limit::Customers { affected, .. } => Some(value / f64::from(affected)),
            Limit::AtRisk { workflows, .. } => Some(value / f64::from(workflows)),
            Limit::Absence { .. } | Limit::NeverEnded => None,
        }
    }

    /// Formats "no span has ever matched `finish`, so 100 timeouts in 1 h may only mean a wrong
    /// selector".
    fn never_ended(&self, ends: i64) -> String {
        let timeouts = format::counted(self.window.counts.timeout, "timeout");
        let window = self.window.text();
        match ends {
            ..=0 => format!(
                "no span has ever matched `finish`, so {timeouts} in {window} may only mean a wrong \
                 selector{}",
                self.nearest()
            ),
            ends => format!(
                "{} matched `finish` in {window}, none of them with a start: ids differ, so {timeouts} \
                 mean nothing yet",
                format::counted(ends, "span")
            ),
        }
    }

    fn nearest(&self) -> String {
        let nearest = self.lacking.as_ref();
        nearest.map_or_else(String::new, |nearest| format!("; nearest: {nearest}"))
    }

    /// Formats `990 of 1,000 events cannot be used (99 %) in 1 h: 990 invalid, as clocks differ;
    /// whether to page is in doubt`.
    fn unusable(&self) -> String {
        let counts = self.window.counts;
        let share = self.value.map_or(format::NONE.to_owned(), format::percent);
        let reasons: Vec<String> = [
            (counts.invalid, "invalid (often clocks that differ)"),
            (
                counts.ambiguous,
                "ambiguous (which of several ended is unknown)",
            ),
            (counts.evidence_lost, "with evidence that was lost"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{} {why}", format::count(count)))
        .collect();
        let is_page_in_doubt = matches!(
            self.limit,
            Limit::Unusable {
                page_in_doubt: true,
                ..
            }
        );
        let doubt = if is_page_in_doubt {
            "; whether to page is in doubt"
        } else {
            ""
        };
        format!(
            "{} of {} cannot be used ({share}) in {}: {}{doubt}",
            format::count(counts.unusable()),
            format::counted(counts.total() + counts.unusable(), "event"),
            self.window.text(),
            reasons.join(", ")
        )
    }

    /// Formats `95 % of start spans in 1 h have no span.order.id: their workflows are not monitored`.
    fn uncorrelated(&self) -> String {
        let share = self.value.map_or(format::NONE.to_owned(), format::percent);
        let lacking = self.lacking.as_deref().unwrap_or("id");
        format!(
            "{share} of start spans in {} have no {lacking}: their workflows are not monitored",
            self.window.text()
        )
    }

    fn absence(&self, length: Duration, usual: f64) -> String {
        let now = match self.window.counts.total() {
            0 => "no event".to_owned(),
            some => format::counted(some, "event"),
        };
        format!(
            "{now} in {}, {} in {} a week ago",
            format::duration(length),
            format::count(whole(usual)),
            format::duration(usual_length(length))
        )
    }
}

fn lasting(secs: f64) -> String {
    let length = Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX);
    format!("in {}", format::lasting(length))
}

fn whole(number: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "it was a whole number")]
    let whole = number as i64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        alerting::{rule_status::WindowStatus, threshold::ThresholdState},
        model::counts::EventCounts,
        slo::Severity,
    };

    fn sentence(limit: Limit, value: Option<f64>) -> String {
        let window = match limit {
            Limit::Customers { length, .. } | Limit::Absence { length } => length,
            Limit::BudgetSpent { .. }
            | Limit::Exhaustion { .. }
            | Limit::AtRisk { .. }
            | Limit::NeverEnded
            | Limit::Unusable { .. }
            | Limit::Uncorrelated { .. } => Duration::from_hours(1),
        };
        let status = ThresholdStatus {
            value_is_upper_bound: false,
            name: "rule".parse().unwrap(),
            severity: Severity::Page,
            limit,
            value,
            pending_for: Duration::ZERO,
            state: ThresholdState::Over,
            as_good: None,
            lacking: None,
            window: WindowStatus::new(window.as_secs(), EventCounts::ZERO, None),
        };
        status.sentence()
    }

    #[test]
    fn every_kind_says_where_its_number_is_and_where_its_limit() {
        let hour = Duration::from_hours(1);
        let spent = Limit::BudgetSpent { over: 0.9 };
        assert_eq!(
            sentence(spent, Some(0.92)),
            "92 % of the budget spent, limit 90 %"
        );
        let gone = Limit::Exhaustion { within: hour * 4 };
        assert_eq!(
            sentence(gone, Some(12_000.0)),
            "budget gone in 3 h 20 min, limit in 4 h"
        );
        assert_eq!(sentence(gone, Some(0.0)), "budget spent");
        let customers = Limit::Customers {
            affected: 10,
            length: hour,
        };
        assert_eq!(
            sentence(customers, Some(12.0)),
            "12 customers with a bad event in 1 h, limit 10"
        );
        let absence = Limit::Absence {
            length: Duration::from_mins(15),
        };
        assert_eq!(
            sentence(absence, Some(240.0)),
            "no event in 15 min, 240 in 1 h a week ago"
        );
    }
}
