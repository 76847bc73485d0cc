//! Checks whether a target could be reached: its secrets can be read, and its hosts resolve to
//! allowed addresses. Sends nothing.

use std::{net::IpAddr, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    addresses::AddressPolicy,
    client::web_address,
    request::{PAGERDUTY, SLACK_API, address},
    resolver::{Ports, Resolver, system_lookup},
    secrets::{self, MissingSecret},
};
use crate::domain::slo::{Target, TargetKind};

const RESOLVES_WITHIN: Duration = Duration::from_secs(5);

/// The reason why nothing can be sent to a target, in the words of deliveries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableTarget {
    #[error("{0}")]
    Secret(String),
    #[error("{0}")]
    Address(String),
}

/// Returns the hosts of a target, all of which resolve to allowed addresses.
pub async fn resolve_target(
    target: &Target,
    policy: &AddressPolicy,
) -> Result<Vec<String>, UnusableTarget> {
    let missing = |error: MissingSecret| UnusableTarget::Secret(error.to_string());
    for secret in target.kind.secrets() {
        secrets::read(secret).await.map_err(missing)?;
    }
    let policy = Arc::new(policy.clone());
    let mut hosts = Vec::new();
    for url in urls(&target.kind).await.map_err(missing)? {
        let host = resolve_host(&url, &policy).await;
        hosts.push(host.map_err(UnusableTarget::Address)?);
    }
    Ok(hosts)
}

async fn urls(kind: &TargetKind) -> Result<Vec<SecretString>, MissingSecret> {
    let plain = |url: &Option<String>, usual: &str| {
        vec![SecretString::from(url.as_deref().unwrap_or(usual))]
    };
    Ok(match kind {
        TargetKind::Webhook { url, .. } => vec![address(url).await?],
        TargetKind::Slack { webhook_url: url } | TargetKind::Teams { url } => {
            vec![secrets::read(url).await?]
        }
        TargetKind::SlackBot { url, .. } => plain(url, SLACK_API),
        TargetKind::PagerDuty { url, .. } => plain(url, PAGERDUTY),
        TargetKind::Alertmanager { urls } => {
            let mut read = Vec::new();
            for url in urls {
                read.push(address(url).await?);
            }
            read
        }
    })
}

async fn resolve_host(url: &SecretString, policy: &Arc<AddressPolicy>) -> Result<String, String> {
    let url = web_address(url.expose_secret()).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse::<IpAddr>() {
        let checked = policy.check(address, port);
        return match checked {
            Ok(()) => Ok(host.to_owned()),
            Err(refused) => Err(refused.to_string()),
        };
    }
    let ports = if policy.is_web_port(port) {
        Ports::Web
    } else {
        Ports::Other
    };
    let resolver = Resolver::new(system_lookup(), Arc::clone(policy), RESOLVES_WITHIN).on(ports);
    match resolver.addresses(host).await {
        Ok(_) => Ok(host.to_owned()),
        Err(error) => Err(format!("`{host}`: {error}")),
    }
}
