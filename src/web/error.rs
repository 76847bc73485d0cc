//! The errors of pages and the API: a cause and how to solve it, never internals.

use std::time::Duration;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    access::error::AccessError,
    pages::{definitions::DefinitionError, deliveries::DeliveryError},
    write::rate_limit::{RemainingQuota, RequestLimit},
};
use crate::{
    domain::{
        alerting::{change_event::InvalidChangeEvent, silence::DraftError},
        notify::signed_links::signing::TokenError,
        slo::definition::Problem,
    },
    store::{StoreError, StoreErrorKind},
};

#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    #[error("there is no SLO `{name}`")]
    NoSuchSlo {
        name: String,
        /// The most similar declared name.
        did_you_mean: Option<String>,
    },
    #[error("the SLO `{name}` is not declared any more")]
    RemovedSlo { name: String },
    #[error("the SLO `{slo}` has no group {group}")]
    NoSuchGroup { slo: String, group: String },
    #[error("the SLO `{slo}` has no workflow `{key}`")]
    NoSuchWorkflow { slo: String, key: String },
    #[error("there is no target `{name}`")]
    NoSuchTarget {
        name: String,
        /// The most similar declared name.
        did_you_mean: Option<String>,
    },
    #[error("there is no template `{name}`")]
    NoSuchTemplate { name: String },
    /// The reason, as a phrase.
    #[error("the definitions are not cleared: {0}")]
    NothingToClear(String),
    /// The reason, as a phrase.
    #[error("there is nothing to apply: {0}")]
    NothingToApply(String),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    #[error("there is nothing at this address")]
    NoSuchPage,
    #[error("there is no parameter `{name}` here{}", known_parameters(.known))]
    UnknownParameter {
        name: String,
        known: &'static [&'static str],
    },
    /// No route matches the request, or a handler failed.
    #[error("{detail}")]
    Framework { status: StatusCode, detail: String },
    #[error("there is no silence `{id}`")]
    NoSuchSilence { id: String },
    #[error("{0}")]
    BadSilence(DraftError),
    /// The errors of the definition, by position.
    #[error("the definition is not valid: {0}")]
    BadDefinition(String),
    #[error("there is no incident `{id}`")]
    NoSuchIncident { id: String },
    #[error("this incident is over")]
    IncidentOver,
    #[error("{0}")]
    Token(TokenError),
    #[error("this link has been used already")]
    UsedUp,
    #[error("the host name `{host}` is not allowed")]
    UnknownHost { host: String },
    #[error("this request was not sent by a page of this service")]
    CrossOrigin,
    #[error("the API takes JSON only")]
    NotJson,
    #[error("the sender is unknown: the header `{header}` is missing")]
    Unknown { header: String },
    /// The error in the body, as a phrase.
    #[error("the request cannot be understood: {0}")]
    Unreadable(String),
    #[error("this target was tested within the last minute")]
    TestedJustNow(RemainingQuota),
    #[error("too many requests were sent with this token within a minute")]
    TooManyRequests(RemainingQuota),
    #[error("too many requests are being processed")]
    Busy,
    /// With the limit in bytes.
    #[error("the body of the request is larger than the limit of {0} bytes")]
    TooLarge(usize),
    #[error("the body of the request came too slowly")]
    SlowBody,
    #[error("the header `Idempotency-Key` is empty or longer than 255 characters")]
    BadIdempotencyKey,
    #[error("this `Idempotency-Key` was used for another request")]
    OtherRequest,
    #[error(transparent)]
    InvalidChangeEvent(#[from] InvalidChangeEvent),
    #[error(
        "more than a thousand events were reported within an hour; further ones are rejected for now"
    )]
    TooManyChangeEvents(RemainingQuota),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write the page")]
    Template(#[from] askama::Error),
    #[error("the metrics cannot be listed: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The explanation of an error: on a page as text, in JSON as problem details (RFC 9457).
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ProblemDetails")]
pub(super) struct ErrorExplanation {
    /// Always the default: the title is that of the status code.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    pub(super) detail: String,
    pub(super) help: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) did_you_mean: Option<String>,
    /// The path of the page for `meant`.
    #[serde(skip)]
    pub(super) meant_path: &'static str,
    /// The errors of invalid definitions, by position.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
    /// The id under which the log has details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
}

