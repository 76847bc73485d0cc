//! One try at a delivery: make the request, send it, and understand how that ended.

use std::sync::Arc;

use super::{
    classify::{Reaction, classify},
    client::{Answer, BuildClientError, Client, SendError},
    excerpt::excerpt,
    request::{PrepareError, Prepared, prepare},
    resolver::system_lookup,
    settings::DeliverSettings,
};
use crate::{
    domain::{definition::TargetKind, delivery::AttemptClass, time::Timestamp},
    store::ClaimedDelivery,
};

#[derive(Clone, Debug)]
pub(super) struct Sender {
    client: Client,
    settings: Arc<DeliverSettings>,
}

/// How a try ended, and what is kept of it.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) reaction: Reaction,
    pub(super) http_status: Option<u16>,
    pub(super) excerpt: Option<String>,
}

impl Sender {
    pub(super) fn new(settings: Arc<DeliverSettings>) -> Result<Self, BuildClientError> {
        let client = Client::new(
            settings.connect_timeout,
            settings.addresses.clone(),
            system_lookup(),
        )?;
        Ok(Self { client, settings })
    }

    pub(super) async fn attempt(
        &self,
        kind: &TargetKind,
        claimed: &ClaimedDelivery,
        now: Timestamp,
    ) -> Tried {
        let Some(facts) = &claimed.facts else {
            let reason = "facts written by another version of the service cannot be read";
            return Tried::unsent(AttemptClass::Unreadable, reason);
        };
        match prepare(kind, claimed, facts, &self.settings, now).await {
            Ok(prepared) => self.send(kind, prepared, claimed.attempt, now).await,
            Err(error @ PrepareError::Missing(_)) => {
                Tried::unsent(AttemptClass::SecretMissing, &error.to_string())
            }
            Err(error @ PrepareError::Signing(_)) => {
                Tried::unsent(AttemptClass::Broken, &error.to_string())
            }
        }
    }

    /// A body that is refused is followed by a simpler one, if there is one.
    async fn send(
        &self,
        kind: &TargetKind,
        prepared: Prepared,
        attempt: i32,
        now: Timestamp,
    ) -> Tried {
        let secrets = prepared.secrets;
        let understood = |answer: Result<Answer, SendError>| match answer {
            Ok(answer) => Tried {
                reaction: classify(kind, &answer, attempt, now),
                http_status: Some(answer.status),
                excerpt: excerpt(&answer_text(&answer), &secrets),
            },
            Err(error) => {
                let mut tried = Tried::unsent(class_of(&error), "");
                tried.excerpt = excerpt(&error.to_string(), &secrets);
                tried
            }
        };
        let mut simpler = prepared.outgoing.clone();
        let first = understood(self.client.post(prepared.outgoing).await);
        match prepared.degraded {
            Some(body) if first.reaction.class == AttemptClass::Rejected => {
                simpler.body = body;
                understood(self.client.post(simpler).await)
            }
            _ => first,
        }
    }
}

impl Tried {
    /// Ended before anything was answered.
    fn unsent(class: AttemptClass, reason: &str) -> Self {
        Self {
            reaction: Reaction {
                class,
                retry_after: None,
            },
            http_status: None,
            excerpt: excerpt(reason, &[]),
        }
    }
}

const fn class_of(error: &SendError) -> AttemptClass {
    match error {
        SendError::Address => AttemptClass::Broken,
        SendError::Refused(_) => AttemptClass::Forbidden,
        SendError::Dns(_) => AttemptClass::Dns,
        SendError::Tls(_) => AttemptClass::Tls,
        SendError::Timeout(_) => AttemptClass::Timeout,
        SendError::Connect(_) => AttemptClass::Connect,
        SendError::Network(_) => AttemptClass::Network,
    }
}

/// Of a redirect only the host is told: the rest may be a secret.
fn answer_text(answer: &Answer) -> String {
    let host = answer
        .location
        .as_deref()
        .and_then(|location| reqwest::Url::parse(location).ok())
        .and_then(|url| url.host_str().map(str::to_owned));
    match (answer.status, host) {
        (300..400, Some(host)) => {
            format!("redirects to host `{host}`, which is not followed: give the final address")
        }
        _ => answer.body.clone(),
    }
}
