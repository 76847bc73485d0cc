//! Tokens, sessions and the audit log.

pub(super) mod audit;
pub(super) mod sessions;
pub(super) mod tokens;

use crate::domain::access::{InvalidPermission, Permissions};

/// Formats permissions for a column.
fn texts(permissions: &Permissions) -> Vec<String> {
    permissions.iter().map(ToString::to_string).collect()
}

fn permissions(texts: &[String]) -> Result<Permissions, sqlx::Error> {
    let invalid = |error: InvalidPermission| sqlx::Error::Decode(error.into());
    let all: Result<Vec<_>, _> = texts.iter().map(|text| text.parse()).collect();
    let none = || sqlx::Error::Decode("nobody has no permission".into());
    Permissions::new(all.map_err(invalid)?).ok_or_else(none)
}