impl ErrorExplanation {
    /// Formats the error for clients that expect a text.
    pub(super) fn one_line(&self) -> String {
        format!("{}: {}", self.detail, self.help)
    }
}

impl WebError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchSlo { .. }
            | Self::RemovedSlo { .. }
            | Self::NoSuchGroup { .. }
            | Self::NoSuchWorkflow { .. }
            | Self::NoSuchSilence { .. }
            | Self::NoSuchIncident { .. }
            | Self::NoSuchTarget { .. }
            | Self::NoSuchTemplate { .. }
            | Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::IncidentOver | Self::NothingToClear(_) | Self::NothingToApply(_) => {
                StatusCode::CONFLICT
            }
            Self::Token(TokenError::Expired) | Self::UsedUp => StatusCode::GONE,
            Self::CrossOrigin | Self::Unknown { .. } | Self::Token(TokenError::Forged) => {
                StatusCode::FORBIDDEN
            }
            Self::Access(error) => error.status(),
            Self::Delivery(error) => error.status(),
            Self::Definition(error) => error.status(),
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unreadable(_) | Self::UnknownParameter { .. } | Self::BadIdempotencyKey => {
                StatusCode::BAD_REQUEST
            }
            Self::Framework { status, .. } => *status,
            Self::BadSilence(_)
            | Self::BadDefinition(_)
            | Self::OtherRequest
            | Self::InvalidChangeEvent(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::TestedJustNow(_) | Self::TooManyChangeEvents(_) | Self::TooManyRequests(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::UnknownHost { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(error) => store_status(error),
            Self::Template(_) | Self::Metrics(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn explanation(&self) -> ErrorExplanation {
        let status = self.status();
        ErrorExplanation {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: match self {
                Self::Store(error) => what_of_the_store(error).to_owned(),
                _ => self.to_string(),
            },
            help: self.help().to_owned(),
            did_you_mean: match self {
                Self::NoSuchSlo { did_you_mean, .. } | Self::NoSuchTarget { did_you_mean, .. } => {
                    did_you_mean.clone()
                }
                _ => None,
            },
            meant_path: match self {
                Self::NoSuchTarget { .. } => "/targets#target-",
                _ => "/slos/",
            },
            problems: match self {
                Self::Definition(error) => error.problems().to_vec(),
                _ => Vec::new(),
            },
            request_id: None,
        }
    }

    /// Returns what is left of the limit that the request exceeds, if it is a limit on requests.
    pub(super) fn exceeded_limit(&self) -> Option<RemainingQuota> {
        match self {
            Self::Access(AccessError::Blocked(blocked)) => {
                Some(RequestLimit::WRONG_TOKENS.exceeded(blocked.again_in))
            }
            Self::TestedJustNow(quota)
            | Self::TooManyChangeEvents(quota)
            | Self::TooManyRequests(quota) => Some(*quota),
            _ => None,
        }
    }

    /// Returns when to retry, if that may help.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let is_busy = self.status() == StatusCode::SERVICE_UNAVAILABLE;
        let exceeded = self.exceeded_limit().map(|quota| quota.more_in);
        exceeded.or(is_busy.then_some(Duration::from_secs(2)))
    }

    /// Returns how to solve it.
    fn help(&self) -> &'static str {
        match self {
            Self::NoSuchSlo { .. } => {
                "it may have been renamed, its file may not be loaded, or `--slo-selector` may exclude it; the overview lists all SLOs"
            }
            Self::RemovedSlo { .. } => {
                "its definition was removed or renamed, or `--slo-selector` excludes it; declare it again under this name to continue its history"
            }
            Self::NoSuchGroup { .. } => "the page of the SLO lists its groups",
            Self::NoSuchWorkflow { .. } => {
                "a workflow's address has 32 hexadecimal digits; old workflows are deleted"
            }
            Self::NoSuchTarget { .. } => "the page of targets lists all of them",
            Self::NoSuchTemplate { .. } => "`/discover` lists all templates",
            Self::UnknownHost { .. } => {
                "open it by its address or by the host of `--public-url`, or allow this host with `--allowed-hosts`"
            }
            Self::Access(error) => error.help(),
            Self::Busy => "try again in a few seconds",
            Self::TooManyRequests(_) => {
                "wait as long as `Retry-After` says; `RateLimit` of every answer says how many are left"
            }
            Self::NoSuchPage => "the overview has links to all pages",
            Self::NoSuchSilence { .. } => {
                "the page of silences lists active and recently expired ones"
            }
            Self::NoSuchIncident { .. } => {
                "the page of alerts has links to those of the last 28 days"
            }
            Self::Store(error) => help_with_the_store(error),
            Self::Template(_) | Self::Metrics(_) => FAULT,
            Self::UnknownParameter { .. } => "omit it, or use one of the listed names",
            Self::Framework { status, .. } if status.is_server_error() => FAULT,
            Self::Framework { .. } => "correct the address or the method; nothing was changed",
            _ => self.help_with_writing(),
        }
    }

    /// Returns how to solve it, for requests that write.
    fn help_with_writing(&self) -> &'static str {
        match self {
            Self::IncidentOver => "it no longer needs an acknowledgement",
            Self::NothingToApply(_) => {
                "send it to a replica whose files are not applied yet; `/api/v1/definitions` shows its problems"
            }
            Self::NothingToClear(_) => {
                "delete or empty the files first; this request only confirms that no SLO is left"
            }
            Self::Token(_) => "take the newest message, or do it on the page of the incident",
            Self::UsedUp => "the page of silences shows its result; create a new silence there",
            Self::BadSilence(error) => error.help(),
            Self::BadDefinition(_) => {
                "`throughline validate` shows each place and how to correct it"
            }
            Self::Delivery(error) => error.help(),
            Self::Definition(error) => error.help(),
            Self::CrossOrigin => {
                "reload the page and try again; if a proxy changes `Host`, set `--public-url` to the address that people use"
            }
            Self::NotJson => "send the header `Content-Type: application/json`",
            Self::Unknown { .. } => "changes require it; the proxy before this service must set it",
            Self::TestedJustNow(_) => {
                "a test may page someone, so only one per minute is allowed; `--render` shows a message without sending it"
            }
            Self::SlowBody => "send it again; nothing was changed",
            Self::BadIdempotencyKey => "use a random UUID",
            Self::InvalidChangeEvent(_) => "correct it and send it again; nothing was recorded",
            Self::TooManyChangeEvents(_) => "report deploys, not each of their steps",
            Self::OtherRequest => "use a new key for every new request; nothing was changed",
            _ => "correct it and send it again; nothing was changed",
        }
    }
}

