//! Inputs of the self-checks, and the heartbeats of replicas.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx_macros::FromRow;
use uuid::Uuid;

use crate::{
    domain::{
        health::{DeadLetters, ReplicaSign, SilenceSign, SloSign},
        model::{counts::EventCounts, time::Timestamp},
        workflow::watermark::ReplicaId,
    },
    store::{StoreError, Tx},
};

/// The deliveries that wait for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub target: String,
    pub count: i64,
    /// The time since when the oldest page waits.
    pub page_since: Option<Timestamp>,
}

/// The state that a replica reports with every heartbeat.
#[derive(Clone, Debug)]
pub struct ReplicaSigns {
    /// The milliseconds by which its clock is ahead of the database's.
    pub clock_offset_ms: i64,
    pub last_span_at: Option<Timestamp>,
    /// The reasons why it does not apply its definition files.
    pub definition_problems: Vec<String>,
    /// The digest of its definition files, if they are valid and wait for activation.
    pub definitions_hash: Option<i64>,
    /// The senders whose requests it rejects completely, with the reason, one sentence each.
    pub rejected_senders: Vec<String>,
    /// The reasons why logins at the OpenID Connect provider fail, one sentence each.
    pub login_problems: Vec<String>,
    /// Problems of its Kafka consumer, one sentence each.
    pub kafka_problems: Vec<String>,
    /// The certificates of its ports that have expired, one sentence each.
    pub certificates_expired: Vec<String>,
    /// Those that expire soon.
    pub certificates_expiring: Vec<String>,
}

/// Counts of other live replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct OtherReplicas {
    pub same: i64,
    pub all: i64,
}

