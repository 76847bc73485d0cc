//! The OTLP receiver on the wire, with real clients and with clients that are not.

mod abuse;
mod grpc;
mod http;
mod json;
mod late;
mod sdk;
mod senders;
pub(crate) mod server;
