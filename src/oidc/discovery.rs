//! The provider's discovery document and keys, as last read.

use std::{
    error::Error as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use openidconnect::{
    AuthType, DiscoveryError, IssuerUrl, ProviderMetadataWithLogout, core::CoreClientAuthMethod,
};

use super::{
    LoginError,
    http::{HttpClient, HttpError},
};
use crate::domain::model::time::Timestamp;

/// The provider's discovery document, with its keys.
pub(super) type Document = ProviderMetadataWithLogout;

/// The time for which a login relies on the last response.
const RECENT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct ProviderDiscovery {
    issuer: IssuerUrl,
    /// Lets only one request at a time ask the provider.
    turn: tokio::sync::Mutex<()>,
    last: Mutex<LastRead>,
}

#[derive(Clone, Debug, Default)]
struct LastRead {
    /// From the last successful request.
    document: Option<Arc<Document>>,
    at: Option<Timestamp>,
    /// The error, if the last request failed.
    failure: Option<LoginError>,
}

impl ProviderDiscovery {
    pub(super) fn new(issuer: IssuerUrl) -> Self {
        Self {
            issuer,
            turn: tokio::sync::Mutex::default(),
            last: Mutex::default(),
        }
    }

    pub(super) fn last(&self) -> Option<Arc<Document>> {
        self.read_last().document
    }

    pub(super) fn failure(&self) -> Option<LoginError> {
        self.read_last().failure
    }

    /// Asks the provider.
    pub(super) async fn refresh(
        &self,
        http: &HttpClient,
        now: Timestamp,
    ) -> Result<Arc<Document>, LoginError> {
        let _turn = self.turn.lock().await;
        self.ask(http, now).await
    }

    /// Returns the document that it returns now, or has returned within the last seconds.
    pub(super) async fn recent(
        &self,
        http: &HttpClient,
        now: Timestamp,
    ) -> Result<Arc<Document>, LoginError> {
        let _turn = self.turn.lock().await;
        let last = self.read_last();
        let is_recent = last.at.is_some_and(|at| now < at + RECENT);
        match last {
            LastRead {
                failure: Some(failure),
                ..
            } if is_recent => Err(failure),
            LastRead {
                document: Some(document),
                ..
            } if is_recent => Ok(document),
            _ => self.ask(http, now).await,
        }
    }

    /// Returns the last known document, or asks for it.
    pub(super) async fn known(
        &self,
        http: &HttpClient,
        now: Timestamp,
    ) -> Result<Arc<Document>, LoginError> {
        match self.last() {
            Some(document) => Ok(document),
            None => self.recent(http, now).await,
        }
    }

    async fn ask(&self, http: &HttpClient, now: Timestamp) -> Result<Arc<Document>, LoginError> {
        let answer = Document::discover_async(self.issuer.clone(), http).await;
        let answer = answer
            .map(Arc::new)
            .map_err(|error| discovery_error(&error));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let issuer = self.issuer.as_str();
        match (&answer, &last.failure) {
            (Ok(_), Some(_)) => tracing::info!(issuer, "the OpenID Connect provider answers again"),
            (Err(error), None) => tracing::warn!(
                issuer,
                %error,
                "logins fail; existing sessions and API tokens continue to work"
            ),
            _ => {}
        }
        if let Ok(document) = &answer {
            last.document = Some(Arc::clone(document));
        }
        last.at = Some(now);
        last.failure = answer.as_ref().err().cloned();
        drop(last);
        answer
    }

    fn read_last(&self) -> LastRead {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }
}

/// Returns how the client authenticates: in the header, unless the provider supports only the body.
pub(super) fn auth_type(document: &Document) -> AuthType {
    let methods = document.token_endpoint_auth_methods_supported();
    let takes = |method| methods.is_none_or(|methods| methods.contains(&method));
    if takes(CoreClientAuthMethod::ClientSecretBasic) {
        AuthType::BasicAuth
    } else {
        AuthType::RequestBody
    }
}

fn discovery_error(error: &DiscoveryError<HttpError>) -> LoginError {
    match error {
        DiscoveryError::Request(error) => LoginError::Unavailable(error.to_string()),
        DiscoveryError::Response(status, ..) if status.is_server_error() => {
            LoginError::Unavailable(format!("it answers {status}"))
        }
        DiscoveryError::Response(_, _, problem) | DiscoveryError::Validation(problem) => {
            LoginError::InvalidAnswer(problem.clone())
        }
        DiscoveryError::Parse(error) => LoginError::InvalidAnswer(format!(
            "its document is not that of a provider: {}",
            error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string)
        )),
        error => LoginError::InvalidAnswer(error.to_string()),
    }
}
