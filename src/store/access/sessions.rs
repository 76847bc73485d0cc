//! Sessions of browsers that logged in with a token or at an OpenID Connect provider.

use chrono::{DateTime, Utc};
use sqlx_macros::FromRow;
use uuid::Uuid;

use super::{permissions, texts};
use crate::{
    domain::{
        access::{Permissions, TokenDigest},
        model::time::Timestamp,
    },
    store::{ListPosition, Progress, StoreError, Tx},
};

/// A login to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    pub digest: TokenDigest,
    pub login: SessionLogin,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The kind of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionLogin {
    /// With the token of this id.
    Token(Uuid),
    Provider(ProviderUser),
}

/// A user who has logged in at an OpenID Connect provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderUser {
    pub subject: String,
    pub name: String,
    pub permissions: Permissions,
    /// `None` if it is too long for a URL.
    pub id_token: Option<String>,
}

/// The user of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Name of the token or of the user.
    pub name: String,
    pub permissions: Permissions,
    /// True if the login was at an OpenID Connect provider.
    pub is_of_provider: bool,
}

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    pub id: Uuid,
    pub record: SessionRecord,
    pub began_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A session that was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSession {
    pub is_of_provider: bool,
    pub id_token: Option<String>,
}

impl Tx<'_> {
    pub async fn insert_session(&mut self, session: &NewSession) -> Result<(), StoreError> {
        let (token, user) = match &session.login {
            SessionLogin::Token(token) => (Some(*token), None),
            SessionLogin::Provider(user) => (None, Some(user)),
        };
        let statement = sqlx::query(
            "-- sessions.insert
             insert into sessions
                 (digest, token_id, subject, name, permissions, id_token, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(session.digest.0)
        .bind(token)
        .bind(user.map(|user| &user.subject))
        .bind(user.map(|user| &user.name))
        .bind(user.map(|user| texts(&user.permissions)))
        .bind(user.and_then(|user| user.id_token.as_ref()))
        .bind(session.created_at.to_chrono())
        .bind(session.expires_at.to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// Returns the session, if it and its token are valid at `now`.
    pub async fn session(
        &mut self,
        digest: TokenDigest,
        now: Timestamp,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- sessions.find
             select coalesce(t.name, s.name), coalesce(t.permissions, s.permissions),
                 s.token_id is null
             from sessions s left join api_tokens t on t.id = s.token_id
             where s.digest = $1 and s.expires_at > $2
                 and (s.token_id is null
                     or t.expires_at > $2 and t.revoked_at is null and t.permissions is not null)",
        )
        .bind(digest.0)
        .bind(now.to_chrono());
        let found: Option<(String, Vec<String>, bool)> = self.fetch_optional(query).await?;
        let Some((name, texts, is_of_provider)) = found else {
            return Ok(None);
        };
        let permissions = permissions(&texts).map_err(|source| self.failed(source))?;
        Ok(Some(SessionRecord {
            name,
            permissions,
            is_of_provider,
        }))
    }

    /// Returns the sessions that are valid at `now`, newest first, from the position on.
    pub async fn sessions(
        &mut self,
        now: Timestamp,
        position: Option<ListPosition>,
        limit: u32,
    ) -> Result<Vec<ListedSession>, StoreError> {
        let query = sqlx::query_as(
            "-- sessions.list
             select s.id, coalesce(t.name, s.name) as name,
                 coalesce(t.permissions, s.permissions) as permissions,
                 s.token_id is null as is_of_provider, s.created_at, s.expires_at
             from sessions s left join api_tokens t on t.id = s.token_id
             where s.expires_at > $1
                 and (s.token_id is null
                     or t.expires_at > $1 and t.revoked_at is null and t.permissions is not null)
                 and ($3::timestamptz is null or s.created_at < $3
                     or s.created_at = $3 and s.id > $4)
             order by s.created_at desc, s.id limit $2",
        )
        .bind(now.to_chrono())
        .bind(i64::from(limit))
        .bind(position.map(|position| position.at.to_chrono()))
        .bind(position.map(|position| position.id));
        let rows: Vec<SessionRow> = self.fetch_all(query).await?;
        let decoded = rows.into_iter().map(SessionRow::decode);
        decoded
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Ends the session with this id. Returns whether there was one.
    pub async fn end_session_of(&mut self, id: Uuid) -> Result<bool, StoreError> {
        let statement = sqlx::query("-- sessions.end_by_id\ndelete from sessions where id = $1");
        Ok(self.execute(statement.bind(id)).await? == 1)
    }

    /// Ends a session; `None` if there is none.
    pub async fn end_session(
        &mut self,
        digest: TokenDigest,
    ) -> Result<Option<EndedSession>, StoreError> {
        let query = sqlx::query_as(
            "-- sessions.end
             delete from sessions where digest = $1 returning token_id is null, id_token",
        )
        .bind(digest.0);
        let ended: Option<(bool, Option<String>)> = self.fetch_optional(query).await?;
        Ok(ended.map(|(is_of_provider, id_token)| EndedSession {
            is_of_provider,
            id_token,
        }))
    }

    /// Deletes some of the sessions that have expired.
    pub async fn forget_sessions(&mut self, now: Timestamp) -> Result<Progress, StoreError> {
        let statement = sqlx::query(
            "-- sessions.forget
             delete from sessions where digest = any (array(
                 select digest from sessions where expires_at <= $1 limit $2))",
        )
        .bind(now.to_chrono())
        .bind(Progress::SLICE);
        Ok(Progress::of_slice(self.execute(statement).await?))
    }
}

#[derive(FromRow)]
struct SessionRow {
    id: Uuid,
    name: String,
    permissions: Vec<String>,
    is_of_provider: bool,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl SessionRow {
    fn decode(self) -> Result<ListedSession, sqlx::Error> {
        Ok(ListedSession {
            id: self.id,
            record: SessionRecord {
                name: self.name,
                permissions: permissions(&self.permissions)?,
                is_of_provider: self.is_of_provider,
            },
            began_at: self.created_at.into(),
            expires_at: self.expires_at.into(),
        })
    }
}
