//! Writes every request that changes something to the audit log.

use std::net::IpAddr;

use axum::http::{StatusCode, request::Parts};

use super::{
    caller::{Caller, peer},
    routes,
};
use crate::{
    domain::{
        access::{AccessRole, AuditEntry, AuditOutcome, AuditSource},
        model::time::Timestamp,
    },
    store::StoreError,
    web::{request::RequestId, state::WebState, write::who::Who},
};

/// The maximum length of a path, which anyone may make up.
const LONGEST_PATH: usize = 500;

/// The person or program that an entry names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Actor {
    pub(super) who: Who,
    /// `None` for a user who was rejected because they have no role.
    pub(super) role: Option<AccessRole>,
}

impl From<Caller> for Actor {
    fn from(caller: Caller) -> Self {
        Self {
            who: caller.who,
            role: Some(caller.permissions.role()),
        }
    }
}

/// What a request is about, where its address does not say.
#[derive(Clone, Debug)]
pub(super) struct AuditSubject(pub(super) String);

/// The entry of a request that is not completed yet.
#[derive(Debug)]
pub(super) struct PendingEntry {
    at: Timestamp,
    action: &'static str,
    subject: String,
    via: AuditSource,
    peer: Option<IpAddr>,
    request_id: Option<String>,
}

impl PendingEntry {
    /// Makes the entry; `None` if the request only reads.
    pub(super) fn of(state: &WebState, parts: &Parts, route: &str) -> Option<Self> {
        let action = routes::action(&parts.method, route)?;
        Some(Self {
            at: state.clock.now(),
            action,
            subject: parts.uri.path().chars().take(LONGEST_PATH).collect(),
            via: source(route),
            peer: peer(state, parts),
            request_id: RequestId::known(parts),
        })
    }

    pub(super) fn about(mut self, subject: Option<AuditSubject>) -> Self {
        if let Some(AuditSubject(name)) = subject {
            self.subject = name.chars().take(LONGEST_PATH).collect();
        }
        self
    }

    /// Writes the entry to the table and the log. For an unknown caller only the action is
    /// recorded, so that anonymous requests cannot fill the table; they have no session to end.
    pub(super) async fn end(self, state: &WebState, actor: Option<Actor>, status: StatusCode) {
        let outcome = AuditOutcome::of_status(status.as_u16());
        let has_changed = outcome == AuditOutcome::Done && self.action != routes::LOGOUT;
        if actor.is_none() && !has_changed {
            return;
        }
        let role = actor.as_ref().and_then(|actor| actor.role);
        let entry = AuditEntry {
            at: self.at,
            who: actor.and_then(|actor| actor.who.or(None)),
            role,
            action: self.action.to_owned(),
            subject: self.subject,
            via: self.via,
            peer: self.peer.map(|peer| peer.to_string()),
            outcome,
            status: Some(status.as_u16()),
            request_id: self.request_id,
        };
        log(&entry);
        if let Err(error) = insert(state, &entry).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the audit log lacks this change"
            );
        }
    }
}

fn log(entry: &AuditEntry) {
    tracing::info!(
        audit.action = entry.action,
        audit.subject = entry.subject,
        audit.outcome = entry.outcome.as_str(),
        audit.via = entry.via.as_str(),
        user = entry.who.as_deref().unwrap_or("nobody"),
        role = entry.role.map(AccessRole::as_str),
        peer = entry.peer,
        "audit"
    );
}

async fn insert(state: &WebState, entry: &AuditEntry) -> Result<(), StoreError> {
    let mut tx = state.store.begin("write the audit log").await?;
    tx.insert_audit_entry(entry).await?;
    tx.commit().await
}

fn source(route: &str) -> AuditSource {
    if route.starts_with("/api/") {
        AuditSource::Api
    } else if route.starts_with("/actions/") {
        AuditSource::Link
    } else {
        AuditSource::Page
    }
}
