//! Settings of who may use what.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::{duration, range};
use crate::domain::access::AccessRole;

/// Who may see pages, of every command that serves them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct ReaderConfig {
    /// Authentication of pages and API. `none`: everybody may do everything. `token`: with a token of
    /// `throughline token create`; browsers log in with it. `oidc`: browsers log in at the provider of
    /// `--oidc-issuer`; programs use a token. `proxy`: a proxy names the user in the header of
    /// `--user-header`, which it sets or removes in every request; programs can use a token. Default:
    /// `none` if `--listen` is a loopback address, else `token`
    #[arg(long = "auth", env = "THROUGHLINE_AUTH", value_name = "METHOD")]
    pub auth: Option<AuthMethod>,
    /// Addresses and ranges of proxies in front of the pages. Limits and the audit log then use the
    /// last address in `X-Forwarded-For` that is not one of them as the client's address. With `--auth
    /// proxy`, only these proxies may name users; it is required when `--listen` is not a loopback
    /// address. Use `0.0.0.0/0,::/0` if only the proxy can reach the port
    #[arg(
        long,
        env = "THROUGHLINE_TRUSTED_PROXIES",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = range
    )]
    pub trusted_proxies: Vec<IpNet>,
    /// Serve `/metrics` without authentication, regardless of `--auth`
    #[arg(long, env = "THROUGHLINE_OPEN_METRICS")]
    pub open_metrics: bool,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessConfig {
    #[command(flatten)]
    pub readers: ReaderConfig,
    /// Header in which the proxy of `--auth proxy` sends the role of the user: viewer, editor or admin,
    /// or for the SLOs of a team or namespace, as `viewer, editor@team/payments`
    #[arg(long, env = "THROUGHLINE_ROLE_HEADER", value_name = "HEADER")]
    pub role_header: Option<String>,
    /// Role of users for whom the proxy of `--auth proxy` sends none
    #[arg(
        long,
        env = "THROUGHLINE_PROXY_ROLE",
        value_name = "ROLE",
        default_value = "editor"
    )]
    pub proxy_role: AccessRole,
    /// The lowest role that sees the names of customers. Lower roles see pseudonyms, the same on all
    /// pages, and cannot search for a customer. With `editor` or `admin`, metrics always have
    /// pseudonyms. `customerDetails` of each SLO decides what messages contain
    #[arg(
        long,
        env = "THROUGHLINE_CUSTOMER_NAMES_ROLE",
        value_name = "ROLE",
        default_value = "viewer"
    )]
    pub customer_names_role: AccessRole,
    /// Authentication of senders of spans. `none`: everybody may send. `token`: with a token of
    /// `throughline token create NAME --sender`, sent as `authorization: Bearer`
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_AUTH",
        value_name = "METHOD",
        default_value = "none"
    )]
    pub otlp_auth: OtlpAuth,
    /// How long a browser stays logged in
    #[arg(long, env = "THROUGHLINE_SESSION_LIFETIME", value_name = "DURATION", default_value = "12h", value_parser = duration)]
    pub session_lifetime: Duration,
    /// How long entries of the audit log are kept
    #[arg(long, env = "THROUGHLINE_AUDIT_RETENTION", value_name = "DURATION", default_value = "400d", value_parser = duration)]
    pub audit_retention: Duration,
}

/// The error for a port on which anybody could claim to be anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "with `--auth proxy` on `{listen}`, everybody who reaches the port is whom their request names: set \
     `--trusted-proxies` to the addresses of the proxy, such as `10.0.0.7`, or to `0.0.0.0/0,::/0` if only \
     the proxy can reach the port"
)]
pub struct AnyProxyTrusted {
    listen: SocketAddr,
}

/// How requests are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthMethod {
    None,
    Token,
    Oidc,
    Proxy,
}

/// Addresses whose `X-Forwarded-For` is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// How senders of spans authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtlpAuth {
    None,
    Token,
}

impl AccessConfig {
    /// Requires no authentication.
    pub fn open() -> Self {
        Self {
            readers: ReaderConfig {
                auth: Some(AuthMethod::None),
                trusted_proxies: Vec::new(),
                open_metrics: false,
            },
            role_header: None,
            proxy_role: AccessRole::Editor,
            customer_names_role: AccessRole::Viewer,
            otlp_auth: OtlpAuth::None,
            session_lifetime: Duration::from_hours(12),
            audit_retention: Duration::from_hours(400 * 24),
        }
    }
}

impl ReaderConfig {
    /// Returns the method for pages at `listen`.
    pub fn method(&self, listen: SocketAddr) -> AuthMethod {
        self.auth.unwrap_or(if is_local(listen) {
            AuthMethod::None
        } else {
            AuthMethod::Token
        })
    }

    /// Returns the proxies before pages at `listen`.
    pub fn proxies(&self, listen: SocketAddr) -> Result<TrustedProxies, AnyProxyTrusted> {
        let is_open = self.method(listen) == AuthMethod::Proxy && !is_local(listen);
        if is_open && self.trusted_proxies.is_empty() {
            return Err(AnyProxyTrusted { listen });
        }
        Ok(TrustedProxies::new(self.trusted_proxies.clone()))
    }
}

fn is_local(listen: SocketAddr) -> bool {
    listen.ip().to_canonical().is_loopback()
}

impl TrustedProxies {
    pub const fn new(ranges: Vec<IpNet>) -> Self {
        Self(ranges)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether every address is one, so that none shows where proxies end and clients begin.
    pub fn are_everywhere(&self) -> bool {
        self.0.iter().any(|range| range.prefix_len() == 0)
    }

    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(&address))
    }
}

impl AuthMethod {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Oidc => "oidc",
            Self::Proxy => "proxy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_is_open_unless_a_setting_says_so() {
        let method = |auth, listen: &str| {
            let config = ReaderConfig {
                auth,
                ..AccessConfig::open().readers
            };
            config.method(listen.parse().unwrap())
        };
        for local in [
            "127.0.0.1:8080",
            "127.1.2.3:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert_eq!(method(None, local), AuthMethod::None, "{local}");
        }
        for public in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080"] {
            assert_eq!(method(None, public), AuthMethod::Token, "{public}");
        }
        assert_eq!(
            method(Some(AuthMethod::None), "0.0.0.0:80"),
            AuthMethod::None
        );
        assert_eq!(
            method(Some(AuthMethod::Token), "[::1]:80"),
            AuthMethod::Token
        );
    }

    #[test]
    fn beyond_loopback_users_are_believed_of_named_proxies_only() {
        let proxies = |auth, listen: &str, ranges: &[&str]| {
            let config = ReaderConfig {
                auth: Some(auth),
                trusted_proxies: ranges.iter().map(|range| range.parse().unwrap()).collect(),
                ..AccessConfig::open().readers
            };
            config.proxies(listen.parse().unwrap())
        };
        for public in ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:8080"] {
            let error = proxies(AuthMethod::Proxy, public, &[]).unwrap_err();
            assert!(error.to_string().contains("--trusted-proxies"), "{error}");
            assert!(proxies(AuthMethod::Proxy, public, &["10.0.0.7/32"]).is_ok());
            assert!(proxies(AuthMethod::Proxy, public, &["0.0.0.0/0", "::/0"]).is_ok());
            assert!(proxies(AuthMethod::Token, public, &[]).is_ok());
        }
        assert!(proxies(AuthMethod::Proxy, "127.0.0.1:8080", &[]).is_ok());
    }
}
