//! `/tokens`: the API tokens, a form that makes one, and a button that revokes one.
//!
//! A token is in the answer to the request that makes it, and nowhere else. So the API makes none: it keeps
//! its answers for requests with an `Idempotency-Key`.

use askama::Template;
use axum::{
    extract::Path,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{error::AccessError, record::AuditSubject};
use crate::{
    config::AuthMethod,
    domain::{
        access::{
            AccessRole, AllowedServices, ApiToken, Permissions, TokenGrant, TokenRecord,
            TokenRequest,
        },
        model::time::Timestamp,
        slo::parse_duration,
    },
    web::{
        error::{ErrorExplanation, WebError},
        page::{Layout, Negotiation, Section},
        reader::times,
        state::WebState,
        write::{body::ParsedBody, see_other},
    },
};

/// The purposes of a token, with their labels in the form.
pub(in crate::web) const PURPOSES: [(&str, &str); 4] = [
    ("viewer", "viewer: reads pages and API"),
    ("editor", "editor: also silences, acknowledges and retries"),
    (
        "admin",
        "admin: also tests targets, and writes definitions and tokens",
    ),
    ("sender", "sender: sends spans"),
];

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct TokensView {
    as_of: Timestamp,
    /// By name, also those that are not valid any more.
    tokens: Vec<TokenView>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct TokenView {
    id: Uuid,
    name: String,
    /// `editor` or `editor@team/payments`, or `sender of checkout`.
    purpose: String,
    /// `valid`, `expired` or `revoked`.
    state: &'static str,
    created_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct RevokedToken {
    id: Uuid,
    name: String,
}

/// The fields of the form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct TokenForm {
    name: String,
    /// A role, or `sender`.
    purpose: String,
    /// With commas between several, as the next two.
    teams: String,
    namespaces: String,
    services: String,
    expires_in: String,
}

/// A new token, for the only page that shows it.
struct MadeToken {
    name: String,
    token: ApiToken,
    expires_at: Timestamp,
}

pub(in crate::web) async fn list(asked: Negotiation, state: WebState) -> Response {
    let view = view(&state).await;
    asked.reply(&state, view, |view| TokensPage::new(&state, view))
}

async fn view(state: &WebState) -> Result<TokensView, WebError> {
    let now = state.clock.now();
    let mut tx = state.store.begin("list the tokens").await?;
    let tokens = tx.tokens().await?.into_iter();
    Ok(TokensView {
        as_of: now,
        tokens: tokens.map(|token| TokenView::new(token, now)).collect(),
    })
}

pub(in crate::web) async fn create(
    asked: Negotiation,
    state: WebState,
    ParsedBody { body, .. }: ParsedBody<TokenForm>,
) -> Response {
    let made = make(&state, &body).await;
    let view = match view(&state).await {
        Ok(view) => view,
        Err(error) => return asked.refuse(&state, &error),
    };
    let mut page = TokensPage::new(&state, view);
    let subject = AuditSubject(body.name.trim().to_owned());
    let mut response = match made {
        Ok(made) => {
            page.made = Some(made);
            asked.page(&state, StatusCode::CREATED, &page)
        }
        Err(error @ WebError::Access(AccessError::InvalidRequest(_))) => {
            page.form = body;
            page.mistake = Some(error.explanation());
            asked.page(&state, error.status(), &page)
        }
        Err(error) => asked.refuse(&state, &error),
    };
    response.extensions_mut().insert(subject);
    response
}

async fn make(state: &WebState, form: &TokenForm) -> Result<MadeToken, WebError> {
    if !makes_tokens(state) {
        return Err(AccessError::AnybodyCouldMake.into());
    }
    let request = form.request().map_err(AccessError::InvalidRequest)?;
    let token = ApiToken::from_random(rand::random());
    let new = request.record(&token, Uuid::now_v7(), state.clock.now());
    let new = new.map_err(|error| AccessError::InvalidRequest(error.to_string()))?;
    let mut tx = state.store.begin("make a token").await?;
    if !tx.insert_token(&new).await? {
        let reason = format!("there is or was a token `{}` already", new.name);
        return Err(AccessError::InvalidRequest(reason).into());
    }
    tx.commit().await?;
    Ok(MadeToken {
        name: new.name,
        token,
        expires_at: new.expires_at,
    })
}

/// Returns whether tokens can be made here. Without authentication anyone could make one, which
/// would stay valid when authentication is turned on.
fn makes_tokens(state: &WebState) -> bool {
    state.access.rules.method != AuthMethod::None
}

impl TokenForm {
    /// Returns the settings of the token, or the reason why they are invalid.
    fn request(&self) -> Result<TokenRequest, String> {
        let [teams, namespaces, services] =
            [&self.teams, &self.namespaces, &self.services].map(|text| listed(text));
        let grant = if self.purpose == "sender" {
            if !teams.is_empty() || !namespaces.is_empty() {
                return Err("teams and namespaces are for a role, not for a sender".to_owned());
            }
            TokenGrant::Sender(AllowedServices::of(services))
        } else {
            if !services.is_empty() {
                return Err("services are for a sender, not for a role".to_owned());
            }
            let role = self.purpose.parse::<AccessRole>();
            let role = role.map_err(|error| error.to_string())?;
            TokenGrant::User(Permissions::within(role, teams, namespaces))
        };
        let lasts = parse_duration(self.expires_in.trim()).map_err(|error| error.to_string())?;
        Ok(TokenRequest {
            name: self.name.clone(),
            grant,
            lasts,
        })
    }

    fn is_for(&self, purpose: &str) -> bool {
        self.purpose == purpose
    }
}

fn listed(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Revokes a token by the API.
pub(in crate::web) async fn delete(
    asked: Negotiation,
    state: WebState,
    Path(id): Path<String>,
) -> Response {
    let revoked = revoke(&state, &id).await;
    let name = revoked.as_ref().ok().map(|revoked| revoked.name.clone());
    named(asked.json(&state, StatusCode::OK, revoked), name)
}

/// Revokes a token by the button of the page.
pub(in crate::web) async fn press(
    asked: Negotiation,
    state: WebState,
    Path(id): Path<String>,
) -> Response {
    match revoke(&state, &id).await {
        Ok(revoked) => named(see_other("/tokens"), Some(revoked.name)),
        Err(error) => asked.refuse(&state, &error),
    }
}

fn named(response: Response, name: Option<String>) -> Response {
    let mut response = response.into_response();
    if let Some(name) = name {
        response.extensions_mut().insert(AuditSubject(name));
    }
    response
}

async fn revoke(state: &WebState, id: &str) -> Result<RevokedToken, WebError> {
    let unknown = || AccessError::NoSuchToken { id: id.to_owned() };
    let id: Uuid = id.parse().map_err(|_| unknown())?;
    let mut tx = state.store.begin("revoke a token").await?;
    let name = tx.revoke_token_of(id, state.clock.now()).await?;
    let name = name.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(RevokedToken { id, name })
}

impl TokenView {
    fn new(token: TokenRecord, now: Timestamp) -> Self {
        Self {
            id: token.id,
            purpose: token.grant.to_string(),
            state: token.state(now),
            name: token.name,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
        }
    }

    fn is_valid(&self) -> bool {
        self.state == "valid"
    }
}

#[derive(Template)]
#[template(path = "tokens.html", config = "src/web/askama.toml")]
struct TokensPage {
    layout: Layout,
    view: TokensView,
    form: TokenForm,
    makes_tokens: bool,
    mistake: Option<ErrorExplanation>,
    made: Option<MadeToken>,
}

impl TokensPage {
    fn new(state: &WebState, view: TokensView) -> Self {
        let mut layout = Layout::new(state, Section::Other, "Tokens · Throughline");
        layout.json = Some("/api/v1/tokens".to_owned());
        Self {
            layout: layout.still(),
            view,
            form: TokenForm {
                purpose: AccessRole::Viewer.as_str().to_owned(),
                expires_in: "90d".to_owned(),
                ..TokenForm::default()
            },
            makes_tokens: makes_tokens(state),
            mistake: None,
            made: None,
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    fn moment(&self, at: &Timestamp) -> String {
        times::moment(*at, self.view.as_of)
    }
}
