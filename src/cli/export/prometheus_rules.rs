//! Recording rules for Prometheus, with the names and labels of [Sloth](https://sloth.dev).
//!
//! Sloth divides rates of counters. A correction subtracts an event that was counted hours ago,
//! which a rate cannot represent. So the rules first record the current totals of events, and
//! divide their differences over each window.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::domain::slo::{Catalog, Slo, format_duration};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// The windows of Sloth's rules and dashboards; that of the SLO is added last.
const WINDOWS: [Duration; 7] = [
    Duration::from_mins(5),
    Duration::from_mins(30),
    HOUR,
    Duration::from_hours(2),
    Duration::from_hours(6),
    DAY,
    Duration::from_hours(72),
];
const BAD: &str = "late|failed|timeout|extrapolated_bad";
const ALL: &str = "good|late|failed|timeout|extrapolated_good|extrapolated_bad";
const HEAD: &str =
    "# Made by `throughline export prometheus-rules`. Make it again when the definitions change.\n";

#[derive(Debug, Serialize)]
struct RuleFile {
    groups: Vec<RuleGroup>,
}

#[derive(Debug, Serialize)]
struct RuleGroup {
    name: String,
    rules: Vec<RecordingRule>,
}

#[derive(Debug, Serialize)]
struct RecordingRule {
    record: String,
    expr: String,
    labels: BTreeMap<&'static str, String>,
}

/// Returns the rules of all SLOs as a Prometheus rule file.
pub(super) fn of_catalog(catalog: &Catalog) -> anyhow::Result<String> {
    let groups = catalog.slos.values().flat_map(|slo| {
        let rules = SloRules::new(slo);
        [rules.ratios(), rules.about()]
    });
    let file = RuleFile {
        groups: groups.collect(),
    };
    Ok(format!("{HEAD}{}", serde_saphyr::to_string(&file)?))
}

/// The data that the rules of one SLO share.
struct SloRules<'a> {
    slo: &'a Slo,
    id: String,
    service: &'a str,
    window: Duration,
}

impl<'a> SloRules<'a> {
    fn new(slo: &'a Slo) -> Self {
        // Every series of Sloth has a service.
        let service = slo.service.as_deref().unwrap_or(slo.name.as_str());
        Self {
            slo,
            id: format!("{service}-{}", slo.name),
            service,
            window: slo.window.length(),
        }
    }

    /// Returns the rules for the error ratio of each window.
    fn ratios(&self) -> RuleGroup {
        let mut rules = vec![
            self.rule("slo:bad_events:sum", self.events(BAD)),
            self.rule("slo:events:sum", self.events(ALL)),
        ];
        let shorter = WINDOWS.into_iter().filter(|window| *window < self.window);
        for window in shorter.chain([self.window]) {
            rules.push(self.ratio(window));
        }
        self.group("sli", rules)
    }

    /// Returns the expression for the current totals. Every replica has the same, so one of them is
    /// enough.
    fn events(&self, outcomes: &str) -> String {
        let now = |metric: &str| {
            format!(
                "sum(max by (outcome) ({metric}{{slo=\"{}\",group=\"\",outcome=~\"{outcomes}\"}}))",
                self.slo.name
            )
        };
        format!(
            "{}\n- {}\n",
            now("throughline_slo_events_total"),
            now("throughline_slo_corrected_events_total")
        )
    }

    fn ratio(&self, window: Duration) -> RecordingRule {
        let text = window_text(window);
        let change = |metric: &str| format!("delta({}[{text}])", self.recorded(metric));
        // If corrections subtracted more than was added, there is no ratio.
        let expr = format!(
            "clamp({}\n/ ({} > 0), 0, 1)\n",
            change("slo:bad_events:sum"),
            change("slo:events:sum")
        );
        let mut rule = self.rule(&ratio_name(window), expr);
        rule.labels.insert("sloth_window", text);
        rule
    }

