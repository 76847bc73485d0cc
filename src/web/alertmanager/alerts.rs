//! Firing alerts in the form of Alertmanager's API.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ReceiverView;
use crate::{
    domain::{
        alerting::{
            alert::AlertStatus,
            quality,
            silence::{AlertLabels, MatchOperator, Matcher, Silence},
            suppression::Suppression,
        },
        model::{format, group::Group, time::Timestamp},
        slo::{Severity, Slo},
    },
    store::{GroupRecord, SloRecord},
    web::{
        error::WebError,
        page::{Negotiation, fingerprint},
        query::{Parameters, Params},
        state::WebState,
    },
};

/// The time after which Alertmanager takes an alert as ended if it is not repeated.
const VALID: Duration = Duration::from_mins(5);

#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::web) struct GettableAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    receivers: Vec<ReceiverView>,
    fingerprint: String,
    starts_at: Timestamp,
    updated_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
    status: AlertStateView,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertStateView {
    /// `active` or `suppressed`.
    state: &'static str,
    silenced_by: Vec<Uuid>,
    /// Fingerprints of the inhibiting alerts.
    inhibited_by: Vec<String>,
}

/// The alerts of one SLO that go to one target.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct AlertGroupView {
    labels: BTreeMap<&'static str, String>,
    receiver: ReceiverView,
    alerts: Vec<GettableAlert>,
}

/// The alerts that a request asks for.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<(String, String)>")]
pub(in crate::web) struct AlertFilter {
    /// Those of `active`, `silenced` and `inhibited` that are left out.
    without: Vec<String>,
    /// Matchers of labels.
    matchers: Vec<Matcher>,
    /// A regular expression that matches receivers.
    receiver: Option<Matcher>,
}

impl Parameters for AlertFilter {
    /// `unprocessed` and `muted` are accepted, but no alert is in these states here.
    const NAMES: &'static [&'static str] = &[
        "active",
        "silenced",
        "inhibited",
        "unprocessed",
        "muted",
        "filter",
        "receiver",
    ];
}

impl TryFrom<Vec<(String, String)>> for AlertFilter {
    type Error = String;

    fn try_from(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut filter = Self {
            without: Vec::new(),
            matchers: Vec::new(),
            receiver: None,
        };
        for (name, value) in pairs {
            let matcher = |text: &str| text.parse::<Matcher>().map_err(|error| error.to_string());
            match name.as_str() {
                "filter" => filter.matchers.push(matcher(&value)?),
                "receiver" => {
                    let text = Matcher::text("receiver", MatchOperator::Like, &value);
                    filter.receiver = Some(matcher(&text)?);
                }
                _ => match value.as_str() {
                    "true" => {}
                    "false" => filter.without.push(name),
                    _ => return Err(format!("`{name}` is `true` or `false`")),
                },
            }
        }
        Ok(filter)
    }
}

impl AlertFilter {
    fn takes(&self, labels: &AlertLabels, status: &AlertStateView) -> bool {
        let is_silenced = !status.silenced_by.is_empty();
        let is_inhibited = !status.inhibited_by.is_empty();
        let kinds = [
            ("active", !is_silenced && !is_inhibited),
            ("silenced", is_silenced),
            ("inhibited", is_inhibited),
        ];
        let is_left_out = |name: &str| self.without.iter().any(|without| without == name);
        let takes_state = !kinds
            .iter()
            .any(|(name, is_in)| *is_in && is_left_out(name));
        takes_state && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    fn takes_receiver(&self, receiver: &ReceiverView) -> bool {
        self.receiver.as_ref().is_none_or(|matcher| {
            let named = [("receiver".to_owned(), receiver.name.clone())];
            matcher.matches(&AlertLabels::from_iter(named))
        })
    }
}

pub(in crate::web) async fn get(
    asked: Negotiation,
    state: WebState,
    Params(filter): Params<AlertFilter>,
) -> Response {
    asked.view(&state, firing(&state, &filter).await)
}

pub(in crate::web) async fn groups(
    asked: Negotiation,
    state: WebState,
    Params(filter): Params<AlertFilter>,
) -> Response {
    let alerts = firing(&state, &filter).await;
    asked.view(&state, alerts.map(|alerts| grouped(&alerts, &filter)))
}

fn grouped(alerts: &[GettableAlert], filter: &AlertFilter) -> Vec<AlertGroupView> {
    let mut groups: BTreeMap<(&ReceiverView, &str), Vec<GettableAlert>> = BTreeMap::new();
    for alert in alerts {
        let name = alert.labels.get("alertname").map_or("", String::as_str);
        let wanted = alert.receivers.iter();
        for receiver in wanted.filter(|receiver| filter.takes_receiver(receiver)) {
            let group = groups.entry((receiver, name)).or_default();
            group.push(alert.clone());
        }
    }
    let groups = groups.into_iter();
    groups
        .map(|((receiver, name), alerts)| AlertGroupView {
            labels: BTreeMap::from([("alertname", name.to_owned())]),
            receiver: receiver.clone(),
            alerts,
        })
        .collect()
}

async fn firing(state: &WebState, filter: &AlertFilter) -> Result<Vec<GettableAlert>, WebError> {
    let now = state.clock.now();
    let catalog = Arc::clone(&state.catalog.borrow());
    let mut tx = state.reads().begin("read the alerts").await?;
    let mut silences = tx.silences_ended_after(now).await?;
    silences.retain(|silence| silence.mutes_until(now).is_some());
    let of_slos = tx.slos().await?.into_iter().map(|record| (None, record));
    let of_groups = tx.groups_with_alerts().await?.into_iter();
    let of_groups = of_groups.map(|GroupRecord { group, record }| (Some(group), record));
    let mut alerts = Vec::new();
    for (group, record) in of_slos.chain(of_groups) {
        let (Some(slo), Some(status)) = (catalog.slos.get(&record.name), &record.status) else {
            continue;
        };
        let shown = state.shown(&slo.name, group.clone());
        let subject = AlertSubject {
            slo,
            group: group.as_ref(),
            shown: shown.as_ref(),
            record: &record,
            evaluated_at: status.evaluated_at,
            public_url: state.writes.public_url.as_deref(),
        };
        let firing = status.alerts.iter().filter(|alert| alert.state.fires());
        alerts.extend(firing.filter_map(|alert| subject.alert(alert, &silences, filter)));
    }
    Ok(alerts)
}

/// The SLO or group of an alert.
struct AlertSubject<'a> {
    slo: &'a Slo,
    group: Option<&'a Group>,
    /// The group as the reader may see it.
    shown: Option<&'a Group>,
    record: &'a SloRecord,
    evaluated_at: Timestamp,
    public_url: Option<&'a str>,
}

