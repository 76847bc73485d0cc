//! An HTTP client with a time limit and a size limit, without redirects and proxies.

use std::{error::Error, time::Duration};

use reqwest::{
    Client, ClientBuilder, Request, RequestBuilder, StatusCode,
    header::{self, HeaderMap, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret as _, SecretString};

/// The client. Clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct BoundedClient {
    client: Client,
    bounds: AnswerBounds,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerBounds {
    pub(crate) timeout: Duration,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct BoundedAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The error of a request. Its texts contain no URL and no body.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Network(String),
}

impl BoundedClient {
    pub(crate) fn new(bounds: AnswerBounds) -> Result<Self, reqwest::Error> {
        Self::build(Client::builder(), bounds)
    }

    /// Makes a client that does not verify certificates: the address of this machine is in none.
    pub(crate) fn to_this_machine(bounds: AnswerBounds) -> Result<Self, reqwest::Error> {
        Self::build(
            Client::builder().tls_danger_accept_invalid_certs(true),
            bounds,
        )
    }

    fn build(builder: ClientBuilder, bounds: AnswerBounds) -> Result<Self, reqwest::Error> {
        // Fails only if the process has installed a provider before, which works as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = builder
            .redirect(Policy::none())
            .no_proxy()
            .timeout(bounds.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, bounds })
    }

    /// Requests JSON, with a token if there is one.
    pub(crate) async fn get_json(
        &self,
        url: &str,
        token: Option<&SecretString>,
    ) -> Result<BoundedAnswer, HttpError> {
        let mut request = self
            .client
            .get(url)
            .header(header::ACCEPT, "application/json");
        if let Some(token) = token {
            request = with_token(request, token)?;
        }
        let request = request.build().map_err(|error| self.error(error));
        self.send(request?).await
    }

    pub(crate) async fn send(&self, request: Request) -> Result<BoundedAnswer, HttpError> {
        let sent = self.client.execute(request).await;
        let mut response = sent.map_err(|error| self.error(error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.error(error))? {
            if body.len() + chunk.len() > self.bounds.bytes {
                return Err(HttpError::TooLarge(self.bounds.bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(BoundedAnswer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    /// Makes the error from the innermost cause, which is the most specific one.
    pub(crate) fn error(&self, error: reqwest::Error) -> HttpError {
        if error.is_timeout() {
            return HttpError::Timeout(self.bounds.timeout);
        }
        let error = error.without_url();
        let mut cause: &dyn Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        HttpError::Network(cause.to_string())
    }
}

fn with_token(request: RequestBuilder, token: &SecretString) -> Result<RequestBuilder, HttpError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
    let mut value = value.map_err(|_| {
        HttpError::Network("its token is not one line of plain characters".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(request.header(header::AUTHORIZATION, value))
}
