//! The labels of alerts, which silences match.

use std::collections::BTreeMap;

use crate::domain::{
    alerting::snapshot::AlertSnapshot,
    model::{group::Group, ids::Name},
    slo::{Severity, Slo},
};

/// The labels of one alert: `slo`, `severity`, `service` and `group`, the attributes of its group,
/// and the labels of the SLO. A missing label is the empty text, as in Alertmanager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertLabels(BTreeMap<String, String>);

impl AlertLabels {
    /// Makes labels. Those of the SLO never replace the built-in ones.
    pub fn new<'a>(
        (slo, group): (&Name, Option<&Group>),
        severity: Severity,
        service: Option<&str>,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        let mut put = |name: &str, value: &str| {
            all.insert(name.to_owned(), value.to_owned());
        };
        for (name, value) in labels {
            put(name, value);
        }
        for (name, value) in group.iter().flat_map(|group| group.pairs()) {
            put(name, value);
        }
        put("slo", slo.as_str());
        put(
            "severity",
            match severity {
                Severity::Page => "page",
                Severity::Ticket => "ticket",
            },
        );
        put("service", service.unwrap_or_default());
        put("group", &group.map(Group::values_text).unwrap_or_default());
        Self(all)
    }

    /// Returns the labels of an alert of a declared SLO.
    pub fn of_slo(slo: &Slo, group: Option<&Group>, severity: Severity) -> Self {
        Self::new(
            (&slo.name, group),
            severity,
            slo.service.as_deref(),
            text(&slo.labels),
        )
    }

    /// Returns the labels of the alert in a snapshot, as they were then.
    pub fn of_facts(facts: &AlertSnapshot) -> Self {
        Self::new(
            (&facts.slo, facts.group.as_ref()),
            facts.severity,
            facts.service.as_deref(),
            text(&facts.labels),
        )
    }

    pub(super) fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

fn text(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}
