//! The targets of notifications.

mod report_schedule;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::report_schedule::ReportSchedule;
use crate::domain::model::ids::Name;

/// Targets by name.
pub(super) type Targets = BTreeMap<Name, Arc<Target>>;

/// A place that notifications are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: Name,
    pub kind: TargetKind,
    /// The target to notify instead while this one cannot be reached.
    pub fallback: Option<Name>,
    /// Its name in earlier definitions.
    pub previous_name: Option<Name>,
    pub late: LatePolicy,
    /// The reports that it is sent every month.
    pub reports: Vec<ReportSchedule>,
}

/// The treatment of an alert's beginning that could not be delivered before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatePolicy {
    /// Both are sent, in their order.
    Deliver,
    /// Only the end is sent, with a note about what was missed.
    Collapse,
    /// Neither is sent: no one is called for an alert that is over.
    CollapseQuiet,
}

impl Target {
    pub const fn new(name: Name, kind: TargetKind) -> Self {
        let late = kind.usual_late_policy();
        Self {
            name,
            kind,
            fallback: None,
            previous_name: None,
            late,
            reports: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A request with the headers of Standard Webhooks.
    Webhook {
        url: SecretOrPlain,
        secret: Option<SecretRef>,
        format: WebhookFormat,
    },
    /// An incoming webhook of Slack.
    Slack { webhook_url: SecretRef },
    /// A bot of Slack, by its Web API: one thread for each episode.
    SlackBot {
        token: SecretRef,
        channel: String,
        url: Option<String>,
    },
    /// Events API v2.
    PagerDuty {
        routing_key: SecretRef,
        /// The previous key, for alerts that were triggered under it.
        previous_routing_key: Option<SecretRef>,
        url: Option<String>,
    },
    /// A workflow of Microsoft Teams.
    Teams { url: SecretRef },
    /// API v2, all replicas of one.
    Alertmanager { urls: Vec<SecretOrPlain> },
}

/// Returns the former and the present name of each target of `now` that had another name in
/// `before`.
///
/// A target is the same as before if its `previousName` says so, or if it sends to the same address
/// as a removed one. If several do, none of them is regarded as the same.
pub(super) fn renamed_targets(before: &Targets, now: &Targets) -> BTreeMap<Name, Name> {
    let is_new = |target: &&Arc<Target>| !before.contains_key(&target.name);
    let declared = now.values().filter_map(|target| {
        let former = target.previous_name.clone()?;
        Some((former, target.name.clone()))
    });
    let declared: BTreeMap<Name, Name> = declared.collect();
    let gone = before
        .values()
        .filter(|old| !now.contains_key(&old.name) && !declared.contains_key(&old.name));
    let moved = gone.filter_map(|old| {
        let mut heirs = now
            .values()
            .filter(is_new)
            .filter(|new| new.previous_name.is_none() && new.kind.sends_where(&old.kind));
        let (heir, other) = (heirs.next()?, heirs.next());
        other
            .is_none()
            .then(|| (old.name.clone(), heir.name.clone()))
    });
    moved.chain(declared.clone()).collect()
}

impl TargetKind {
    /// Returns the default: programs need every transition, people need the current state, and a
    /// phone should not ring for an alert that is over.
    pub const fn usual_late_policy(&self) -> LatePolicy {
        match self {
            Self::Webhook { .. } | Self::Alertmanager { .. } => LatePolicy::Deliver,
            Self::Slack { .. } | Self::SlackBot { .. } | Self::Teams { .. } => LatePolicy::Collapse,
            Self::PagerDuty { .. } => LatePolicy::CollapseQuiet,
        }
    }

    /// Returns whether people read it as it scrolls by: if there are more messages than they can
    /// read, they are combined into one.
    pub const fn is_chat(&self) -> bool {
        match self {
            Self::Slack { .. } | Self::SlackBot { .. } | Self::Teams { .. } => true,
            Self::Webhook { .. } | Self::PagerDuty { .. } | Self::Alertmanager { .. } => false,
        }
    }

    /// Returns whether it sends to the same address as `before`, as far as the definitions show:
    /// values of secrets are not known.
    fn sends_where(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Webhook { url, .. }, Self::Webhook { url: old, .. }) => url == old,
            (Self::Slack { webhook_url }, Self::Slack { webhook_url: old }) => webhook_url == old,
            (Self::Teams { url }, Self::Teams { url: old }) => url == old,
            (
                Self::SlackBot { channel, url, .. },
                Self::SlackBot {
                    channel: old_channel,
                    url: old_url,
                    ..
                },
            ) => (channel, url) == (old_channel, old_url),
            (
                Self::PagerDuty {
                    routing_key,
                    previous_routing_key,
                    url,
                },
                Self::PagerDuty {
                    routing_key: old,
                    url: old_url,
                    ..
                },
            ) => {
                url == old_url && (routing_key == old || previous_routing_key.as_ref() == Some(old))
            }
            (Self::Alertmanager { urls }, Self::Alertmanager { urls: old }) => {
                urls.iter().any(|url| old.contains(url))
            }
            _ => false,
        }
    }

    /// Returns the name of the kind as users write it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } | Self::SlackBot { .. } => "slack",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Teams { .. } => "teams",
            Self::Alertmanager { .. } => "alertmanager",
        }
    }

    /// Returns the references to its secrets.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::Webhook { url, secret, .. } => url.secret().into_iter().chain(secret).collect(),
            Self::Slack {
                webhook_url: secret,
            }
            | Self::SlackBot { token: secret, .. }
            | Self::Teams { url: secret } => vec![secret],
            Self::PagerDuty {
                routing_key,
                previous_routing_key,
                ..
            } => [routing_key]
                .into_iter()
                .chain(previous_routing_key)
                .collect(),
            Self::Alertmanager { urls } => urls.iter().filter_map(SecretOrPlain::secret).collect(),
        }
    }
}

impl SecretOrPlain {
    const fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

/// The format of a webhook's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookFormat {
    /// This service's own, in the form that Standard Webhooks defines.
    #[default]
    Standard,
    /// The format of Alertmanager.
    AlertmanagerV4,
    CloudEvents,
}

/// A webhook's URL: written in the file, or a reference if it is itself a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrPlain {
    Plain(String),
    Secret(SecretRef),
}

/// The source of a secret. Its value is read when it is used and never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRef {
    Env(String),
    File(String),
}
