//! Logins at an OpenID Connect provider: its discovery document, its keys, and the exchange of a
//! code for an identity.
//!
//! [`IdentityProvider::refresh`] is called every half minute and reads the document and the keys.
//! The last document is kept while the provider does not answer. A login reads it again unless it
//! was read within the last seconds, so that no user is sent to a provider that does not answer.
//! [`IdentityProvider::identify`] accepts an ID token only if a key of the provider has signed it
//! with an asymmetric algorithm, for this client and this login.

mod claims;
mod discovery;
mod http;

use std::{path::PathBuf, sync::Arc};

use openidconnect::{
    AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl,
    LogoutRequest, Nonce, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, RedirectUrl,
    RequestTokenError, Scope, SignatureVerificationError, TokenResponse as _,
    core::{CoreErrorResponseType, CoreResponseType},
};
use secrecy::{ExposeSecret as _, SecretString};

pub use self::http::BuildProviderError;
use self::{
    claims::{IdToken, OidcClient},
    discovery::{Document, ProviderDiscovery},
    http::{HttpClient, HttpError},
};
use crate::domain::{
    access::{AuthenticatedUser, LoginSecrets},
    model::time::Timestamp,
};

/// The registration of this service at the provider.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The URL of the provider, exactly as in its tokens.
    pub issuer: String,
    pub client_id: String,
    /// `None` for a public client, which only PKCE protects.
    pub client_secret: Option<ClientSecretSource>,
    /// Scopes to request in addition to `openid`.
    pub scopes: Vec<String>,
    /// The claim with the user's groups.
    pub groups_claim: String,
    /// The URL to which the provider redirects after a login.
    pub redirect_url: String,
    /// The URL to which the provider redirects after a logout.
    pub logged_out_url: String,
}

/// The source of the client secret.
#[derive(Clone, Debug)]
pub enum ClientSecretSource {
    Value(SecretString),
    /// Read at each use, so that it can be replaced.
    File(PathBuf),
}

/// The reason why a login fails, without any secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The reason, as a phrase.
    #[error("the provider does not answer: {0}")]
    Unavailable(String),
    #[error("the provider does not know this code, or not any more")]
    CodeRejected,
    /// The error in it, as a phrase.
    #[error("the provider's answer cannot be used: {0}")]
    InvalidAnswer(String),
    /// The error in it, as a phrase.
    #[error("the provider's ID token is not valid: {0}")]
    InvalidToken(String),
    #[error("the client secret cannot be read from `{path}`: {kind}")]
    NoSecret {
        path: String,
        kind: std::io::ErrorKind,
    },
}

/// A provider. Clones share its document.
#[derive(Clone, Debug)]
pub struct IdentityProvider(Arc<Provider>);

#[derive(Debug)]
struct Provider {
    settings: ProviderSettings,
    redirect_url: RedirectUrl,
    logged_out_url: PostLogoutRedirectUrl,
    http: HttpClient,
    discovery: ProviderDiscovery,
}

impl IdentityProvider {
    /// Makes a provider without sending a request.
    pub fn new(settings: ProviderSettings) -> Result<Self, BuildProviderError> {
        let invalid = |what| move |error| BuildProviderError::Address(what, error);
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(invalid("issuer"))?;
        http::check_encrypted(issuer.url())?;
        let redirect_url = RedirectUrl::new(settings.redirect_url.clone());
        let logged_out_url = PostLogoutRedirectUrl::new(settings.logged_out_url.clone());
        Ok(Self(Arc::new(Provider {
            redirect_url: redirect_url.map_err(invalid("public address"))?,
            logged_out_url: logged_out_url.map_err(invalid("public address"))?,
            http: HttpClient::new()?,
            discovery: ProviderDiscovery::new(issuer),
            settings,
        })))
    }

    /// Returns its URL, for people.
    pub fn issuer(&self) -> &str {
        &self.0.settings.issuer
    }

    /// Reads its document and its keys again. Returns whether it has answered.
    pub async fn refresh(&self, now: Timestamp) -> bool {
        let Provider {
            discovery, http, ..
        } = &*self.0;
        discovery.refresh(http, now).await.is_ok()
    }

    /// Returns the problem with logins as a sentence; `None` if there is none or nothing was
    /// requested yet.
    pub fn problem(&self) -> Option<String> {
        let failure = self.0.discovery.failure()?;
        Some(format!("{}: {failure}.", self.issuer()))
    }

