//! Resolves names to allowed addresses. A name that temporarily cannot be resolved keeps its last
//! addresses, since the receiver is usually available when a resolver is not.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::{Instant, timeout};

use super::addresses::{AddressPolicy, ForbiddenAddress};

/// The duration for which the last addresses of a name are kept.
const KEEP: Duration = Duration::from_hours(24);
/// The limit of names; there are as many as targets.
const MAX_NAMES: usize = 1_000;

/// The system's resolver, or a test's replacement.
pub(crate) type Lookup = Arc<dyn Fn(String) -> LookingUp + Send + Sync>;
type LookingUp = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The ports that a connection is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// A port that is allowed for public addresses.
    Web,
    /// Any other port.
    Other,
}

#[derive(Clone)]
pub(crate) struct Resolver {
    lookup: Lookup,
    policy: Arc<AddressPolicy>,
    ports: Ports,
    limit: Duration,
    keep: Duration,
    last_good: Arc<Mutex<HashMap<String, LastGood>>>,
}

struct LastGood {
    at: Instant,
    addresses: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("its name cannot be resolved: {0}")]
    Unknown(String),
    #[error("{0}")]
    Refused(ForbiddenAddress),
}

impl Resolver {
    /// Makes a resolver. After `limit` without a response it falls back to the last addresses.
    pub(crate) fn new(lookup: Lookup, policy: Arc<AddressPolicy>, limit: Duration) -> Self {
        Self {
            lookup,
            policy,
            ports: Ports::Web,
            limit,
            keep: KEEP,
            last_good: Arc::default(),
        }
    }

    /// Returns a resolver with the same remembered addresses, for connections to other ports.
    pub(crate) fn on(&self, ports: Ports) -> Self {
        Self {
            ports,
            ..self.clone()
        }
    }

    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let found = self.look_up(name).await?;
        let (allowed, refused): (Vec<_>, Vec<_>) = found
            .into_iter()
            .map(|address| self.check(address).map(|()| address))
            .partition(Result::is_ok);
        let allowed: Vec<IpAddr> = allowed.into_iter().flatten().collect();
        match refused.into_iter().find_map(Result::err) {
            Some(refused) if allowed.is_empty() => Err(ResolveError::Refused(refused)),
            _ => Ok(allowed),
        }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let problem = match timeout(self.limit, (self.lookup)(name.to_owned())).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => {
                self.remember(name, &addresses);
                return Ok(addresses);
            }
            Ok(Ok(_)) => "it has no address".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.limit),
        };
        let last = self.recall(name);
        if last.is_some() {
            tracing::warn!(
                "a target's name cannot be resolved, its last addresses are used: {problem}"
            );
        }
        last.ok_or(ResolveError::Unknown(problem))
    }

    fn check(&self, address: IpAddr) -> Result<(), ForbiddenAddress> {
        self.policy.check_address(address)?;
        match self.ports {
            Ports::Web => Ok(()),
            Ports::Other if self.policy.is_opened(address.to_canonical()) => Ok(()),
            Ports::Other => Err(self.policy.refused_port()),
        }
    }

    fn remember(&self, name: &str, addresses: &[IpAddr]) {
        let at = Instant::now();
        let mut kept = self
            .last_good
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, last| at.saturating_duration_since(last.at) < self.keep);
        if kept.len() < MAX_NAMES || kept.contains_key(name) {
            let addresses = addresses.to_vec();
            kept.insert(name.to_owned(), LastGood { at, addresses });
        }
    }

    fn recall(&self, name: &str) -> Option<Vec<IpAddr>> {
        let kept = self
            .last_good
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let last = kept.get(name)?;
        (last.at.elapsed() < self.keep).then(|| last.addresses.clone())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses = this.addresses(name.as_str()).await?;
            // Port 0 is replaced by that of the URL.
            let addresses = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// Uses the resolver of the operating system.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const GOOD: &str = "93.184.215.14";

    /// Returns these answers, one after the other, and then an error.
    fn scripted(answers: &'static [&'static [&'static str]]) -> Lookup {
        let nth = Arc::new(AtomicUsize::new(0));
        Arc::new(move |_| {
            let answer = answers.get(nth.fetch_add(1, Ordering::Relaxed));
            Box::pin(async move {
                let addresses = answer.ok_or_else(|| io::Error::other("the resolver is away"))?;
                Ok(addresses.iter().map(|text| text.parse().unwrap()).collect())
            })
        })
    }

    fn resolver(lookup: Lookup) -> Resolver {
        let policy = Arc::new(AddressPolicy::public_only());
        Resolver::new(lookup, policy, Duration::from_secs(2))
    }

    fn good() -> Vec<IpAddr> {
        vec![GOOD.parse().unwrap()]
    }

    #[tokio::test]
    async fn t23_a_name_keeps_its_addresses_while_the_resolver_is_away_but_not_for_ever() {
        let mut resolver = resolver(scripted(&[&[GOOD]]));
        assert_eq!(resolver.addresses("hooks.example").await, Ok(good()));
        assert_eq!(resolver.addresses("hooks.example").await, Ok(good()));
        let away = Err(ResolveError::Unknown("the resolver is away".to_owned()));
        assert_eq!(resolver.addresses("other.example").await, away);
        resolver.keep = Duration::ZERO;
        assert_eq!(resolver.addresses("hooks.example").await, away);
    }

    #[tokio::test]
    async fn t23_a_resolver_that_says_nothing_or_knows_nothing_is_away_too() {
        let silent: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
        let mut silent = resolver(silent);
        silent.limit = Duration::from_millis(1);
        let error = silent.addresses("hooks.example").await;
        let expected = "its name cannot be resolved: no answer within 1ms";
        assert_eq!(error.unwrap_err().to_string(), expected);

        let resolver = resolver(scripted(&[&[GOOD], &[]]));
        assert_eq!(resolver.addresses("hooks.example").await, Ok(good()));
        assert_eq!(resolver.addresses("hooks.example").await, Ok(good()));
    }

    #[tokio::test]
    async fn t26_a_name_that_turns_to_a_private_address_is_refused_though_it_was_public() {
        let resolver = resolver(scripted(&[&[GOOD], &["127.0.0.1"], &["10.0.0.1", GOOD]]));
        assert_eq!(resolver.addresses("hooks.example").await, Ok(good()));
        let error = resolver.addresses("hooks.example").await.unwrap_err();
        assert!(
            error.to_string().contains("127.0.0.1 is loopback"),
            "{error}"
        );
        // Only the allowed addresses of a response are used.
        assert_eq!(resolver.addresses("hooks.example").await, Ok(good()));
        // Remembered addresses are checked again as well.
        assert_eq!(resolver.addresses("hooks.example").await, Ok(good()));
    }

    #[tokio::test]
    async fn t26_other_ports_are_for_opened_ranges_only() {
        let policy = AddressPolicy::new(vec!["10.0.0.0/8".parse().unwrap()], vec![443]);
        let lookup = scripted(&[&[GOOD, "10.0.0.1"], &[GOOD]]);
        let resolver = Resolver::new(lookup, Arc::new(policy), KEEP).on(Ports::Other);
        let inner: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap()];
        assert_eq!(resolver.addresses("am.example").await, Ok(inner));
        let error = resolver.addresses("am.example").await.unwrap_err();
        assert!(error.to_string().contains("the ports 443 only"), "{error}");
    }
}
