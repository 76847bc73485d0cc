//! API tokens: creates, lists and revokes them for the command line, creates the first one, and
//! keeps the tokens in memory up to date.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use nix::unistd::{User, geteuid};
use tokio::sync::watch;
use uuid::Uuid;

use super::database::Database;
use crate::{
    config::{AuthMethod, Config, DatabaseConfig, Environment, TrustedProxies},
    domain::{
        access::{
            AccessRole, ApiToken, AuditEntry, AuditOutcome, AuditSource, KnownTokens, RoleMapping,
            TokenGrant, TokenRecord, TokenRequest,
        },
        model::time::Timestamp,
    },
    oidc::{ClientSecretSource, IdentityProvider, ProviderSettings},
    store::Store,
    telemetry::metrics::Metrics,
    web::{AccessRules, LoginProvider},
};

/// Long enough to create other tokens with it.
const FIRST_LASTS: Duration = Duration::from_hours(30 * 24);
const FIRST_NAME: &str = "first-run";

/// The tokens of the service, for the command line.
#[derive(Debug)]
pub struct TokenRegistry {
    database: Database,
}

impl TokenRegistry {
    pub async fn open(config: &DatabaseConfig) -> anyhow::Result<Self> {
        let database = Database::of_service(config, &Environment::read()).await?;
        Ok(Self { database })
    }

    /// Creates a token and returns it; it is not shown again.
    pub async fn create(&self, request: TokenRequest) -> anyhow::Result<(ApiToken, Timestamp)> {
        let store = &self.database.store;
        let token = ApiToken::from_random(rand::random());
        let record = request.record(&token, Uuid::now_v7(), store.now().await?)?;
        let mut tx = store.begin("make a token").await?;
        if !tx.insert_token(&record).await? {
            bail!(
                "there is or was a token `{}` already: choose another name, so that the audit log is clear",
                record.name
            );
        }
        let entry = audit_entry("token.create", &record.name, record.created_at);
        tx.insert_audit_entry(&entry).await?;
        tx.commit().await?;
        Ok((token, record.expires_at))
    }

    /// Returns all tokens, and the time that their validity is compared with.
    pub async fn list(&self) -> anyhow::Result<(Vec<TokenRecord>, Timestamp)> {
        let store = &self.database.store;
        let mut tx = store.begin("list the tokens").await?;
        Ok((tx.tokens().await?, store.now().await?))
    }

