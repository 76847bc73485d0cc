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
        AllowedServices, ApiToken, AttemptLimit, Blocked, KnownTokens, TokenGrant, TokenLookupError,
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

/// The reason for a rejection, with its label.
type RejectedToken = (String, &'static str);

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
        check.admit(headers, peer).map_err(|(reason, label)| {
            check.metrics.auth_failure(port, label);
            Failure::Unauthenticated(reason)
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
        let value = value.ok_or_else(|| ("there is no token".to_owned(), "missing"))?;
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
            return refuse_blocked(blocked);
        }
        attempts.note_wrong(peer, now);
        let reason = "the header `authorization` has no token of this service";
        (reason.to_owned(), "malformed")
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
                    Err((reason, "wrong_kind"))
                }
            },
            Err(TokenLookupError::Refused(refusal)) => {
                Err((refusal.to_string(), refusal.as_label()))
            }
            Err(TokenLookupError::Blocked(blocked)) => Err(refuse_blocked(blocked)),
        }
    }
}

fn refuse_blocked(blocked: Blocked) -> RejectedToken {
    let secs = blocked.again_in.as_secs().max(1);
    (format!("{blocked}; wait {secs} s"), "blocked")
}
