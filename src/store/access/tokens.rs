//! API tokens, of which the database has only hashes.

use chrono::{DateTime, Utc};
use sqlx_macros::FromRow;
use uuid::Uuid;

use super::{permissions, texts};
use crate::{
    domain::{
        access::{AllowedServices, KnownTokens, NewToken, TokenDigest, TokenGrant, TokenRecord},
        model::time::Timestamp,
    },
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Stores a token. Returns whether its name was free.
    pub async fn insert_token(&mut self, token: &NewToken) -> Result<bool, StoreError> {
        let (kind, permissions, services) = columns(&token.grant);
        let statement = sqlx::query(
            "-- api_tokens.insert
             insert into api_tokens
                 (id, name, digest, kind, permissions, services, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (name) do nothing",
        )
        .bind(token.id)
        .bind(&token.name)
        .bind(token.digest.0)
        .bind(kind)
        .bind(permissions)
        .bind(services)
        .bind(token.created_at.to_chrono())
        .bind(token.expires_at.to_chrono());
        Ok(self.execute(statement).await? == 1)
    }

    /// Returns whether a token for pages and API was ever created.
    pub async fn has_user_token(&mut self) -> Result<bool, StoreError> {
        let query = sqlx::query_as(
            "-- api_tokens.has_user
             select exists (select from api_tokens where kind = 'user')",
        );
        let (has,): (bool,) = self.fetch_one(query).await?;
        Ok(has)
    }

    /// Returns all tokens by name, including invalid ones.
    pub async fn tokens(&mut self) -> Result<Vec<TokenRecord>, StoreError> {
        let rows = self.token_rows().await?;
        let mut tokens = rows
            .into_iter()
            .map(|row| Ok(row.decode()?.1))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| self.failed(source))?;
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tokens)
    }

    /// Returns all tokens by their hashes.
    pub async fn known_tokens(&mut self) -> Result<KnownTokens, StoreError> {
        let rows = self.token_rows().await?;
        rows.into_iter()
            .map(TokenRow::decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Revokes a token. Returns whether there was a valid one with this name.
    pub async fn revoke_token(&mut self, name: &str, now: Timestamp) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "-- api_tokens.revoke
             update api_tokens set revoked_at = $2 where name = $1 and revoked_at is null",
        )
        .bind(name)
        .bind(now.to_chrono());
        Ok(self.execute(statement).await? == 1)
    }

    /// The same by its id. Returns its name.
    pub async fn revoke_token_of(
        &mut self,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let query = sqlx::query_as(
            "-- api_tokens.revoke_by_id
             update api_tokens set revoked_at = $2 where id = $1 and revoked_at is null
             returning name",
        )
        .bind(id)
        .bind(now.to_chrono());
        let revoked: Option<(String,)> = self.fetch_optional(query).await?;
        Ok(revoked.map(|(name,)| name))
    }

    async fn token_rows(&mut self) -> Result<Vec<TokenRow>, StoreError> {
        let query = sqlx::query_as(
            "-- api_tokens.read
             select id, name, digest, kind, permissions, services, created_at, expires_at, revoked_at
             from api_tokens",
        );
        self.fetch_all(query).await
    }
}

type GrantColumns<'g> = (&'static str, Option<Vec<String>>, Option<Vec<&'g str>>);

fn columns(grant: &TokenGrant) -> GrantColumns<'_> {
    match grant {
        TokenGrant::User(permissions) => ("user", Some(texts(permissions)), None),
        TokenGrant::Sender(AllowedServices::All) => ("sender", None, None),
        TokenGrant::Sender(AllowedServices::Only(services)) => {
            let services = services.iter().map(String::as_str).collect();
            ("sender", None, Some(services))
        }
    }
}

#[derive(FromRow)]
struct TokenRow {
    id: Uuid,
    name: String,
    digest: [u8; 32],
    kind: String,
    permissions: Option<Vec<String>>,
    services: Option<Vec<String>>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
}

impl TokenRow {
    fn decode(self) -> Result<(TokenDigest, TokenRecord), sqlx::Error> {
        let invalid = |what: String| sqlx::Error::Decode(what.into());
        let grant = match (self.kind.as_str(), self.permissions, self.services) {
            ("user", Some(texts), _) => TokenGrant::User(permissions(&texts)?),
            ("sender", _, None) => TokenGrant::Sender(AllowedServices::All),
            ("sender", _, Some(services)) => {
                TokenGrant::Sender(AllowedServices::Only(services.into_iter().collect()))
            }
            (kind, ..) => {
                return Err(invalid(format!(
                    "token `{}` is of kind `{kind}`",
                    self.name
                )));
            }
        };
        let record = TokenRecord {
            id: self.id,
            name: self.name,
            grant,
            created_at: self.created_at.into(),
            expires_at: self.expires_at.into(),
            revoked_at: self.revoked_at.map(Timestamp::from),
        };
        Ok((TokenDigest(self.digest), record))
    }
}
