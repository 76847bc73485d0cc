//! The outbox that the product has, with the same steps.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sqlx::PgConnection;
use throughline::{
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::{
            Attempt, AttemptClass, Redelivery, Settlement,
            plan::{DeliveryAction, DeliveryPolicy, plan},
        },
        slo::{LatePolicy, Severity},
    },
    store::{ClaimedDelivery, Lease, NewDeliveries, Store},
};
use uuid::Uuid;

use super::ops::{Claimed, How, KEYS, LEASE_SECS, Op, REPLICAS, Row, Seen, TARGETS};
use crate::support::database::TestDatabase;

const START: Timestamp = Timestamp::from_secs(1_795_328_309);

pub(super) struct Table {
    store: Store,
    connection: PgConnection,
    now: Timestamp,
    targets: Vec<Name>,
    slos: Vec<i32>,
    versions: [i64; KEYS],
    /// As the outbox numbers them, in order.
    ids: Vec<i64>,
    at_work: [Vec<ClaimedDelivery>; REPLICAS],
}

impl Table {
    /// With alerts and targets that no other table of this database has.
    pub(super) async fn new(database: &TestDatabase) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let own = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut connection = database.connect().await;
        let mut slos = Vec::new();
        for key in 0..KEYS {
            let id = sqlx::query_scalar(
                "with slo as (insert into slos (name) values ($1) returning id)
                 insert into alerts (slo_id, severity, state, since)
                 select id, 'page', 'inactive', now() from slo returning slo_id",
            )
            .bind(format!("slo-{own}-{key}"))
            .fetch_one(&mut connection)
            .await
            .unwrap();
            slos.push(id);
        }
        let name = |nth| format!("target-{own}-{nth}").parse().unwrap();
        Self {
            store: database.store.clone(),
            connection,
            now: START,
            targets: (0..TARGETS).map(name).collect(),
            slos,
            versions: [0; KEYS],
            ids: Vec::new(),
            at_work: [const { Vec::new() }; REPLICAS],
        }
    }

    pub(super) async fn step(&mut self, op: &Op) -> Seen {
        match op {
            Op::Enqueue { key, targets } => self.enqueue(*key, targets).await,
            Op::Claim {
                replica,
                target,
                limit,
            } => return Seen::Claimed(self.claim(*replica, *target, *limit).await),
            Op::End { replica, nth, how } => return self.end(*replica, *nth, *how).await,
            Op::Crash { replica } => self.at_work[*replica].clear(),
            Op::Pass { secs } => self.now = later(self.now, *secs),
            Op::Hold { target, secs } => {
                let until = later(self.now, *secs);
                let mut tx = self.store.begin("hold").await.unwrap();
                let target = &self.targets[*target];
                let mut state = tx.lock_target(target).await.unwrap();
                state.not_before = state.not_before.max(until);
                tx.keep_target(target, &state).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
        Seen::Nothing
    }

    pub(super) async fn rows(&mut self) -> Vec<Row> {
        sqlx::query_as(
            "select state, attempts, lease_token from deliveries where id = any ($1) order by id",
        )
        .bind(&self.ids)
        .fetch_all(&mut self.connection)
        .await
        .unwrap()
    }

    async fn enqueue(&mut self, key: usize, targets: &[usize]) {
        self.versions[key] += 1;
        let transition = Uuid::now_v7();
        sqlx::query(
            "insert into alert_transitions (id, slo_id, severity, version, episode, kind, at, snapshot)
             values ($1, $2, 'page', $3, $1, 'firing', $4, '{}')",
        )
        .bind(transition)
        .bind(self.slos[key])
        .bind(self.versions[key])
        .bind(self.now.to_chrono())
        .execute(&mut self.connection)
        .await
        .unwrap();
        for target in targets {
            let queued = NewDeliveries {
                transition,
                targets: &self.targets[*target..=*target],
                ordering_key: &format!("key-{key}"),
                severity: match key % 2 {
                    0 => Severity::Page,
                    _ => Severity::Ticket,
                },
            };
            let mut tx = self.store.begin("enqueue").await.unwrap();
            tx.enqueue_deliveries(queued, self.now).await.unwrap();
            tx.commit().await.unwrap();
        }
        let new: Vec<i64> =
            sqlx::query_scalar("select id from deliveries where transition_id = $1 order by id")
                .bind(transition)
                .fetch_all(&mut self.connection)
                .await
                .unwrap();
        self.ids.extend(new);
    }

    async fn claim(&mut self, replica: usize, target: usize, limit: u32) -> Vec<Claimed> {
        let target = &self.targets[target];
        let policy = DeliveryPolicy {
            late: LatePolicy::Deliver,
            rate_limit: None,
            is_chat: false,
            at_once: limit,
            has_fallback: false,
        };
        let lease = Duration::from_secs(LEASE_SECS.unsigned_abs());
        let mut tx = self.store.begin("claim").await.unwrap();
        let state = tx.lock_target(target).await.unwrap();
        let queue = tx.due_queue(target, self.now).await.unwrap();
        let mut sends = Vec::new();
        for action in plan(&queue, &state, &policy, self.now) {
            if let DeliveryAction::Send(id) = action {
                sends.push(id);
            }
        }
        let mut claimed = tx.lease_deliveries(&sends, self.now, lease).await.unwrap();
        tx.commit().await.unwrap();
        claimed.sort_by_key(|delivery| delivery.id);
        let seen = claimed.iter().map(|delivery| Claimed {
            delivery: self.ids.binary_search(&delivery.id).unwrap(),
            attempt: delivery.attempt,
            token: delivery.lease_token,
            may_be_a_repeat: queue.redelivery(delivery.id) == Redelivery::Possible,
        });
        let seen = seen.collect();
        self.at_work[replica].extend(claimed);
        seen
    }

    async fn end(&mut self, replica: usize, nth: usize, how: How) -> Seen {
        if nth >= self.at_work[replica].len() {
            return Seen::Nothing;
        }
        let claimed = self.at_work[replica].remove(nth);
        let (class, settlement) = match how {
            How::Told => (AttemptClass::Delivered, Settlement::Delivered(self.now)),
            How::GivenUp => (AttemptClass::Rejected, Settlement::Failed(self.now)),
            How::Refused(secs) => {
                let again = Settlement::Again(later(self.now, secs));
                (AttemptClass::Unavailable, again)
            }
            How::Unknown(secs) => {
                let again = Settlement::Again(later(self.now, secs));
                (AttemptClass::Timeout, again)
            }
        };
        let attempt = Attempt {
            number: claimed.attempt,
            started_at: self.now,
            duration_ms: 1,
            class,
            http_status: None,
            excerpt: None,
            retry_at: None,
        };
        let mut tx = self.store.begin("settle").await.unwrap();
        tx.record_attempt(claimed.id, &attempt).await.unwrap();
        let lease = tx
            .settle_delivery(claimed.id, claimed.lease_token, settlement)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        Seen::Ended {
            lease_held: lease == Lease::Held,
        }
    }
}

fn later(time: Timestamp, secs: i64) -> Timestamp {
    time + Duration::from_secs(secs.unsigned_abs())
}
