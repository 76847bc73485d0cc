//! The declaration of each SLO, with the numbers that follow from it: when its rules fire, whom
//! they notify, and which planned work is excluded.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        alerting::quality,
        model::{
            format,
            ids::Name,
            time::{TimeRange, Timestamp},
        },
        slo::{AlertRule, Severity, Slo, ThresholdRule, definition::Problem},
    },
    web::pages::{exclusions::ExclusionView, period},
};

/// The range of listed planned work, before and after now.
const EXCLUSIONS_WITHIN: Duration = Duration::from_hours(28 * 24);

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct DeclaredSlo {
    pub(super) name: Name,
    pub(super) display_name: String,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) objective: String,
    pub(super) window: String,
    pub(super) rules: Vec<DeclaredRule>,
    /// The minimum of bad events in the long window for a notification.
    least_bad_events: u64,
    resolve_after_seconds: u64,
    pub(super) exclusions: Vec<ExclusionView>,
}

/// A rule with its policy applied.
#[derive(Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub(super) struct DeclaredRule {
    pub(super) name: Name,
    pub(super) severity: Severity,
    /// Formats `13.44× over 1 h and 5 min`.
    pub(super) fires_at: String,
    /// The factor as a share of bad events: `6.72 % bad`; only for rules on burn rates.
    pub(super) means: Option<String>,
    /// The time for which the rule must burn, if declared.
    pub(super) lasting: Option<String>,
    pub(super) notifies: Vec<Name>,
}

impl DeclaredSlo {
    pub(super) fn new(slo: &Slo, now: Timestamp) -> Self {
        let on_burn = slo.alerting.rules.iter();
        let on_limits = slo.alerting.limits.iter();
        let range = TimeRange::new(now - EXCLUSIONS_WITHIN, now + EXCLUSIONS_WITHIN);
        Self {
            name: slo.name.clone(),
            display_name: slo.display_name.clone(),
            file: slo.source.file.clone(),
            line: slo.source.line,
            objective: format::objective(slo.objective.ratio()),
            window: period::declared(slo.window),
            rules: on_burn
                .map(|rule| DeclaredRule::on_burn(slo, rule))
                .chain(on_limits.map(|rule| DeclaredRule::on_limit(slo, rule)))
                .collect(),
            least_bad_events: slo.alerting.guard.bad_events,
            resolve_after_seconds: slo.alerting.resolve_after.as_secs(),
            exclusions: ExclusionView::all(slo, range),
        }
    }

    /// Formats `on at least 5 bad events; resolves after 5 min`.
    pub(super) fn guard_text(&self) -> String {
        format!(
            "on at least {} bad events; resolves after {}",
            self.least_bad_events,
            format::window(self.resolve_after_seconds)
        )
    }
}

impl DeclaredRule {
    fn on_burn(slo: &Slo, rule: &AlertRule) -> Self {
        let bad = (rule.factor * slo.objective.budget_ratio()).min(1.0);
        Self {
            name: rule.name.clone(),
            severity: rule.severity,
            fires_at: format!(
                "{} over {} and {}",
                format::factor(rule.factor),
                format::duration(rule.long),
                format::duration(rule.short)
            ),
            means: Some(format!("{} bad at the usual traffic", format::percent(bad))),
            lasting: lasting(rule.pending_for),
            notifies: quality::recipients(&slo.notify, rule.severity, &rule.name, None),
        }
    }

    fn on_limit(slo: &Slo, rule: &ThresholdRule) -> Self {
        Self {
            name: rule.name.clone(),
            severity: rule.severity,
            fires_at: format!("{} {}", rule.limit.title(), rule.limit.threshold()),
            means: None,
            lasting: lasting(rule.pending_for),
            notifies: quality::recipients(&slo.notify, rule.severity, &rule.name, None),
        }
    }

    pub(super) fn notifies_text(&self) -> String {
        if self.notifies.is_empty() {
            return "no one".to_owned();
        }
        let names: Vec<&str> = self.notifies.iter().map(Name::as_str).collect();
        names.join(", ")
    }
}

fn lasting(pending_for: Duration) -> Option<String> {
    (!pending_for.is_zero()).then(|| format!("for {}", format::duration(pending_for)))
}

/// A problem as `throughline validate` prints it: the line, and below it the underlined part.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(transparent)]
pub(super) struct ProblemView(pub(super) Problem);

impl ProblemView {
    pub(super) fn word(&self) -> &'static str {
        if self.0.is_error() {
            "Error"
        } else {
            "Warning"
        }
    }

    pub(super) fn place(&self) -> String {
        format!("{}:{}:{}", self.0.file, self.0.line, self.0.column)
    }

    /// Returns both lines, with the line's number.
    pub(super) fn underlined(&self) -> Option<String> {
        let excerpt = self.0.excerpt.as_ref()?;
        let number = self.0.line.to_string();
        let before = excerpt.text.get(..excerpt.span.start)?.chars().count();
        let marked = excerpt.text.get(excerpt.span.clone())?.chars().count();
        Some(format!(
            "{number} | {}\n{} | {}{}",
            excerpt.text,
            " ".repeat(number.len()),
            " ".repeat(before),
            "^".repeat(marked.max(1))
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slo::definition::{Excerpt, ProblemSeverity};

    #[test]
    fn p27_what_is_wrong_is_underlined_by_characters_and_not_by_bytes() {
        let finding = ProblemView(Problem {
            severity: ProblemSeverity::Error,
            file: "a.yaml".to_owned(),
            line: 14,
            column: 5,
            message: "unknown field".to_owned(),
            help: None,
            excerpt: Some(Excerpt {
                text: "ü: dead_line".to_owned(),
                span: 4..13,
            }),
        });
        assert_eq!(
            finding.underlined().unwrap(),
            "14 | ü: dead_line\n   |    ^^^^^^^^^"
        );
    }
}