    /// Returns the URL at which a browser logs in.
    pub async fn login_url(
        &self,
        secrets: &LoginSecrets,
        now: Timestamp,
    ) -> Result<String, LoginError> {
        let Provider {
            settings,
            discovery,
            http,
            ..
        } = &*self.0;
        let document = discovery.recent(http, now).await?;
        let client = self.client(&document, None);
        let [state, nonce] = [&secrets.state, &secrets.nonce].map(Clone::clone);
        let verifier = PkceCodeVerifier::new(secrets.verifier.clone());
        let request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .add_scopes(settings.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        Ok(request.url().0.into())
    }

    /// Returns the user who has logged in, by the code from the browser.
    pub async fn identify(
        &self,
        code: String,
        secrets: &LoginSecrets,
        now: Timestamp,
    ) -> Result<AuthenticatedUser, LoginError> {
        let Provider {
            settings,
            discovery,
            http,
            ..
        } = &*self.0;
        let document = discovery.known(http, now).await?;
        let client = self.client(&document, self.secret().await?);
        let request = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| LoginError::InvalidAnswer(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier.clone()));
        let tokens = request.request_async(http).await.map_err(exchange_error)?;
        let id_token = tokens
            .id_token()
            .ok_or_else(|| LoginError::InvalidToken("there is none".to_owned()))?;
        let nonce = Nonce::new(secrets.nonce.clone());
        let claims = match claims::verify(&client, id_token, &nonce, now) {
            // The provider may have changed its keys since they were read.
            Err(error) if claims::is_unknown_key(&error) => {
                let document = discovery.refresh(http, now).await?;
                let client = self.client(&document, None);
                claims::verify(&client, id_token, &nonce, now)
            }
            verified => verified,
        };
        let claims = claims.map_err(invalid_token)?;
        claims::check_access_token(&client, id_token, claims, &tokens)?;
        let mut found = claims::of_id_token(claims, &settings.groups_claim);
        if !found.is_complete() {
            let groups_claim = &settings.groups_claim;
            let more = claims::user_info(&client, &tokens, claims, groups_claim, http);
            found = found.or(more.await?);
        }
        Ok(found.identity(claims.subject().as_str(), id_token.to_string()))
    }

    /// Returns the URL at which a browser ends its session with the provider; `None` if the
    /// provider has none.
    pub fn logout_url(&self, id_token: Option<&str>) -> Option<String> {
        let document = self.0.discovery.last()?;
        let endpoint = document
            .additional_metadata()
            .end_session_endpoint
            .clone()?;
        let request = LogoutRequest::from(endpoint)
            .set_client_id(ClientId::new(self.0.settings.client_id.clone()))
            .set_post_logout_redirect_uri(self.0.logged_out_url.clone());
        let hint = id_token.and_then(|text| text.parse::<IdToken>().ok());
        let request = match &hint {
            Some(hint) => request.set_id_token_hint(hint),
            None => request,
        };
        Some(request.http_get_url().into())
    }

    fn client(&self, document: &Document, secret: Option<ClientSecret>) -> OidcClient {
        let id = ClientId::new(self.0.settings.client_id.clone());
        OidcClient::from_provider_metadata(document.clone(), id, secret)
            .set_auth_type(discovery::auth_type(document))
            .set_redirect_uri(self.0.redirect_url.clone())
    }

    async fn secret(&self) -> Result<Option<ClientSecret>, LoginError> {
        let text = match &self.0.settings.client_secret {
            None => return Ok(None),
            Some(ClientSecretSource::Value(secret)) => secret.expose_secret().to_owned(),
            Some(ClientSecretSource::File(path)) => {
                let read = tokio::fs::read_to_string(path).await;
                read.map_err(|error| LoginError::NoSecret {
                    path: path.display().to_string(),
                    kind: error.kind(),
                })?
            }
        };
        Ok(Some(ClientSecret::new(text.trim().to_owned())))
    }
}

fn invalid_token(error: openidconnect::ClaimsVerificationError) -> LoginError {
    use openidconnect::ClaimsVerificationError::SignatureVerification;
    LoginError::InvalidToken(match error {
        SignatureVerification(SignatureVerificationError::NoSignature) => {
            "it is not signed".to_owned()
        }
        SignatureVerification(error) => error.to_string(),
        error => error.to_string(),
    })
}

/// Makes the error without the body, which may contain a token.
fn exchange_error(error: RequestTokenError<HttpError, claims::ErrorAnswer>) -> LoginError {
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::InvalidGrant => LoginError::CodeRejected,
            kind => LoginError::InvalidAnswer(format!("it refuses this client: {}", kind.as_ref())),
        },
        RequestTokenError::Request(error) => LoginError::Unavailable(error.to_string()),
        RequestTokenError::Parse(..) => {
            LoginError::InvalidAnswer("it is no token response".to_owned())
        }
        RequestTokenError::Other(_) => LoginError::InvalidAnswer("it is empty".to_owned()),
    }
}
