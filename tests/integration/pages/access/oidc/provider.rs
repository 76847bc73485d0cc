//! A provider of OpenID Connect that answers as a test wants it, also as no decent one would.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey as _,
    core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm},
};
use serde_json::{Value, json};
use throughline::oidc::{ClientSecretSource, IdentityProvider, ProviderSettings};
use tokio::{net::TcpListener, task::JoinSet};

pub(super) const CLIENT: &str = "throughline";
pub(super) const SECRET: &str = "between us two";

/// A key of the provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) id: &'static str,
    pem: &'static str,
}

pub(super) const FIRST: Key = Key {
    id: "first",
    pem: "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIF1K/oc8Vx9jvr/xpqdaHIMxDqr4d54hSdBGkfNUUtLH
-----END PRIVATE KEY-----",
};
pub(super) const SECOND: Key = Key {
    id: "second",
    pem: "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIBXQuQi82GsvjqJ++oB4CT1CVivXNZYqcFNZSYyXW45A
-----END PRIVATE KEY-----",
};

impl Key {
    fn load(self) -> CoreEdDsaPrivateSigningKey {
        let id = JsonWebKeyId::new(self.id.to_owned());
        CoreEdDsaPrivateSigningKey::from_ed25519_pem(self.pem, Some(id)).unwrap()
    }

    /// A token that this key signs, whatever it says of its key.
    pub(super) fn sign(self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let algorithm = CoreJwsSigningAlgorithm::EdDsa;
        let signature = self.load().sign(&algorithm, text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Header and claims of a token, without the signature.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}")
}

/// What the provider answers, and what it was asked.
#[derive(Debug)]
pub(super) struct Script {
    /// Answers 503 to everything.
    pub(super) is_down: bool,
    pub(super) key: Key,
    pub(super) id_token: String,
    /// The answer to a code instead of the token.
    pub(super) error: Option<&'static str>,
    pub(super) user_info: Value,
    /// Fields of the requests with a code.
    pub(super) exchanges: Vec<BTreeMap<String, String>>,
    /// How these requests proved who sent them.
    pub(super) authorization: Option<String>,
}

#[derive(Clone, Debug)]
struct Shared {
    url: String,
    script: Arc<Mutex<Script>>,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub(super) struct FakeProvider {
    shared: Shared,
    _server: JoinSet<()>,
}

impl FakeProvider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Shared {
            url: format!("http://{}", listener.local_addr().unwrap()),
            script: Arc::new(Mutex::new(Script {
                is_down: false,
                key: FIRST,
                id_token: String::new(),
                error: None,
                user_info: json!({}),
                exchanges: Vec::new(),
                authorization: None,
            })),
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/keys", get(keys))
            .route("/token", post(exchange))
            .route("/me", get(user_info))
            .with_state(shared.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            shared,
            _server: server,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.shared.url
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        let script = self.shared.script.lock();
        script.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A provider as the service knows it that people reach at `https://slo.example`.
pub(super) fn known(issuer: &str) -> IdentityProvider {
    IdentityProvider::new(ProviderSettings {
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: Some(ClientSecretSource::Value(SECRET.into())),
        scopes: vec!["profile".to_owned()],
        groups_claim: "groups".to_owned(),
        redirect_url: "https://slo.example/login/callback".to_owned(),
        logged_out_url: "https://slo.example/login".to_owned(),
    })
    .unwrap()
}

/// An answer, unless the provider is down.
fn answer(shared: &Shared, make: impl FnOnce(&mut Script) -> Response) -> Response {
    let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
    if script.is_down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    make(&mut script)
}

async fn document(State(shared): State<Shared>) -> Response {
    let url = &shared.url;
    let document = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/auth"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/me"),
        "jwks_uri": format!("{url}/keys"),
        "end_session_endpoint": format!("{url}/end"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        // One that is no proof is offered too.
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
    });
    answer(&shared, |_| Json(document).into_response())
}

async fn keys(State(shared): State<Shared>) -> Response {
    answer(&shared, |script| {
        let key = script.key.load().as_verification_key();
        Json(json!({ "keys": [key] })).into_response()
    })
}

async fn exchange(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Response {
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    answer(&shared, |script| {
        script.exchanges.push(fields);
        script.authorization = authorization;
        if let Some(error) = script.error {
            let body = Json(json!({ "error": error }));
            return (StatusCode::BAD_REQUEST, body).into_response();
        }
        let tokens = json!({
            "access_token": "opaque",
            "token_type": "Bearer",
            "expires_in": 60,
            "id_token": script.id_token,
        });
        Json(tokens).into_response()
    })
}

async fn user_info(State(shared): State<Shared>) -> Response {
    answer(&shared, |script| Json(&script.user_info).into_response())
}
