//! Why a request may not be answered: nobody knows who sends it, or they may not do this.

use std::time::Duration;

use axum::http::StatusCode;

use crate::domain::access::{AccessRole, Blocked, TokenLookupError, TokenRefusal};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::web) enum AccessError {
    #[error("nobody says who asks: a token is needed here")]
    NoToken,
    #[error("nobody says who asks: the header `{header}` of the proxy is missing")]
    NoUser { header: String },
    #[error("the header `Authorization` has no token of this service")]
    Malformed,
    #[error("{0}")]
    Refused(#[from] TokenRefusal),
    #[error("the token `{name}` is for sending spans")]
    OnlySends { name: String },
    #[error("this needs the role {needed}, and {who} has {role}")]
    Forbidden {
        needed: AccessRole,
        role: AccessRole,
        /// As the subject of a sentence.
        who: String,
    },
    #[error("the header `{header}` of the proxy has `{value}`, which is not a role")]
    UnknownRole { header: String, value: String },
    #[error("{0}")]
    Blocked(Blocked),
    #[error("a token must not be in the address: addresses are stored in logs and histories")]
    InAddress,
    #[error("this service has no login")]
    NoLogin,
}

impl From<TokenLookupError> for AccessError {
    fn from(error: TokenLookupError) -> Self {
        match error {
            TokenLookupError::Refused(refusal) => Self::Refused(refusal),
            TokenLookupError::Blocked(blocked) => Self::Blocked(blocked),
        }
    }
}

impl AccessError {
    pub(in crate::web) const fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::NoUser { .. } | Self::Malformed | Self::Refused(_) => {
                StatusCode::UNAUTHORIZED
            }
            Self::OnlySends { .. } | Self::Forbidden { .. } | Self::UnknownRole { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::Blocked(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::InAddress => StatusCode::BAD_REQUEST,
            Self::NoLogin => StatusCode::NOT_FOUND,
        }
    }

    /// The way on.
    pub(in crate::web) const fn help(&self) -> &'static str {
        match self {
            Self::NoToken | Self::Malformed | Self::Refused(TokenRefusal::Unknown) => {
                "use a token of `throughline token create`, which runs where the service runs; programs \
                 send it as `Authorization: Bearer`, and commands take it from `THROUGHLINE_TOKEN`"
            }
            Self::Refused(_) => {
                "make another one with `throughline token create`, where the service runs"
            }
            Self::NoUser { .. } => {
                "reach the service through its proxy, or send `Authorization: Bearer` with a token of \
                 `throughline token create`"
            }
            Self::OnlySends { .. } => {
                "make one for pages and API with `throughline token create --role viewer`"
            }
            Self::Forbidden { .. } => {
                "ask the operator of the service for a token with that role (`throughline token create \
                 --role`), or for that role in the proxy"
            }
            Self::UnknownRole { .. } => "let the proxy send viewer, editor or admin",
            Self::Blocked(_) => "wait, and correct the token; other addresses are not affected",
            Self::InAddress => {
                "send it as `Authorization: Bearer`, and revoke this one with `throughline token \
                 revoke`, since others may have read it"
            }
            Self::NoLogin => "it asks nobody for a token: open the overview, or see `--auth`",
        }
    }

    pub(in crate::web) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Blocked(blocked) => Some(blocked.again_in),
            _ => None,
        }
    }

    /// Returns its label in metrics.
    pub(in crate::web) const fn as_label(&self) -> &'static str {
        match self {
            Self::NoToken | Self::NoUser { .. } => "missing",
            Self::Malformed => "malformed",
            Self::Refused(refusal) => refusal.as_label(),
            Self::OnlySends { .. } => "wrong_kind",
            Self::Forbidden { .. } | Self::UnknownRole { .. } => "forbidden",
            Self::Blocked(_) => "blocked",
            Self::InAddress => "in_address",
            Self::NoLogin => "no_login",
        }
    }
}
