//! Who may do what: roles, API tokens, and the record of what was done.

mod attempts;
mod audit;
mod role;
mod token;

pub use attempts::{AttemptLimit, Blocked, TokenLookupError};
pub use audit::{AuditEntry, AuditOutcome, AuditSource};
pub use role::{AccessRole, UnknownRole};
pub use token::{
    AllowedServices, ApiToken, KnownTokens, NewToken, TokenDigest, TokenGrant, TokenRecord,
    TokenRefusal,
};
