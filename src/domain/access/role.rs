//! Roles. Each has the permissions of those before it.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// Reads.
    Viewer,
    /// Silences, acknowledges, adds notes, reports change events and retries deliveries.
    Editor,
    /// Sends test notifications, writes, applies and clears definitions, reads the audit log.
    Admin,
}

/// The error for a word that is not a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: write viewer, editor or admin")]
pub struct UnknownRole(String);

impl AccessRole {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Editor, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for AccessRole {
    type Err = UnknownRole;

    /// Parses in any case, because a proxy sends the names of its directory.
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let mut all = Self::ALL.into_iter();
        all.find(|role| text.trim().eq_ignore_ascii_case(role.as_str()))
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

impl fmt::Display for AccessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        assert!(AccessRole::ALL.is_sorted());
        assert_eq!(" Admin ".parse(), Ok(AccessRole::Admin));
        let unknown = "owner".parse::<AccessRole>().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "`owner` is not a role: write viewer, editor or admin"
        );
    }
}