impl Tx<'_> {
    /// Returns the number of active alerts, and the number of database outages that were notified.
    /// It writes, since a database that accepts no writes counts as unavailable.
    pub async fn look(&mut self) -> Result<(i64, i64), StoreError> {
        let sql = "-- service_state.look
             update service_state set singleton = true
             returning (select count(*) from alerts where state <> 'inactive'), database_outages";
        let query = sqlx::query_as(sql);
        self.fetch_one(query).await
    }

    /// Counts an outage that has ended and that was notified when `known` others had been counted.
    /// A second call changes nothing.
    pub async fn count_outage(&mut self, known: i64) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- service_state.count_outage
             update service_state set database_outages = $1 + 1 where database_outages = $1",
        )
        .bind(known);
        self.execute(statement).await.map(drop)
    }

    /// Stores the state that a replica reports.
    pub async fn note_signs(
        &mut self,
        replica: ReplicaId,
        signs: &ReplicaSigns,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- replicas.note_signs
             update replicas set clock_offset_ms = $2, definition_problems = $3,
                 definitions_hash = $4, rejected_senders = $5,
                 login_problems = $6, kafka_problems = $7, certificates_expired = $8,
                 certificates_expiring = $9, last_seen_at = clock_timestamp()
             where id = $1",
        )
        .bind(replica.0)
        .bind(signs.clock_offset_ms)
        .bind(&signs.definition_problems)
        .bind(signs.definitions_hash)
        .bind(&signs.rejected_senders)
        .bind(&signs.login_problems)
        .bind(&signs.kafka_problems)
        .bind(&signs.certificates_expired)
        .bind(&signs.certificates_expiring);
        self.execute(statement).await?;
        // Skipped if only a few seconds have passed, since all replicas update this row.
        let statement = sqlx::query(
            "-- service_state.note_span
             update service_state set last_span_at = $1
             where last_span_at is null or last_span_at < $1::timestamptz - interval '5 s'",
        )
        .bind(signs.last_span_at.map(Timestamp::to_chrono));
        self.execute(statement).await.map(drop)
    }

    /// Counts the replicas other than `replica` that were alive at `since` or later, and how many
    /// of them have valid, inactive definition files with this digest.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn replicas_with(
        &mut self,
        replica: ReplicaId,
        hash: i64,
        since: Timestamp,
    ) -> Result<OtherReplicas, StoreError> {
        let query = sqlx::query_as(
            "-- replicas.with_definitions
             select count(*) filter (where definitions_hash = $2) as same, count(*) as \"all\"
             from replicas where id <> $1 and heartbeat_at >= $3",
        )
        .bind(replica.0)
        .bind(hash)
        .bind(since.to_chrono());
        self.fetch_one(query).await
    }

    /// Records that missing deliveries had to be added.
    pub async fn note_reconciled(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- service_state.note_reconciled
             update service_state set reconciled_at = greatest(reconciled_at, $1)",
        )
        .bind(at.to_chrono());
        self.execute(statement).await.map(drop)
    }

    /// Returns when missing deliveries last had to be added.
    pub async fn last_reconciled_at(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<DateTime<Utc>> = sqlx::query_scalar(
            "-- service_state.last_reconciled_at
             select reconciled_at from service_state",
        )
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(at.map(Timestamp::from))
    }

    /// Returns every declared SLO with its last evaluation, and whether its counts were
    /// inconsistent.
    pub async fn slo_signs(&mut self) -> Result<Vec<SloSign>, StoreError> {
        let query = sqlx::query_as(
            "-- slos.signs
             select slos.name, slo_statuses.status -> 'window' as in_window,
                 case when slo_statuses.evaluated_at is not null
                     then greatest(slo_statuses.evaluated_at, slos.unchanged_at) end as evaluated_at,
                 slo_statuses.status -> 'last_hour' as in_last_hour
             from slos left join slo_statuses on slo_statuses.slo_id = slos.id
             where slos.declared and slos.parent_id is null order by slos.name",
        );
        let rows: Vec<SloInputRow> = self.fetch_all(query).await?;
        let sign = |row: SloInputRow| {
            let mut counts = [&row.in_window, &row.in_last_hour].into_iter().flatten();
            Ok(SloSign {
                name: self.name(&row.name)?,
                evaluated_at: row.evaluated_at.map(Timestamp::from),
                is_inconsistent: counts.any(|counts| !counts.is_possible()),
            })
        };
        rows.into_iter().map(sign).collect()
    }

    /// Returns the replicas with a heartbeat in the last 30 seconds.
    pub async fn replica_signs(&mut self) -> Result<Vec<ReplicaSign>, StoreError> {
        let query = sqlx::query_as(
            "-- replicas.signs
             select id, clock_offset_ms, definition_problems, rejected_senders, login_problems,
                 kafka_problems, certificates_expired, certificates_expiring
             from replicas
             where last_seen_at > clock_timestamp() - interval '30 s' order by id",
        );
        let rows: Vec<ReplicaInputRow> = self.fetch_all(query).await?;
        let sign = |row: ReplicaInputRow| ReplicaSign {
            id: row.id,
            ahead_ms: row.clock_offset_ms,
            definition_problems: row.definition_problems,
            rejected_senders: row.rejected_senders,
            login_problems: row.login_problems,
            kafka_problems: row.kafka_problems,
            certificates_expired: row.certificates_expired,
            certificates_expiring: row.certificates_expiring,
        };
        Ok(rows.into_iter().map(sign).collect())
    }

    /// Returns when any replica last received a span; `None` before the first.
    pub async fn last_span_at(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let query =
            sqlx::query_as("-- service_state.last_span_at\nselect last_span_at from service_state");
        let (at,): (Option<DateTime<Utc>>,) = self.fetch_one(query).await?;
        Ok(at.map(Timestamp::from))
    }

    /// Returns the waiting deliveries by target, without tests and heartbeats.
    pub async fn waiting(&mut self) -> Result<Vec<Waiting>, StoreError> {
        let query = sqlx::query_as(
            "-- deliveries.waiting
             select d.target, count(*) as count,
                 min(d.created_at) filter (where d.priority = 0) as page_since
             from deliveries d
             left join platform_notifications n on n.id = d.platform_notification_id
             where d.state in ('pending', 'leased')
                 and (n.kind is null or n.kind not in ('test', 'heartbeat'))
             group by d.target order by d.target",
        );
        let rows: Vec<WaitingRow> = self.fetch_all(query).await?;
        let waiting = |row: WaitingRow| Waiting {
            target: row.target,
            count: row.count,
            page_since: row.page_since.map(Timestamp::from),
        };
        Ok(rows.into_iter().map(waiting).collect())
    }

    /// Returns the silences that suppress notifications at `now`.
    pub async fn silence_signs(&mut self, now: Timestamp) -> Result<Vec<SilenceSign>, StoreError> {
        let query = sqlx::query_as(
            "-- silences.signs
             select s.id, s.reason, s.created_by, s.duration_us,
                 start + s.duration_us * interval '1 microsecond' as ends_at
             from silences s, unnest(s.starts) as start
             where coalesce(s.ended_at, s.ends_at) > $1 and start <= $1
                 and start + s.duration_us * interval '1 microsecond' > $1
             order by s.id",
        )
        .bind(now.to_chrono());
        let rows: Vec<SilenceInputRow> = self.fetch_all(query).await?;
        let sign = |row: SilenceInputRow| SilenceSign {
            id: row.id,
            reason: row.reason,
            created_by: row.created_by,
            lasts: Duration::from_micros(row.duration_us.unsigned_abs()),
            ends_at: row.ends_at.into(),
        };
        Ok(rows.into_iter().map(sign).collect())
    }

    /// Returns the deliveries that failed permanently since `since`. They are regarded as notified
    /// if the self-check that found them has reached a target.
    pub async fn dead_letters(&mut self, since: Timestamp) -> Result<DeadLetters, StoreError> {
        let (count, targets, is_notified): (i64, Vec<String>, bool) = sqlx::query_as(
            "-- deliveries.dead_letters
             select count(*),
                 coalesce(array_agg(distinct d.target order by d.target), '{}'),
                 exists (
                     select from health_checks c
                     join platform_notifications sent on sent.episode = c.episode
                     join deliveries of_sent on of_sent.platform_notification_id = sent.id
                     where c.key = 'throughline/dead-letters' and of_sent.state = 'delivered')
             from deliveries d
             left join platform_notifications n on n.id = d.platform_notification_id
             where d.state = 'failed' and d.settled_at > $1
                 and (n.kind is null or n.kind not in ('test', 'heartbeat'))",
        )
        .bind(since.to_chrono())
        .fetch_one(&mut self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(DeadLetters {
            count,
            unseen: if is_notified { 0 } else { count },
            targets,
        })
    }
}

#[derive(FromRow)]
struct SloInputRow {
    name: String,
    evaluated_at: Option<DateTime<Utc>>,
    in_window: Option<Json<EventCounts>>,
    in_last_hour: Option<Json<EventCounts>>,
}

#[derive(FromRow)]
struct ReplicaInputRow {
    id: i64,
    clock_offset_ms: i64,
    definition_problems: Vec<String>,
    rejected_senders: Vec<String>,
    login_problems: Vec<String>,
    kafka_problems: Vec<String>,
    certificates_expired: Vec<String>,
    certificates_expiring: Vec<String>,
}

#[derive(FromRow)]
struct SilenceInputRow {
    id: Uuid,
    reason: String,
    created_by: Option<String>,
    duration_us: i64,
    ends_at: DateTime<Utc>,
}

#[derive(FromRow)]
struct WaitingRow {
    target: String,
    count: i64,
    page_since: Option<DateTime<Utc>>,
}
