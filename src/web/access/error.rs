//! The reasons to reject a request: its sender is unknown, or lacks a permission.

use axum::http::StatusCode;

use crate::{
    domain::access::{AccessRole, Blocked, TokenLookupError, TokenRefusal},
    oidc::LoginError,
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::web) enum AccessError {
    #[error("the sender is unknown: a token is required here")]
    NoToken,
    #[error("the sender is unknown: the header `{header}` of the proxy is missing")]
    NoUser { header: String },
    #[error("the request does not come from a proxy of `--trusted-proxies`")]
    NoProxy,
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
        /// The subject of a sentence.
        who: String,
    },
    #[error("the header `{header}` of the proxy has `{value}`, which is not a role")]
    UnknownRole { header: String, value: String },
    #[error(
        "this needs the role {needed} for the SLO `{name}`, which is not of your teams or namespaces"
    )]
    OtherTeam { needed: AccessRole, name: String },
    #[error("this concerns all teams, and you see only some SLOs")]
    WholeService,
    #[error("this needs the role {needed}, because it is about customers by their names")]
    CustomerNames { needed: AccessRole },
    #[error("this silence could match SLOs that are not of your teams or namespaces")]
    SilencesOthers,
    #[error("the name `{0}` is taken by a definition that is not of your teams or namespaces")]
    NameOfOthers(String),
    #[error("you may write SLOs with the label {wanted} alone, which no file declares")]
    OtherLabels { wanted: String },
    #[error("{0}")]
    Blocked(Blocked),
    #[error("a token must not be in the address: addresses are stored in logs and histories")]
    InAddress,
    #[error("this service has no login")]
    NoLogin,
    #[error("this session has ended")]
    SessionOver,
    #[error("there is no session {id}")]
    NoSuchSession { id: String },
    #[error("there is no token {id} that could be revoked")]
    NoSuchToken { id: String },
    /// Of somebody who asks for a token.
    #[error("{0}")]
    InvalidRequest(String),
    #[error("this service asks nobody who they are, so anybody could make a token")]
    AnybodyCouldMake,
    /// The browser did not begin this login, or began it too long ago.
    #[error("this login was begun in another browser, or too long ago")]
    NoPendingLogin,
    /// The error code of OAuth that the provider sent.
    #[error("the login provider did not log you in: {0}")]
    Denied(String),
    /// The provider knows the user, but no role is assigned to them.
    #[error("`{who}` has no role here{}", ask_for(.groups))]
    NoRole {
        who: String,
        /// The groups that have a role.
        groups: Vec<String>,
    },
    #[error("{}", what_of_the_provider(.0))]
    Provider(LoginError),
}

/// Formats `: members of `sre` or `dev` have one`.
fn ask_for(groups: &[String]) -> String {
    let groups: Vec<_> = groups.iter().map(|group| format!("`{group}`")).collect();
    match groups.split_last() {
        None => String::new(),
        Some((only, [])) => format!(": members of {only} have one"),
        Some((last, rest)) => format!(": members of {} or {last} have one", rest.join(", ")),
    }
}

/// Returns the cause in short; the log has more.
const fn what_of_the_provider(error: &LoginError) -> &'static str {
    match error {
        LoginError::Unavailable(_) => "the login provider does not answer",
        LoginError::CodeRejected => "the login provider does not know this login any more",
        LoginError::InvalidAnswer(_) => "the login provider's answer cannot be used",
        LoginError::InvalidToken(_) => "the login provider's ID token is not valid",
        LoginError::NoSecret { .. } => "the secret for the login provider cannot be read",
    }
}

impl From<LoginError> for AccessError {
    fn from(error: LoginError) -> Self {
        Self::Provider(error)
    }
}

