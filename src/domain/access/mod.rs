//! Access control: roles, API tokens, and the audit log.

mod attempts;
mod audit;
mod login;
mod permission;
mod requests;
mod role;
mod silences;
mod token;
mod user;

pub use attempts::{AttemptLimit, Blocked, TokenLookupError};
pub use audit::{AuditEntry, AuditOutcome, AuditSource};
pub use login::{LoginSecrets, PendingLogin};
pub use permission::{InvalidPermission, Permission, Permissions, SloScope, may_see};
pub use requests::RequestCounts;
pub use role::{AccessRole, UnknownRole};
pub use silences::is_within;
pub use token::{
    AllowedServices, ApiToken, InvalidTokenRequest, KnownTokens, NewToken, TokenDigest, TokenGrant,
    TokenRecord, TokenRefusal, TokenRequest,
};
pub use user::{AuthenticatedUser, GroupRole, InvalidGroupRole, RoleMapping};
