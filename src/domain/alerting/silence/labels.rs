//! The labels of alerts, which silences match.

use std::collections::BTreeMap;

use crate::domain::{
    alerting::snapshot::AlertSnapshot,
    model::{group::Group, ids::Name, text::label_name},
    slo::{Severity, Slo},
};

/// The labels of one alert, by name.
///
/// They are `alertname` and `slo`, which are the same, `severity`, `service` and `group`, the attributes
/// of its group, and the labels of the SLO. A missing label is the empty text, as in Alertmanager. A name
/// that Prometheus does not know, as `service.name`, is there in its form as well: `service_name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertLabels(BTreeMap<String, String>);

impl AlertLabels {
    /// Makes labels. Those of the SLO never replace the built-in ones.
    pub fn new<'a>(
        slo: &Name,
        group: Option<&Group>,
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
        put("alertname", slo.as_str());
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
        for (name, value) in all.clone() {
            all.entry(label_name(&name)).or_insert(value);
        }
        Self(all)
    }

    /// Returns those with a value and a name that Prometheus knows.
    pub fn of_prometheus(&self) -> BTreeMap<&str, &str> {
        let labels = text(&self.0);
        labels
            .filter(|(name, value)| !value.is_empty() && label_name(name) == *name)
            .collect()
    }

    /// Returns the labels of an alert of a declared SLO.
    pub fn of_slo(slo: &Slo, group: Option<&Group>, severity: Severity) -> Self {
        Self::new(
            &slo.name,
            group,
            severity,
            slo.service.as_deref(),
            text(&slo.labels),
        )
    }

    /// Returns the labels of the alert in a snapshot, as they were then.
    pub fn of_facts(facts: &AlertSnapshot) -> Self {
        Self::new(
            &facts.slo,
            facts.group.as_ref(),
            facts.severity,
            facts.service.as_deref(),
            text(&facts.labels),
        )
    }

    pub(super) fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl FromIterator<(String, String)> for AlertLabels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(labels: I) -> Self {
        Self(labels.into_iter().collect())
    }
}

fn text(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}
