//! Requests to the provider: no redirects, no proxy, a deadline, and a size limit for responses.

use std::{error::Error, net::IpAddr, pin::Pin, time::Duration};

use openidconnect::{
    AsyncHttpClient, HttpRequest, HttpResponse,
    http::response::Builder,
    url::{ParseError, Url},
};
use reqwest::redirect::Policy;

/// The limit per request; a login needs up to three.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Documents, keys and tokens are some kilobytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Makes the requests. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct HttpClient(reqwest::Client);

/// The error of a request. Its texts contain no URL and no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    #[error("the answer has more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("{0}")]
    Network(String),
}

/// The reason why logins at a provider cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum BuildProviderError {
    #[error("the {0} is no URL")]
    Address(&'static str, #[source] ParseError),
    #[error("the issuer does not use https, so anyone on the network path could log in")]
    NotEncrypted,
    #[error("cannot make an HTTP client: install `ca-certificates`")]
    Client(#[source] reqwest::Error),
}

impl HttpClient {
    pub(super) fn new() -> Result<Self, BuildProviderError> {
        // Fails only if the process has installed a provider before, which works as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(BuildProviderError::Client)
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = reqwest::Request::try_from(request).map_err(error)?;
        let mut response = self.0.execute(request).await.map_err(error)?;
        let mut answer = Builder::new().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(error)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let answer = answer.body(body);
        answer.map_err(|error| HttpError::Network(error.to_string()))
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// Checks that the URL uses HTTPS; plain HTTP is allowed for a provider on this machine.
pub(super) fn check_encrypted(url: &Url) -> Result<(), BuildProviderError> {
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let address = literal.parse::<IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if url.scheme() == "https" || url.scheme() == "http" && is_local {
        Ok(())
    } else {
        Err(BuildProviderError::NotEncrypted)
    }
}

/// Makes the error from the innermost cause, which is the most specific one.
fn error(error: reqwest::Error) -> HttpError {
    if error.is_timeout() {
        return HttpError::Timeout;
    }
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    HttpError::Network(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_reached_by_https_or_on_this_machine() {
        let check = |url: &str| check_encrypted(&url.parse().unwrap()).is_ok();
        for good in [
            "https://id.example",
            "http://localhost:8090/realms/a",
            "http://127.0.0.1:5556/dex",
            "http://[::1]:5556",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in ["http://id.example", "http://10.0.0.7", "ftp://localhost"] {
            assert!(!check(bad), "{bad}");
        }
    }
}