    pub async fn revoke(&self, name: &str) -> anyhow::Result<()> {
        let store = &self.database.store;
        let now = store.now().await?;
        let mut tx = store.begin("revoke a token").await?;
        if !tx.revoke_token(name, now).await? {
            bail!(
                "there is no token `{name}` that could be revoked: `throughline token list` shows all"
            );
        }
        tx.insert_audit_entry(&audit_entry("token.revoke", name, now))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn close(self) -> anyhow::Result<()> {
        self.database.close().await
    }
}

/// Makes the audit entry for an action of the shell's user on the token `name`.
fn audit_entry(action: &str, name: &str, at: Timestamp) -> AuditEntry {
    let account = User::from_uid(geteuid()).ok().flatten();
    AuditEntry {
        at,
        who: account.map(|account| account.name),
        role: None,
        action: action.to_owned(),
        subject: name.to_owned(),
        via: AuditSource::Command,
        peer: None,
        outcome: AuditOutcome::Done,
        status: None,
        request_id: None,
    }
}

/// Reads the tokens. If a token is required and none was ever created, creates the first one and
/// prints it.
pub(super) async fn read_tokens(
    store: &Store,
    method: AuthMethod,
    now: Timestamp,
) -> anyhow::Result<watch::Sender<Arc<KnownTokens>>> {
    if method == AuthMethod::Token {
        make_first(store, now)
            .await
            .context("cannot make the first token")?;
    }
    let mut tx = store.begin("read the tokens").await?;
    let (tokens, _) = watch::channel(Arc::new(tx.known_tokens().await?));
    Ok(tokens)
}

/// Creates one token, even if several replicas start at once.
async fn make_first(store: &Store, now: Timestamp) -> anyhow::Result<()> {
    let mut tx = store.begin("make the first token").await?;
    if tx.has_user_token().await? {
        return Ok(());
    }
    let token = ApiToken::from_random(rand::random());
    let request = TokenRequest {
        name: FIRST_NAME.to_owned(),
        grant: TokenGrant::User(AccessRole::Admin.into()),
        lasts: FIRST_LASTS,
    };
    let record = request.record(&token, Uuid::now_v7(), now)?;
    if tx.insert_token(&record).await? {
        let entry = audit_entry("token.create", FIRST_NAME, now);
        tx.insert_audit_entry(&entry).await?;
        tx.commit().await?;
        tracing::warn!(
            "pages and API need a token, and there was none, so this one was made: {}  It has the role \
             admin, is valid for 30 days, and is shown only here. Log in with it, make others with \
             `throughline token create`, and revoke it with `throughline token revoke {FIRST_NAME}`",
            token.reveal()
        );
    }
    Ok(())
}

/// Reloads the tokens, which the command line or another replica may have changed.
pub(super) async fn refresh_tokens(
    store: Store,
    known: watch::Sender<Arc<KnownTokens>>,
) -> anyhow::Result<()> {
    let mut tx = store.begin("read the tokens").await?;
    let read = tx.known_tokens().await?;
    known.send_if_modified(|known| {
        let is_changed = **known != read;
        if is_changed {
            *known = Arc::new(read);
        }
        is_changed
    });
    Ok(())
}

/// Makes the login provider, if one is configured; sends no request to it yet.
pub(super) async fn identity_provider(config: &Config) -> anyhow::Result<Option<IdentityProvider>> {
    if config.access.readers.method(config.pages.port.listen) != AuthMethod::Oidc {
        return Ok(None);
    }
    let oidc = &config.oidc;
    let (issuer, client_id) = (oidc.issuer.clone(), oidc.client_id.clone());
    let public_url = config.evaluation.public_url.as_deref();
    let given = issuer.zip(client_id).zip(public_url);
    let ((issuer, client_id), public_url) = given
        .context("`--auth oidc` needs `--oidc-issuer`, `--oidc-client-id` and `--public-url`")?;
    ensure!(
        !oidc.group_roles.is_empty() || oidc.default_role.is_some(),
        "no one could log in: give groups a role with `--oidc-group-roles`, such as `sre=admin`, or all \
         users one with `--oidc-default-role`"
    );
    let secret = oidc.client_secret.clone();
    let file = oidc.client_secret_file.clone();
    if let Some(file) = &file {
        let read = tokio::fs::read_to_string(file).await;
        read.with_context(|| {
            let file = file.display();
            format!(
                "cannot read the client secret in `{file}`: correct `--oidc-client-secret-file`"
            )
        })?;
    }
    let base = public_url.trim_end_matches('/');
    let settings = ProviderSettings {
        issuer,
        client_id,
        client_secret: secret
            .map(ClientSecretSource::Value)
            .or(file.map(ClientSecretSource::File)),
        scopes: oidc.scopes.clone(),
        groups_claim: oidc.groups_claim.clone(),
        redirect_url: format!("{base}/login/callback"),
        logged_out_url: format!("{base}/login"),
    };
    let provider = IdentityProvider::new(settings)
        .context("no one can log in: correct `--oidc-issuer` and `--public-url`")?;
    Ok(Some(provider))
}

/// Reads the provider's discovery document and keys again. If it does not answer, this is reported
/// and is not a failure of this service.
pub(super) async fn refresh_provider(
    provider: IdentityProvider,
    metrics: Metrics,
    now: Timestamp,
) -> anyhow::Result<bool> {
    let answers = provider.refresh(now).await;
    let unavailable = if answers { 0.0 } else { 1.0 };
    metrics.login_provider_unavailable.set(unavailable);
    Ok(answers)
}

pub(super) fn access_rules(config: &Config, provider: Option<IdentityProvider>) -> AccessRules {
    let access = &config.access;
    let role_header = access.role_header.as_deref();
    let public_url = config.evaluation.public_url.as_deref();
    AccessRules {
        method: access.readers.method(config.pages.port.listen),
        role_header: role_header.map(str::to_ascii_lowercase),
        proxy_role: access.proxy_role,
        trusted_proxies: TrustedProxies::new(access.readers.trusted_proxies.clone()),
        provider: provider.map(|identities| LoginProvider {
            identities,
            roles: RoleMapping {
                groups: config.oidc.group_roles.clone(),
                default_role: config.oidc.default_role,
            },
        }),
        session_lifetime: access.session_lifetime,
        open_metrics: access.readers.open_metrics,
        is_secure: config.tls.pages.tls_cert.is_some()
            || public_url.is_some_and(|url| url.starts_with("https://")),
    }
}
