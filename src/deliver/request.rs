//! From a claimed delivery to the request that its target understands.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    client::Outgoing,
    secrets::{self, MissingSecret},
    settings::DeliverSettings,
    signature::{self, InvalidSigningSecret},
};
use crate::{
    domain::{
        definition::{SecretOrPlain, SecretRef, TargetKind},
        delivery::{Repeat, message_id},
        notification::{Facts, pagerduty, slack, webhook},
        time::Timestamp,
    },
    store::ClaimedDelivery,
};

const PAGERDUTY: &str = "https://events.pagerduty.com";

/// A request, and what must not be seen of it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) outgoing: Outgoing,
    /// The body to send instead if the target refuses the first.
    pub(super) degraded: Option<Vec<u8>>,
    pub(super) secrets: Vec<SecretString>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    #[error(transparent)]
    Missing(#[from] MissingSecret),
    #[error(transparent)]
    Signing(#[from] InvalidSigningSecret),
}

/// `now` is the time of this try, which receivers compare with their own.
pub(super) async fn prepare(
    kind: &TargetKind,
    claimed: &ClaimedDelivery,
    facts: &Facts,
    settings: &DeliverSettings,
    now: Timestamp,
) -> Result<Prepared, PrepareError> {
    match kind {
        TargetKind::Webhook { url, secret } => {
            let mut prepared = to_url(address(url).await?, &webhook::body(facts));
            prepared.outgoing.timeout = settings.webhook_timeout;
            sign(
                &mut prepared,
                secret.as_ref(),
                &message_id(claimed.transition),
                now,
            )
            .await?;
            Ok(prepared)
        }
        TargetKind::Slack { webhook_url } => {
            let url = secrets::read(webhook_url).await?;
            Ok(to_slack(url, facts, claimed.repeat, settings))
        }
        TargetKind::PagerDuty { routing_key, url } => {
            let key = secrets::read(routing_key).await?;
            Ok(to_pagerduty(url.as_deref(), key, facts, settings))
        }
    }
}

fn to_slack(
    url: SecretString,
    facts: &Facts,
    repeat: Repeat,
    settings: &DeliverSettings,
) -> Prepared {
    let mut prepared = to_url(url, &slack::body(facts, repeat));
    prepared.degraded = Some(bytes(&slack::text_only(facts)));
    prepared.outgoing.timeout = settings.chat_timeout;
    prepared
}

fn to_pagerduty(
    base: Option<&str>,
    key: SecretString,
    facts: &Facts,
    settings: &DeliverSettings,
) -> Prepared {
    let base = base.unwrap_or(PAGERDUTY).trim_end_matches('/');
    let base = base.strip_suffix("/v2/enqueue").unwrap_or(base);
    let url = SecretString::from(format!("{base}/v2/enqueue"));
    let mut prepared = to_url(url, &pagerduty::body(facts, key.expose_secret()));
    prepared.outgoing.timeout = settings.chat_timeout;
    prepared.secrets = vec![key];
    prepared
}

fn to_url(url: SecretString, body: &Value) -> Prepared {
    Prepared {
        secrets: vec![url.clone()],
        outgoing: Outgoing {
            url,
            headers: vec![("content-type", "application/json".to_owned())],
            body: bytes(body),
            timeout: std::time::Duration::ZERO,
        },
        degraded: None,
    }
}

async fn sign(
    prepared: &mut Prepared,
    secret: Option<&SecretRef>,
    id: &str,
    now: Timestamp,
) -> Result<(), PrepareError> {
    let timestamp = now.as_secs();
    let headers = &mut prepared.outgoing.headers;
    headers.push(("webhook-id", id.to_owned()));
    headers.push(("webhook-timestamp", timestamp.to_string()));
    if let Some(secret) = secret {
        let secret = secrets::read(secret).await?;
        let signature = signature::sign(&secret, id, timestamp, &prepared.outgoing.body)?;
        headers.push(("webhook-signature", signature));
        prepared.secrets.push(secret);
    }
    Ok(())
}

async fn address(url: &SecretOrPlain) -> Result<SecretString, MissingSecret> {
    match url {
        SecretOrPlain::Plain(url) => Ok(url.as_str().into()),
        SecretOrPlain::Secret(secret) => secrets::read(secret).await,
    }
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}
