//! The ports of the service: their addresses, their certificates, and their connection limits.

mod file_limit;
mod tls;

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::TcpListener;

pub(in crate::app) use self::{
    file_limit::FileLimit,
    tls::{PortTls, TlsReloaders, examine_certificates},
};
use crate::config::Config;

#[derive(Debug)]
pub(in crate::app) struct BoundListeners {
    pub(in crate::app) grpc: TcpListener,
    pub(in crate::app) http: TcpListener,
    pub(in crate::app) pages: TcpListener,
}

/// The addresses that the service listens on, with the actual ports where 0 was requested.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub otlp_grpc: SocketAddr,
    pub otlp_http: SocketAddr,
    pub pages: SocketAddr,
}

impl BoundListeners {
    pub(in crate::app) async fn bind(config: &Config) -> anyhow::Result<Self> {
        let receiver = &config.receiver;
        Ok(Self {
            grpc: bind(receiver.otlp_grpc_listen, "--otlp-grpc-listen").await?,
            http: bind(receiver.otlp_http_listen, "--otlp-http-listen").await?,
            pages: bind(config.pages.port.listen, "--listen").await?,
        })
    }
}

pub(in crate::app) async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on `{address}`: choose another address with `{flag}`")
    })
}
