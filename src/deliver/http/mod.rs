//! One request to a target: where it may go, what it holds and what is kept of the response.

pub(super) mod addresses;
pub(super) mod client;
pub(super) mod excerpt;
pub(super) mod request;
pub(super) mod resolver;
pub(super) mod secrets;
pub(super) mod signature;
