//! The audit log.

use chrono::{DateTime, Utc};
use sqlx_macros::FromRow;

use crate::{
    domain::{
        access::{AccessRole, AuditEntry, AuditOutcome, AuditSource},
        model::time::Timestamp,
    },
    store::{Progress, StoreError, Tx},
};

/// The entries to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub who: Option<String>,
    pub action: Option<String>,
    /// Only entries before the one with this id.
    pub before: Option<i64>,
}

/// An entry and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    pub id: i64,
    pub entry: AuditEntry,
}

impl Tx<'_> {
    pub async fn insert_audit_entry(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- audit_log.insert
             insert into audit_log
                 (at, who, role, action, subject, via, peer, outcome, status, request_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(entry.at.to_chrono())
        .bind(&entry.who)
        .bind(entry.role.map(AccessRole::as_str))
        .bind(&entry.action)
        .bind(&entry.subject)
        .bind(entry.via.as_str())
        .bind(&entry.peer)
        .bind(entry.outcome.as_str())
        .bind(entry.status.map(u16::cast_signed))
        .bind(&entry.request_id);
        self.execute(statement).await.map(drop)
    }

    /// Returns entries, newest first.
    pub async fn audit_entries(
        &mut self,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let query = sqlx::query_as(
            "-- audit_log.read
             select id, at, who, role, action, subject, via, peer, outcome, status, request_id
             from audit_log
             where ($1::text is null or who = $1) and ($2::text is null or action = $2)
                 and ($3::bigint is null or id < $3)
             order by id desc limit $4",
        )
        .bind(&filter.who)
        .bind(&filter.action)
        .bind(filter.before)
        .bind(i64::from(limit));
        let rows: Vec<AuditRow> = self.fetch_all(query).await?;
        rows.into_iter()
            .map(AuditRow::decode)
            .collect::<Result<_, _>>()
            .map_err(|source| self.failed(source))
    }

    /// Deletes some of the entries that were made before `before`.
    pub async fn forget_audit_entries(
        &mut self,
        before: Timestamp,
    ) -> Result<Progress, StoreError> {
        let statement = sqlx::query(
            "-- audit_log.forget
             delete from audit_log where id = any (array(
                 select id from audit_log where at < $1 limit $2))",
        )
        .bind(before.to_chrono())
        .bind(Progress::SLICE);
        Ok(Progress::of_slice(self.execute(statement).await?))
    }
}

#[derive(FromRow)]
struct AuditRow {
    id: i64,
    at: DateTime<Utc>,
    who: Option<String>,
    role: Option<String>,
    action: String,
    subject: String,
    via: String,
    peer: Option<String>,
    outcome: String,
    status: Option<i16>,
    request_id: Option<String>,
}

impl AuditRow {
    fn decode(self) -> Result<AuditRecord, sqlx::Error> {
        let invalid = |what: &str| {
            let message = format!("`{what}` of audit entry {} is invalid", self.id);
            sqlx::Error::Decode(message.into())
        };
        let role = self.role.map(|role| role.parse::<AccessRole>());
        let mut sources = AuditSource::ALL.into_iter();
        let via = sources.find(|via| via.as_str() == self.via);
        let mut outcomes = AuditOutcome::ALL.into_iter();
        let outcome = outcomes.find(|outcome| outcome.as_str() == self.outcome);
        Ok(AuditRecord {
            id: self.id,
            entry: AuditEntry {
                at: self.at.into(),
                who: self.who,
                role: role.transpose().map_err(|_| invalid("role"))?,
                action: self.action,
                subject: self.subject,
                via: via.ok_or_else(|| invalid("via"))?,
                peer: self.peer,
                outcome: outcome.ok_or_else(|| invalid("outcome"))?,
                status: self.status.map(i16::cast_unsigned),
                request_id: self.request_id,
            },
        })
    }
}
