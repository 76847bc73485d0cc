//! The only HTTP client: no redirects, no proxy, only allowed addresses, a deadline for everything,
//! and a size limit for responses.

use std::{error::Error, io, net::IpAddr, sync::Arc, time::Duration};

use reqwest::{
    Method, Response, Url,
    header::{LOCATION, RETRY_AFTER},
    redirect::Policy,
};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, timeout_at};

use super::{
    addresses::{AddressPolicy, ForbiddenAddress},
    resolver::{Lookup, Ports, ResolveError, Resolver},
};

/// The limit of a response body, which may be endless.
const MAX_ANSWER_BYTES: usize = 4_096;

#[derive(Clone, Debug)]
pub(crate) struct Client {
    policy: Arc<AddressPolicy>,
    /// The client for the ports that are allowed for public addresses.
    web: reqwest::Client,
    /// The client for all other ports: reaches only ranges that are explicitly allowed.
    other: reqwest::Client,
}

/// A complete request.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: SecretString,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// A bearer token for authentication.
    pub(crate) bearer: Option<SecretString>,
    pub(crate) body: Vec<u8>,
    /// Covers connecting, sending, and the response's headers and body.
    pub(crate) timeout: Duration,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct TargetResponse {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) location: Option<String>,
    /// The first 4 kB at most, or what arrived in time.
    pub(crate) body: String,
}

/// The error of a request without a response. Its texts contain no URL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("the address is no http or https URL")]
    Address,
    #[error("not sent: {0}")]
    Refused(ForbiddenAddress),
    #[error("{0}")]
    Dns(ResolveError),
    #[error("no secure connection: {0}")]
    Tls(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("the connection broke: {0}")]
    Network(String),
}

#[derive(Debug, thiserror::Error)]
#[error("cannot build the HTTP client for notifications")]
pub struct BuildClientError(#[source] Box<dyn Error + Send + Sync>);

impl Client {
    pub(crate) fn new(
        connect_timeout: Duration,
        policy: AddressPolicy,
        lookup: Lookup,
    ) -> Result<Self, BuildClientError> {
        // Fails only if the process has installed a provider before, which works as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let policy = Arc::new(policy);
        // Less than the whole time for connecting, so that some is left for the remembered
        // addresses.
        let limit = connect_timeout * 2 / 3;
        let resolver = Resolver::new(lookup, Arc::clone(&policy), limit);
        let build = |ports| build(connect_timeout, resolver.on(ports));
        Ok(Self {
            policy,
            web: build(Ports::Web)?,
            other: build(Ports::Other)?,
        })
    }

    /// Sends the request once and follows no redirect.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<TargetResponse, SendError> {
        let deadline = Instant::now() + outgoing.timeout;
        let url = web_address(outgoing.url.expose_secret())?;
        let client = self.allowed(&url)?;
        let mut request = client.request(outgoing.method, url).body(outgoing.body);
        for (name, value) in outgoing.headers {
            request = request.header(name, value);
        }
        if let Some(token) = outgoing.bearer {
            request = request.bearer_auth(token.expose_secret());
        }
        let response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| SendError::Timeout(outgoing.timeout))?
            .map_err(send_error)?;
        Ok(read_answer(response, deadline).await)
    }

    /// Returns the client for this URL. An address literal is checked here, since it never reaches
    /// the resolver.
    fn allowed(&self, url: &Url) -> Result<&reqwest::Client, SendError> {
        let port = url.port_or_known_default().ok_or(SendError::Address)?;
        let host = url.host_str().ok_or(SendError::Address)?;
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            self.policy
                .check(address, port)
                .map_err(SendError::Refused)?;
        }
        Ok(if self.policy.is_web_port(port) {
            &self.web
        } else {
            &self.other
        })
    }
}

fn build(
    connect_timeout: Duration,
    resolver: Resolver,
) -> Result<reqwest::Client, BuildClientError> {
    let again = resolver.clone();
    match builder(connect_timeout, resolver).build() {
        Ok(client) => Ok(client),
        Err(error) => {
            tracing::warn!(
                error = %error_text(error),
                "no certificate authorities found: https targets cannot be reached until \
                 `ca-certificates` is installed and the service restarted"
            );
            builder(connect_timeout, again)
                .tls_backend_preconfigured(trusting_nobody()?)
                .build()
                .map_err(|error| BuildClientError(error.without_url().into()))
        }
    }
}

fn builder(connect_timeout: Duration, resolver: Resolver) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .dns_resolver(resolver)
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
}

/// Makes the TLS configuration for a machine without certificate authorities: plain http works,
/// https fails with a clear error, and nothing is ever sent to an unverified server.
fn trusting_nobody() -> Result<ClientConfig, BuildClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BuildClientError(error.into()))?;
    Ok(config
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

pub(crate) fn web_address(text: &str) -> Result<Url, SendError> {
    let url = Url::parse(text).map_err(|_| SendError::Address)?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(SendError::Address)
    }
}

/// Reads the response. Its status decides; the body is read as far as it arrives in time.
async fn read_answer(mut response: Response, deadline: Instant) -> TargetResponse {
    let header = |name| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let mut answer = TargetResponse {
        status: response.status().as_u16(),
        retry_after: header(RETRY_AFTER),
        location: header(LOCATION),
        body: String::new(),
    };
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER_BYTES {
        let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await else {
            break;
        };
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    answer.body = String::from_utf8_lossy(&body).into_owned();
    answer
}

fn send_error(error: reqwest::Error) -> SendError {
    if let Some(problem) = cause::<ResolveError>(&error) {
        return match problem {
            ResolveError::Refused(refused) => SendError::Refused(refused.clone()),
            ResolveError::Unknown(_) => SendError::Dns(problem.clone()),
        };
    }
    if let Some(problem) = cause::<rustls::Error>(&error) {
        return SendError::Tls(problem.to_string());
    }
    if error.is_builder() {
        SendError::Address
    } else if error.is_connect() {
        SendError::Connect(error_text(error))
    } else {
        SendError::Network(error_text(error))
    }
}

/// Returns the cause of this type at any depth. The error inside an I/O error is not among its
/// sources, so it is unwrapped.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| cause(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Returns the text of the innermost cause, which is the most specific; never includes the URL.
fn error_text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
