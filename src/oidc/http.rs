//! Requests to the provider, with bounds.

use std::{net::IpAddr, pin::Pin, time::Duration};

use openidconnect::{
    AsyncHttpClient, HttpRequest, HttpResponse,
    http::response::Builder,
    url::{ParseError, Url},
};

pub(super) use crate::http::HttpError;
use crate::http::{AnswerBounds, BoundedClient};

/// A login takes up to three requests. Documents, keys and tokens are some kilobytes.
const BOUNDS: AnswerBounds = AnswerBounds {
    timeout: Duration::from_secs(5),
    bytes: 1024 * 1024,
};

/// Makes the requests. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct HttpClient(BoundedClient);

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
        let client = BoundedClient::new(BOUNDS);
        client.map(Self).map_err(BuildProviderError::Client)
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = reqwest::Request::try_from(request);
        let request = request.map_err(|error| self.0.error(error))?;
        let answer = self.0.send(request).await?;
        let mut response = Builder::new().status(answer.status);
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers;
        }
        let response = response.body(answer.body);
        response.map_err(|error| HttpError::Network(error.to_string()))
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