impl AlertSubject<'_> {
    /// Returns the alert if `filter` includes it.
    fn alert(
        &self,
        alert: &AlertStatus,
        silences: &[Silence],
        filter: &AlertFilter,
    ) -> Option<GettableAlert> {
        let labels = AlertLabels::of_slo(self.slo, self.group, alert.severity);
        let muting = silences.iter().filter(|silence| silence.matches(&labels));
        let labels = AlertLabels::of_slo(self.slo, self.shown, alert.severity);
        let silenced_by: Vec<Uuid> = muting.map(|silence| silence.id).collect();
        let inhibited_by = match alert.progress.muted {
            Some(Suppression::Inhibited { by }) => vec![self.fingerprint_of_slo(by)],
            Some(Suppression::Silenced { .. }) | None => Vec::new(),
        };
        let is_active = silenced_by.is_empty() && inhibited_by.is_empty();
        let status = AlertStateView {
            state: if is_active { "active" } else { "suppressed" },
            silenced_by,
            inhibited_by,
        };
        let receivers = self.receivers(alert);
        let is_wanted = filter.takes(&labels, &status)
            && (filter.receiver.is_none()
                || receivers
                    .iter()
                    .any(|receiver| filter.takes_receiver(receiver)));
        is_wanted.then(|| GettableAlert {
            fingerprint: fingerprint_of(&labels),
            labels: owned(&labels),
            annotations: self.annotations(alert),
            receivers,
            starts_at: alert.since,
            updated_at: self.evaluated_at,
            ends_at: self.evaluated_at + VALID,
            generator_url: self.public_url.map(|url| self.address(url)),
            status,
        })
    }

    fn receivers(&self, alert: &AlertStatus) -> Vec<ReceiverView> {
        let (notify, severity) = (&self.slo.notify, alert.severity);
        let of_rule = alert.rule.as_ref();
        let names = of_rule.map(|rule| quality::recipients(notify, severity, rule, None));
        let names = names.unwrap_or_default();
        if names.is_empty() {
            return vec![ReceiverView::nobody()];
        }
        names.iter().map(ReceiverView::from).collect()
    }

    fn annotations(&self, alert: &AlertStatus) -> BTreeMap<&'static str, String> {
        let group = self.shown.map(|group| format!(" ({})", group.text()));
        let summary = format!("{}{}", self.slo.display_name, group.unwrap_or_default());
        let rule = alert.rule.as_ref().map(ToString::to_string);
        let began_at = alert.began_at.unwrap_or(alert.since);
        [
            ("summary", Some(summary)),
            ("description", self.slo.description.clone()),
            ("rule", rule),
            ("began", Some(format::date_time(began_at))),
            ("runbook_url", self.slo.runbook.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    fn address(&self, public_url: &str) -> String {
        let base = public_url.trim_end_matches('/');
        let slo = &self.slo.name;
        match self.group {
            None => format!("{base}/slos/{slo}"),
            Some(_) => format!("{base}/slos/{slo}/groups/{}", self.record.id.0),
        }
    }

    /// Returns the fingerprint of the alert of the whole SLO.
    fn fingerprint_of_slo(&self, severity: Severity) -> String {
        fingerprint_of(&AlertLabels::of_slo(self.slo, None, severity))
    }
}

fn owned(labels: &AlertLabels) -> BTreeMap<String, String> {
    let labels = labels.of_prometheus().into_iter();
    labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn fingerprint_of(labels: &AlertLabels) -> String {
    let labels = serde_json::to_vec(&labels.of_prometheus()).unwrap_or_default();
    fingerprint(&labels)
}
