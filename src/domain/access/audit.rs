//! What was written, by whom, and how it ended.

use schemars::JsonSchema;
use serde::Serialize;

use super::AccessRole;
use crate::domain::model::time::Timestamp;

/// One request that writes, or one command.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// Name of the token, the user of the proxy, or the account of the shell; `None` if nobody says.
    pub who: Option<String>,
    /// `None` for signed links and commands, which need none.
    pub role: Option<AccessRole>,
    /// What was done, as `silence.create`.
    pub action: String,
    /// What it was done to: the path of the request, or the name of a token.
    pub subject: String,
    pub via: AuditSource,
    /// Address that the request came from; `None` for commands.
    pub peer: Option<String>,
    pub outcome: AuditOutcome,
    /// Status of the response; `None` for commands.
    pub status: Option<u16>,
    /// By which the log has more of it.
    pub request_id: Option<String>,
}

/// Where a change was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditSource {
    Page,
    Api,
    /// Signed link in a message.
    Link,
    Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    Done,
    /// The request was wrong, or its sender may not do this.
    Rejected,
    /// The service could not do it.
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