    /// Returns the rules for objective, budget and burn rates.
    fn about(&self) -> RuleGroup {
        let objective = self.slo.objective;
        let days = self.window.as_secs_f64() / DAY.as_secs_f64();
        let budget = self.recorded("slo:error_budget:ratio");
        let burn_rate = |window| {
            let ratio = self.recorded(&ratio_name(window));
            format!("{ratio}\n/ on(sloth_id, sloth_slo, sloth_service) group_left\n{budget}\n")
        };
        let left = format!("1 - {}", self.recorded("slo:period_burn_rate:ratio"));
        let shortest = WINDOWS[0].min(self.window);
        let rules = vec![
            self.rule("slo:objective:ratio", vector(objective.ratio())),
            self.rule("slo:error_budget:ratio", vector(objective.budget_ratio())),
            self.rule("slo:time_period:days", vector(days)),
            self.rule("slo:current_burn_rate:ratio", burn_rate(shortest)),
            self.rule("slo:period_burn_rate:ratio", burn_rate(self.window)),
            self.rule("slo:period_error_budget_remaining:ratio", left),
            self.info(),
        ];
        self.group("meta", rules)
    }

    fn info(&self) -> RecordingRule {
        let mut rule = self.rule("sloth_slo_info", vector(1.0));
        let percent = self.slo.objective.to_string();
        let percent = percent.trim_end_matches('%').trim_end().to_owned();
        rule.labels.insert("sloth_objective", percent);
        rule.labels.insert("sloth_mode", "throughline".to_owned());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        rule.labels.insert("sloth_version", version);
        rule
    }

    fn group(&self, kind: &str, rules: Vec<RecordingRule>) -> RuleGroup {
        RuleGroup {
            name: format!("sloth-slo-{kind}-recordings-{}", self.id),
            rules,
        }
    }

    fn rule(&self, record: &str, expr: String) -> RecordingRule {
        let labels = [
            ("sloth_id", self.id.as_str()),
            ("sloth_service", self.service),
            ("sloth_slo", self.slo.name.as_str()),
        ];
        RecordingRule {
            record: record.to_owned(),
            expr,
            labels: labels.map(|(name, value)| (name, value.to_owned())).into(),
        }
    }

    /// Returns a series that another rule records.
    fn recorded(&self, metric: &str) -> String {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            "{metric}{{sloth_id=\"{}\",sloth_service=\"{}\",sloth_slo=\"{}\"}}",
            quoted(&self.id),
            quoted(self.service),
            self.slo.name
        )
    }
}

fn ratio_name(window: Duration) -> String {
    format!("slo:sli_error:ratio_rate{}", window_text(window))
}

/// Formats a window as Sloth does: `5m`, `1h`, `3d`, `30d`.
fn window_text(window: Duration) -> String {
    format_duration(window)
}

fn vector(value: f64) -> String {
    format!("vector({value})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::slo::definition::{DefinitionFile, load};

    fn exported(spec: &str) -> String {
        let text = format!(
            "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: orders }}\nspec:\n  \
             objective: 99.5%\n  indicator:\n    span: {{ match: '{{ true }}', good: '{{ true }}' }}\n{spec}"
        );
        let file = DefinitionFile {
            path: "orders.yaml".to_owned(),
            text,
        };
        let (catalog, _) = load(&[file]).unwrap();
        of_catalog(&catalog).unwrap()
    }

    #[test]
    fn an_slo_has_the_rules_of_sloth() {
        insta::assert_snapshot!(exported("  service: shop\n  window: 30d\n"));
    }

    #[test]
    fn a_window_that_sloth_has_too_is_computed_once() {
        let rules = exported("  window: 3d\n");
        assert_eq!(
            rules
                .matches("record: slo:sli_error:ratio_rate3d\n")
                .count(),
            1
        );
        assert!(!rules.contains("ratio_rate30d"));
    }

    #[test]
    fn a_calendar_month_is_as_long_as_the_longest() {
        let rules = exported("  window: { calendar: month, timeZone: UTC }\n");
        assert!(
            rules.contains("record: slo:sli_error:ratio_rate31d\n"),
            "{rules}"
        );
        assert!(rules.contains("expr: vector(31)\n"), "{rules}");
    }

    #[test]
    fn a_service_may_have_any_name() {
        let rules = exported("  service: 'the \"shop\"'\n  window: 30d\n");
        let quoted = r#"sloth_service="the \"shop\"""#;
        assert!(rules.contains(quoted), "{rules}");
    }
}
