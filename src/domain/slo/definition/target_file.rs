//! How notification targets are written: the shapes of `AlertNotificationTarget`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::read::{Field, TextOr};

/// A place that notifications are sent to: exactly one of the kinds, and what if it is not reached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("oneOf" = one_kind()))]
pub(super) struct TargetSpec {
    pub(super) webhook: Option<Field<WebhookFile>>,
    pub(super) slack: Option<Field<SlackFile>>,
    pub(super) pagerduty: Option<Field<PagerDutyFile>>,
    pub(super) teams: Option<Field<TeamsFile>>,
    pub(super) alertmanager: Option<Field<AlertmanagerFile>>,
    /// The target that is told instead while this one cannot be reached.
    pub(super) fallback: Option<Field<String>>,
    /// What happens to an alert that resolves before it could be delivered: `deliver` both messages in
    /// order, `collapse` them into one, or `drop` both. The default is `deliver` for webhooks and
    /// Alertmanagers, `collapse` for Slack and Teams, `drop` for PagerDuty.
    pub(super) late_policy: Option<Field<LatePolicyFile>>,
}

fn one_kind() -> serde_json::Value {
    let kinds = ["webhook", "slack", "pagerduty", "teams", "alertmanager"];
    let required = kinds.map(|kind| serde_json::json!({ "required": [kind] }));
    serde_json::json!(required)
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LatePolicyFile {
    Deliver,
    Collapse,
    Drop,
}

/// A signed request with the headers of Standard Webhooks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct WebhookFile {
    pub(super) url: Field<TextOr<SecretFile>>,
    #[schemars(with = "Option<SecretFile>")]
    pub(super) secret: Option<Field<TextOr<SecretFile>>>,
    /// What the body looks like; `standard` if left out.
    pub(super) format: Option<Field<WebhookFormatFile>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(super) enum WebhookFormatFile {
    #[serde(rename = "standard")]
    Standard,
    #[serde(rename = "alertmanager-v4")]
    AlertmanagerV4,
    #[serde(rename = "cloudevents")]
    CloudEvents,
}

/// An incoming webhook of Slack, or a bot and its channel: then each alert has a thread.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct SlackFile {
    #[schemars(with = "Option<SecretFile>")]
    pub(super) webhook_url: Option<Field<TextOr<SecretFile>>>,
    /// The token of a bot that may `chat:write`.
    #[schemars(with = "Option<SecretFile>")]
    pub(super) token: Option<Field<TextOr<SecretFile>>>,
    /// By name or id; the bot must be a member of it.
    pub(super) channel: Option<Field<String>>,
    /// For bots of `GovSlack`, say; `https://slack.com/api` if left out.
    pub(super) url: Option<Field<String>>,
}

/// Events API v2.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct PagerDutyFile {
    #[schemars(with = "SecretFile")]
    pub(super) routing_key: Field<TextOr<SecretFile>>,
    /// The key before this one, so that what was triggered under it can still be resolved.
    #[schemars(with = "Option<SecretFile>")]
    pub(super) previous_routing_key: Option<Field<TextOr<SecretFile>>>,
    /// For accounts of the EU, say; the address of the US if left out.
    pub(super) url: Option<Field<String>>,
}

/// A workflow of Microsoft Teams that posts what its webhook receives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct TeamsFile {
    #[schemars(with = "SecretFile")]
    pub(super) url: Field<TextOr<SecretFile>>,
}

/// An Alertmanager, API v2: its address, or those of all its replicas.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct AlertmanagerFile {
    pub(super) url: Option<Field<TextOr<SecretFile>>>,
    /// Each replica on its own, never a balancer in front of them.
    pub(super) urls: Option<Field<Vec<Field<TextOr<SecretFile>>>>>,
}

/// Where a secret is kept: an environment variable or a file, never the secret itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct SecretFile {
    pub(super) env: Option<Field<String>>,
    pub(super) file: Option<Field<String>>,
}
