//! Sessions of browsers that logged in with a token.

use uuid::Uuid;

use crate::{
    domain::{
        access::{AccessRole, TokenDigest},
        model::time::Timestamp,
    },
    store::{Progress, StoreError, Tx},
};

/// A login to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSession {
    pub digest: TokenDigest,
    pub token: Uuid,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Name of the token.
    pub name: String,
    pub role: AccessRole,
}

impl Tx<'_> {
    pub async fn insert_session(&mut self, session: &NewSession) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- sessions.insert
             insert into sessions (digest, token_id, created_at, expires_at)
             values ($1, $2, $3, $4)",
        )
        .bind(session.digest.0)
        .bind(session.token)
        .bind(session.created_at.to_chrono())
        .bind(session.expires_at.to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// The session, if it and its token are valid at `now`.
    pub async fn session(
        &mut self,
        digest: TokenDigest,
        now: Timestamp,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- sessions.find
             select t.name, t.role
             from sessions s join api_tokens t on t.id = s.token_id
             where s.digest = $1 and s.expires_at > $2 and t.expires_at > $2
                 and t.revoked_at is null and t.role is not null",
        )
        .bind(digest.0)
        .bind(now.to_chrono());
        let found: Option<(String, String)> = self.fetch_optional(query).await?;
        let Some((name, role)) = found else {
            return Ok(None);
        };
        let role = role.parse::<AccessRole>();
        let role = role.map_err(|error| self.failed(sqlx::Error::Decode(error.into())))?;
        Ok(Some(SessionRecord { name, role }))
    }

    pub async fn end_session(&mut self, digest: TokenDigest) -> Result<(), StoreError> {
        let statement =
            sqlx::query("-- sessions.end\ndelete from sessions where digest = $1").bind(digest.0);
        self.execute(statement).await.map(drop)
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
