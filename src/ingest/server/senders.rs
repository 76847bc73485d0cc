//! Authentication of senders, and the services whose spans they may send.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use tokio::sync::watch;

use crate::{
    clock::Clock,
    domain::access::{
        AllowedServices, ApiToken, AttemptLimit, KnownTokens, TokenGrant, TokenLookupError,
    },
    ingest::failure::Failure,
    telemetry::metrics::Metrics,
};

/// Checks the tokens of senders. By default everyone may send everything. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct SenderAccess(Option<Arc<TokenCheck>>);

#[derive(Debug)]
struct TokenCheck {
    tokens: watch::Receiver<Arc<KnownTokens>>,
    clock: Clock,
    metrics: Metrics,
    attempts: Mutex<AttemptLimit>,
}

/// A rejection, with the label of its reason.
type RejectedToken = (Failure, &'static str);

/// All labels.
const REASONS: [&str; 7] = [
    "missing",
    "malformed",
    "wrong_kind",
    "unknown",
    "expired",
    "revoked",
    "blocked",
];

impl SenderAccess {
    /// Accepts only senders with a token.
    pub fn by_token(
        tokens: watch::Receiver<Arc<KnownTokens>>,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        for port in ["otlp_grpc", "otlp_http"] {
            metrics.export_auth_failures(port, &REASONS);
        }
        Self(Some(Arc::new(TokenCheck {
            tokens,
            clock,
            metrics,
            attempts: Mutex::default(),
        })))
    }

    /// Returns the services whose spans the sender on `port` may send.
    pub(in crate::ingest) fn admit(
        &self,
        port: &'static str,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<AllowedServices, Failure> {
        let Some(check) = &self.0 else {
            return Ok(AllowedServices::All);
        };
        check.admit(headers, peer).map_err(|(failure, label)| {
            check.metrics.auth_failure(port, label);
            failure
        })
    }
}

impl TokenCheck {
    fn admit(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<AllowedServices, RejectedToken> {
        let value = headers.get(AUTHORIZATION);
        let value = value.ok_or_else(|| refuse("there is no token", "missing"))?;
        let token = value.to_str().ok().and_then(ApiToken::from_authorization);
        match token {
            Some(token) => self.check(&token, peer),
            None => Err(self.refuse_malformed(peer)),
        }
    }

    /// Counts what is no token as a wrong one.
    fn refuse_malformed(&self, peer: Option<IpAddr>) -> RejectedToken {
        let now = self.clock.now();
        let attempts = self.attempts.lock();
        let mut attempts = attempts.unwrap_or_else(PoisonError::into_inner);
        if let Err(blocked) = attempts.admit(peer, now) {
            return (Failure::Blocked(blocked), "blocked");
        }
        attempts.note_wrong(peer, now);
        let reason = "the header `authorization` has no token of this service";
        refuse(reason, "malformed")
    }

    fn check(
        &self,
        token: &ApiToken,
        peer: Option<IpAddr>,
    ) -> Result<AllowedServices, RejectedToken> {
        let attempts = self.attempts.lock();
        let mut attempts = attempts.unwrap_or_else(PoisonError::into_inner);
        let known = self.tokens.borrow();
        match attempts.find(peer, token, &known, self.clock.now()) {
            Ok(record) => match &record.grant {
                TokenGrant::Sender(services) => Ok(services.clone()),
                TokenGrant::User(_) => {
                    let reason = format!("the token `{}` is not for sending spans", record.name);
                    Err(refuse(reason, "wrong_kind"))
                }
            },
            Err(TokenLookupError::Refused(refusal)) => {
                Err(refuse(refusal.to_string(), refusal.as_label()))
            }
            Err(TokenLookupError::Blocked(blocked)) => Err((Failure::Blocked(blocked), "blocked")),
        }
    }
}

fn refuse(reason: impl Into<String>, label: &'static str) -> RejectedToken {
    (Failure::Unauthenticated(reason.into()), label)
}