impl From<Blocked> for AccessError {
    fn from(blocked: Blocked) -> Self {
        Self::Blocked(blocked)
    }
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
            Self::NoToken
            | Self::NoUser { .. }
            | Self::NoProxy
            | Self::Malformed
            | Self::SessionOver
            | Self::Refused(_) => StatusCode::UNAUTHORIZED,
            Self::OnlySends { .. }
            | Self::Forbidden { .. }
            | Self::UnknownRole { .. }
            | Self::OtherTeam { .. }
            | Self::WholeService
            | Self::CustomerNames { .. }
            | Self::SilencesOthers
            | Self::NameOfOthers(_)
            | Self::OtherLabels { .. }
            | Self::Denied(_)
            | Self::NoRole { .. }
            | Self::AnybodyCouldMake
            | Self::Provider(LoginError::InvalidToken(_)) => StatusCode::FORBIDDEN,
            Self::InvalidRequest(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Blocked(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::InAddress | Self::NoPendingLogin | Self::Provider(LoginError::CodeRejected) => {
                StatusCode::BAD_REQUEST
            }
            Self::Provider(LoginError::Unavailable(_) | LoginError::NoSecret { .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Provider(_) => StatusCode::BAD_GATEWAY,
            Self::NoLogin | Self::NoSuchSession { .. } | Self::NoSuchToken { .. } => {
                StatusCode::NOT_FOUND
            }
        }
    }

    /// Returns how to solve it.
    pub(in crate::web) const fn help(&self) -> &'static str {
        match self {
            Self::NoToken | Self::Malformed | Self::Refused(TokenRefusal::Unknown) => {
                "use a token of `throughline token create`, which runs where the service runs; programs \
                 send it as `Authorization: Bearer`, and commands take it from `THROUGHLINE_TOKEN`"
            }
            Self::Refused(_) => {
                "make another one with `throughline token create`, where the service runs"
            }
            Self::NoUser { .. } | Self::NoProxy => {
                "reach the service through its proxy, or send `Authorization: Bearer` with a token of \
                 `throughline token create`"
            }
            Self::OnlySends { .. } => {
                "make one for pages and API with `throughline token create --role viewer`"
            }
            Self::Forbidden { .. } => {
                "ask the operator of the service for a token with that role (`throughline token create \
                 --role`), for that role in the proxy, or for a group that has it"
            }
            Self::UnknownRole { .. } => {
                "let the proxy send viewer, editor or admin, or one for some SLOs as \
                 `editor@team/payments`, with commas between several"
            }
            Self::OtherTeam { .. } | Self::WholeService => {
                "ask a user whose role is for all SLOs, or the operator of the service for such a role"
            }
            Self::CustomerNames { .. } => {
                "ask the operator of the service for that role, or to change `--customer-names-role`"
            }
            Self::SilencesOthers => {
                "add a matcher with `=` for `slo`, or for your `team` or `namespace`"
            }
            Self::NameOfOthers(_) => "choose another name: it is unique in the whole service",
            Self::OtherLabels { .. } => "write it into `metadata.labels`, or `metadata.namespace`",
            Self::Blocked(_) => "wait, and correct the token; other addresses are not affected",
            Self::InAddress => {
                "send it as `Authorization: Bearer`, and revoke this one with `throughline token \
                 revoke`, since others may have read it"
            }
            Self::NoLogin => "it requires no token: open the overview, or see `--auth`",
            Self::NoSuchSession { .. } => "it has ended; `/sessions` lists those that go on",
            Self::NoSuchToken { .. } => "`/tokens` lists all, and which are valid",
            Self::InvalidRequest(_) => "correct the form",
            Self::AnybodyCouldMake => {
                "use `throughline token create`, which runs where the service runs"
            }
            Self::SessionOver | Self::NoPendingLogin | Self::Provider(LoginError::CodeRejected) => {
                "log in again"
            }
            Self::Denied(_) => "log in again, or ask the operator of the provider",
            Self::NoRole { .. } => {
                "ask for one of these groups at the provider, or the operator of the service for a \
                 role (`--oidc-group-roles`, `--oidc-default-role`)"
            }
            Self::Provider(LoginError::Unavailable(_)) => {
                "try again in a minute; people who are logged in go on, and API tokens work"
            }
            Self::Provider(_) => "inform the operator of the service: the log has the cause",
        }
    }

    /// The labels of those that are counted in metrics. The others are answers about something that is
    /// missing.
    pub(in crate::web) const COUNTED: [&str; 18] = [
        "missing",
        "untrusted_proxy",
        "malformed",
        "unknown",
        "expired",
        "revoked",
        "wrong_kind",
        "forbidden",
        "out_of_scope",
        "blocked",
        "in_address",
        "no_pending_login",
        "denied",
        "no_role",
        "provider_unavailable",
        "invalid_code",
        "invalid_id_token",
        "provider_error",
    ];

    /// Returns its label in metrics.
    pub(in crate::web) const fn as_label(&self) -> &'static str {
        match self {
            Self::NoToken | Self::NoUser { .. } => "missing",
            Self::NoProxy => "untrusted_proxy",
            Self::Malformed => "malformed",
            Self::Refused(refusal) => refusal.as_label(),
            Self::OnlySends { .. } => "wrong_kind",
            Self::Forbidden { .. } | Self::UnknownRole { .. } | Self::CustomerNames { .. } => {
                "forbidden"
            }
            Self::OtherTeam { .. }
            | Self::WholeService
            | Self::SilencesOthers
            | Self::NameOfOthers(_)
            | Self::OtherLabels { .. } => "out_of_scope",
            Self::Blocked(_) => "blocked",
            Self::InAddress => "in_address",
            Self::NoLogin | Self::AnybodyCouldMake => "no_login",
            Self::SessionOver | Self::NoSuchSession { .. } => "no_session",
            Self::NoSuchToken { .. } => "no_token",
            Self::InvalidRequest(_) => "invalid_request",
            Self::NoPendingLogin => "no_pending_login",
            Self::Denied(_) => "denied",
            Self::NoRole { .. } => "no_role",
            Self::Provider(LoginError::Unavailable(_)) => "provider_unavailable",
            Self::Provider(LoginError::CodeRejected) => "invalid_code",
            Self::Provider(LoginError::InvalidToken(_)) => "invalid_id_token",
            Self::Provider(_) => "provider_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::model::time::Timestamp;

    #[test]
    fn the_label_of_each_rejection_of_a_sender_is_listed() {
        let name = String::new;
        let expired = TokenRefusal::Expired {
            name: name(),
            at: Timestamp::UNIX_EPOCH,
        };
        let revoked = TokenRefusal::Revoked { name: name() };
        let blocked = Blocked {
            again_in: Duration::ZERO,
        };
        let forbidden = AccessError::Forbidden {
            needed: AccessRole::Admin,
            role: AccessRole::Viewer,
            who: name(),
        };
        let no_role = AccessError::NoRole {
            who: name(),
            groups: Vec::new(),
        };
        let errors = [
            AccessError::NoToken,
            AccessError::NoProxy,
            AccessError::Malformed,
            AccessError::Refused(TokenRefusal::Unknown),
            AccessError::Refused(expired),
            AccessError::Refused(revoked),
            AccessError::OnlySends { name: name() },
            forbidden,
            AccessError::WholeService,
            AccessError::Blocked(blocked),
            AccessError::InAddress,
            AccessError::NoPendingLogin,
            AccessError::Denied(name()),
            no_role,
            AccessError::Provider(LoginError::Unavailable(name())),
            AccessError::Provider(LoginError::CodeRejected),
            AccessError::Provider(LoginError::InvalidToken(name())),
            AccessError::Provider(LoginError::InvalidAnswer(name())),
        ];
        let labels = errors.each_ref().map(AccessError::as_label);
        assert_eq!(labels, AccessError::COUNTED);
    }
}
