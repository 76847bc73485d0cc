//! Entries of the audit log.

use schemars::JsonSchema;
use serde::Serialize;

use super::AccessRole;
use crate::domain::model::time::Timestamp;

/// One request that writes, or one command.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// The name of the token, the user of the proxy, or the account of the shell; `None` if
    /// unknown.
    pub who: Option<String>,
    /// `None` for signed links and commands, which need no role.
    pub role: Option<AccessRole>,
    /// The action, as `silence.create`.
    pub action: String,
    /// The subject of the action: the path of the request, or the name of a token.
    pub subject: String,
    pub via: AuditSource,
    /// The IP address of the request; `None` for commands.
    pub peer: Option<String>,
    pub outcome: AuditOutcome,
    /// The status of the response; `None` for commands.
    pub status: Option<u16>,
    /// The id under which the log has details.
    pub request_id: Option<String>,
}

/// The interface through which a change was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditSource {
    Page,
    Api,
    /// A signed link in a message.
    Link,
    Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    Done,
    /// The request was invalid, or its sender lacks a permission.
    Rejected,
    /// The service failed to do it.
    Failed,
}

impl AuditSource {
    pub const ALL: [Self; 4] = [Self::Page, Self::Api, Self::Link, Self::Command];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
            Self::Link => "link",
            Self::Command => "command",
        }
    }
}

impl AuditOutcome {
    pub const ALL: [Self; 3] = [Self::Done, Self::Rejected, Self::Failed];

    pub const fn of_status(status: u16) -> Self {
        match status {
            ..400 => Self::Done,
            400..500 => Self::Rejected,
            _ => Self::Failed,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}
