//! Who may do what: roles, API tokens, and the record of what was done.

mod attempts;
mod audit;
mod login;
mod role;
mod token;
mod user;

pub use attempts::{AttemptLimit, Blocked, TokenLookupError};
pub use audit::{AuditEntry, AuditOutcome, AuditSource};
pub use login::{LoginSecrets, PendingLogin};
pub use role::{AccessRole, UnknownRole};
pub use token::{
    AllowedServices, ApiToken, KnownTokens, NewToken, TokenDigest, TokenGrant, TokenRecord,
    TokenRefusal,
};
pub use user::{AuthenticatedUser, GroupRole, InvalidGroupRole, RoleMapping};
