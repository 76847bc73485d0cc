//! The requests to each kind of target: URL, body, and the secrets to mask.

use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    client::Outgoing,
    secrets::{self, MissingSecret, RoutingKeyError},
    signature::{self, InvalidSigningSecret},
};
use crate::domain::{
    model::{ids::Name, time::Timestamp},
    notify::{
        Notification, PinnedKey, Reference, RenderContext,
        channels::{alertmanager, cloudevents, pagerduty, slack, teams, webhook},
    },
    slo::{SecretOrPlain, SecretRef, WebhookFormat},
};

pub(crate) const PAGERDUTY: &str = "https://events.pagerduty.com";
pub(crate) const SLACK_API: &str = "https://slack.com/api";
const JSON: &str = "application/json";

/// A request, and the secrets to mask in its results.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The request without its timeout, which the sender sets.
    pub(crate) outgoing: Outgoing,
    /// The simpler body to send if the target refuses the first.
    pub(crate) degraded: Option<Vec<u8>>,
    pub(crate) secrets: Vec<SecretString>,
    /// The reference for later messages about the episode, valid once this message is delivered.
    pub(crate) reference: Option<Reference>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(transparent)]
    Missing(#[from] MissingSecret),
    #[error(transparent)]
    RoutingKey(#[from] RoutingKeyError),
    #[error(transparent)]
    Signing(#[from] InvalidSigningSecret),
}

/// The message to a webhook.
#[derive(Debug)]
pub(crate) struct WebhookMessage {
    /// A request to read has no body.
    pub(crate) method: Method,
    id: String,
    body: Value,
    content_type: &'static str,
}

impl WebhookMessage {
    /// Makes a message. `id` is the same for all attempts; `receiver` is the target's name.
    pub(crate) fn new(
        format: WebhookFormat,
        notification: &Notification,
        context: &RenderContext,
        id: String,
        receiver: &Name,
    ) -> Self {
        let (body, content_type) = match format {
            WebhookFormat::Standard => (webhook::body(notification, context), JSON),
            WebhookFormat::AlertmanagerV4 => (
                alertmanager::webhook_v4(notification, context, receiver.as_str()),
                JSON,
            ),
            WebhookFormat::CloudEvents => (
                cloudevents::body(notification, context, &id),
                cloudevents::CONTENT_TYPE,
            ),
        };
        Self {
            method: Method::POST,
            id,
            body,
            content_type,
        }
    }
}

/// Makes the request. `now` is the time of this attempt, which receivers compare with their own
/// clock.
pub(crate) async fn to_webhook(
    url: &SecretOrPlain,
    secret: Option<&SecretRef>,
    message: WebhookMessage,
    now: Timestamp,
) -> Result<Prepared, PrepareError> {
    let mut prepared = to_url(address(url).await?, &message.body, message.content_type);
    if message.method == Method::GET {
        prepared.outgoing.body.clear();
        prepared.outgoing.headers.clear();
    }
    prepared.outgoing.method = message.method;
    let timestamp = now.as_secs();
    let headers = &mut prepared.outgoing.headers;
    headers.push(("webhook-timestamp", timestamp.to_string()));
    if let Some(secret) = secret {
        let secret = secrets::read(secret).await?;
        let body = &prepared.outgoing.body;
        let signature = signature::sign(&secret, &message.id, timestamp, body)?;
        headers.push(("webhook-signature", signature));
        prepared.secrets.push(secret);
    }
    headers.push(("webhook-id", message.id));
    Ok(prepared)
}

pub(crate) async fn to_slack(
    webhook_url: &SecretRef,
    notification: &Notification,
    context: &RenderContext,
) -> Result<Prepared, PrepareError> {
    let url = secrets::read(webhook_url).await?;
    Ok(Prepared {
        degraded: Some(bytes(&slack::text_only(notification, context))),
        ..to_url(url, &slack::body(notification, context), JSON)
    })
}

pub(crate) async fn to_teams(
    url: &SecretRef,
    notification: &Notification,
    context: &RenderContext,
) -> Result<Prepared, PrepareError> {
    let url = secrets::read(url).await?;
    Ok(Prepared {
        degraded: Some(bytes(&teams::text_only(notification, context))),
        ..to_url(url, &teams::body(notification, context), JSON)
    })
}

pub(crate) fn to_pagerduty(
    base: Option<&str>,
    key: &SecretString,
    pinned: PinnedKey,
    notification: &Notification,
    context: &RenderContext,
) -> Prepared {
    let base = base.unwrap_or(PAGERDUTY).trim_end_matches('/');
    let base = base.strip_suffix("/v2/enqueue").unwrap_or(base);
    let url = SecretString::from(format!("{base}/v2/enqueue"));
    Prepared {
        reference: Some(Reference::RoutingKey(pinned)),
        secrets: vec![key.clone()],
        ..to_url(
            url,
            &pagerduty::body(notification, context, key.expose_secret()),
            JSON,
        )
    }
}

/// Returns the URL of a target.
pub(crate) async fn address(url: &SecretOrPlain) -> Result<SecretString, MissingSecret> {
    match url {
        SecretOrPlain::Plain(url) => Ok(url.as_str().into()),
        SecretOrPlain::Secret(secret) => secrets::read(secret).await,
    }
}

fn to_url(url: SecretString, body: &Value, content_type: &str) -> Prepared {
    Prepared {
        secrets: vec![url.clone()],
        outgoing: Outgoing {
            method: Method::POST,
            url,
            headers: vec![("content-type", content_type.to_owned())],
            bearer: None,
            body: bytes(body),
            timeout: Duration::ZERO,
        },
        degraded: None,
        reference: None,
    }
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}
