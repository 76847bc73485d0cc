//! `throughline healthcheck`: asks the service on this machine whether it works.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::{
    config::{PagesPortConfig, PagesTlsConfig},
    http::{AnswerBounds, BoundedClient},
};

/// `/readyz` answers within 3 s.
const BOUNDS: AnswerBounds = AnswerBounds {
    timeout: Duration::from_secs(4),
    bytes: 64 * 1024,
};

/// Requests `path` from the port that a service with these settings listens on.
///
/// # Errors
/// If there is no answer, or another one than 200: then the error has the text of the answer.
pub async fn ask(
    port: &PagesPortConfig,
    tls: &PagesTlsConfig,
    path: &str,
) -> anyhow::Result<String> {
    let scheme = tls.tls_cert.as_ref().map_or("http", |_| "https");
    let address = reachable(port.listen);
    let url = format!("{scheme}://{address}{path}");
    let answer = BoundedClient::to_this_machine(BOUNDS)?
        .get_json(&url, None)
        .await
        .with_context(|| format!("{url} does not answer"))?;
    let text = String::from_utf8_lossy(&answer.body).trim_end().to_owned();
    if answer.status != 200 {
        bail!("{url} answers {}: {text}", answer.status);
    }
    Ok(text)
}

/// Returns the address by which this machine reaches `listen`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_every_address_is_asked_on_the_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
