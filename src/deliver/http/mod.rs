//! HTTP requests to targets: allowed addresses, contents, and the stored part of the response.

pub(super) mod addresses;
pub(super) mod client;
pub(super) mod excerpt;
pub(super) mod hosts;
pub(super) mod request;
pub(super) mod resolver;
pub(super) mod secrets;
pub(super) mod signature;
