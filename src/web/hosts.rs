//! The hosts that requests may be sent to.
//!
//! A browser lets a page read responses from its own host. If the DNS name of an attacker's page
//! later resolves to this machine (DNS rebinding), the browser takes this service for the
//! attacker's host. But the `Host` header still has the attacker's name, so such requests are
//! rejected. An IP address cannot be rebound, so all IP addresses are allowed, and no list of this
//! machine's addresses is needed.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{Uri, header, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::{error::WebError, page::Negotiation, state::WebState};

/// The allowed hosts in addition to IP addresses and `localhost`.
#[derive(Clone, Debug)]
pub struct AllowedHosts {
    names: Vec<String>,
}

impl AllowedHosts {
    /// Allows the host of `public_url`, and `names`, of which `*` allows any.
    pub fn new(public_url: Option<&str>, names: impl IntoIterator<Item = String>) -> Self {
        let public_url = public_url.and_then(|url| url.parse::<Uri>().ok());
        let public = public_url.and_then(|url| Some(url.host()?.to_owned()));
        let names = public.into_iter().chain(names);
        Self {
            names: names.map(|name| name.to_ascii_lowercase()).collect(),
        }
    }

    /// The host that a request asks for, if it is none of ours. Without one, as in HTTP/1.0, no browser
    /// asks.
    pub(super) fn stranger(&self, request: &Request) -> Option<String> {
        let named = request.headers().get(header::HOST);
        let named = named.map(|host| String::from_utf8_lossy(host.as_bytes()));
        let in_target = request.uri().authority().map(Authority::as_str);
        let mut hosts = [named.as_deref(), in_target].into_iter().flatten();
        hosts.find(|host| !self.allow(host)).map(str::to_owned)
    }

    /// Returns whether a host is allowed. `host` may have a port.
    fn allow(&self, host: &str) -> bool {
        // `Host` never has a user, so text before an `@` is meant to mislead.
        let authority = host.parse::<Authority>().ok();
        let Some(authority) = authority.filter(|_| !host.contains('@')) else {
            return false;
        };
        let name = authority.host().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.iter().any(|known| known == name || known == "*")
    }
}

/// Refuses requests for a host that is not ours.
pub(super) async fn check(State(state): State<WebState>, request: Request, next: Next) -> Response {
    match state.hosts.stranger(&request) {
        None => next.run(request).await,
        Some(host) => {
            let (parts, _) = request.into_parts();
            Negotiation::of(&parts).refuse(&state, &WebError::UnknownHost { host })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_what_is_named_pass() {
        let public_url = Some("https://SLO.example:8443/slos/");
        let hosts = AllowedHosts::new(public_url, ["throughline.monitoring".to_owned()]);
        for ours in [
            "slo.example",
            "SLO.EXAMPLE:8080",
            "slo.example.",
            "throughline.monitoring:9464",
            "localhost:8080",
            "shop.localhost",
            "127.0.0.1:8080",
            "10.1.2.3",
            "[::1]:8080",
            "[fd00::7]",
        ] {
            assert!(hosts.allow(ours), "{ours}");
        }
        for other in [
            "",
            "evil.example",
            "slo.example.evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:80@localhost",
            "localhost evil",
        ] {
            assert!(!hosts.allow(other), "{other}");
        }
        assert!(AllowedHosts::new(None, ["*".to_owned()]).allow("evil.example"));
    }
}
