//! What a silence can ask of an alert.

use std::collections::BTreeMap;

use crate::domain::{
    alerting::snapshot::AlertSnapshot,
    model::{group::Group, ids::Name},
    slo::{Severity, Slo},
};

/// Of one alert: `slo`, `severity`, `service` and `group`, the attributes that a group is of, and the
/// labels of the SLO. What an alert does not have is the empty text, as in Alertmanager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertLabels(BTreeMap<String, String>);

impl AlertLabels {
    /// Labels never hide what the alert is of.
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

    /// Of an alert of a declared SLO.
    pub fn of_slo(slo: &Slo, group: Option<&Group>, severity: Severity) -> Self {
        Self::new(
            (&slo.name, group),
            severity,
            slo.service.as_deref(),
            text(&slo.labels),
        )
    }

    /// Of the alert that these facts are told of, as it was then.
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