const FAULT: &str = "this is a fault of the service; the log has the cause";

/// Formats `: known are q, state`.
fn known_parameters(known: &[&str]) -> String {
    match known {
        [] => String::new(),
        known => format!(": known are {}", known.join(", ")),
    }
}

fn store_status(error: &StoreError) -> StatusCode {
    match error.kind() {
        StoreErrorKind::Unreachable | StoreErrorKind::TooSlow | StoreErrorKind::TakesNoWrites => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        StoreErrorKind::UnfitText => StatusCode::BAD_REQUEST,
        StoreErrorKind::Fault => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(super) fn what_of_the_store(error: &StoreError) -> &'static str {
    match error.kind() {
        StoreErrorKind::Unreachable => "the database does not answer",
        StoreErrorKind::TooSlow => "the database took too long",
        StoreErrorKind::TakesNoWrites => {
            "the database takes no writes: it is read-only, or its disk is full"
        }
        StoreErrorKind::UnfitText => "the request has a NUL character, which cannot be stored",
        StoreErrorKind::Fault => "the database returned an error",
    }
}

fn help_with_the_store(error: &StoreError) -> &'static str {
    match error.kind() {
        StoreErrorKind::Unreachable | StoreErrorKind::TakesNoWrites => {
            "until it does, spans are rejected and senders retry; the log has the cause"
        }
        StoreErrorKind::TooSlow => {
            "recording and alerting continue; try again, or request less data"
        }
        StoreErrorKind::UnfitText => "remove it and send the request again; nothing was changed",
        StoreErrorKind::Fault => "this is a fault of the service; the log has the cause",
    }
}

/// Returns the most similar name, if one is similar enough.
pub(super) fn most_like<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other.to_owned())
}
