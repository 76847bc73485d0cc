//! What must hold at the end of every test, whatever it was about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use throughline::{
    deliver::DeliveryReport,
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::delivery::message_id,
        slo::{Catalog, SecretOrPlain, Target, TargetKind, WebhookFormat},
    },
    evaluate::EvaluationReport,
};
use uuid::Uuid;

use crate::support::{lists, receiver::received_at};

/// What happened in all replicas.
#[derive(Debug, Default)]
pub(super) struct FinalCheck(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// Lost since the last evaluation that lost none.
    lost_races: usize,
    /// Whether deliveries may be left in the middle.
    is_cut_short: bool,
    /// Targets that get notifications which no outbox holds: those of a database that is unavailable.
    direct: BTreeSet<String>,
    /// The last turn at a target, if it found nothing to do.
    idle: BTreeMap<String, Timestamp>,
}

impl FinalCheck {
    pub(super) fn evaluated(&self, report: &EvaluationReport) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match report {
            EvaluationReport { evaluated: 0, .. } => {}
            EvaluationReport { lost_races: 0, .. } => entries.lost_races = 0,
            lost => entries.lost_races += lost.lost_races,
        }
        entries.idle.clear();
    }

    pub(super) fn delivered(&self, target: &Name, report: &DeliveryReport, now: Timestamp) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = DeliveryReport {
            kind: report.kind,
            ..DeliveryReport::default()
        };
        if *report == nothing {
            entries.idle.insert(target.to_string(), now);
        } else {
            entries.idle.clear();
        }
    }

    pub(super) fn has_news(&self) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.idle.clear();
    }

    pub(super) fn is_cut_short(&self) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.is_cut_short = true;
    }

    pub(super) fn sends_without_outbox(&self, target: &Name) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.direct.insert(target.to_string());
    }

    /// Fails with what is wrong.
    pub(super) fn check(&self, database: PgConnectOptions, catalog: &Catalog) {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(
            entries.lost_races, 0,
            "an evaluation lost a race and none took it up"
        );
        // A runtime drops the test's values, and cannot wait for a second one in its own thread.
        let reading = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = database.connect().await.unwrap();
                let differences = lists::differences(&mut connection).await;
                (deliveries(&mut connection).await, differences)
            })
        });
        let (deliveries, differences_of_lists) = reading.join().expect("both can be read");
        let mut wrong: Vec<String> = deliveries
            .iter()
            .filter_map(|delivery| Some(format!("{}: {delivery:?}", entries.fault(delivery)?)))
            .collect();
        let webhooks = webhooks(catalog).into_iter();
        for (target, url) in webhooks.filter(|(target, _)| !entries.direct.contains(target)) {
            wrong.extend(differences(&target, &url, &deliveries));
        }
        wrong.extend(differences_of_lists);
        assert!(wrong.is_empty(), "unexplained:\n{}", wrong.join("\n"));
    }
}

/// A row of the outbox.
#[derive(Debug, sqlx_macros::FromRow)]
struct OutboxRow {
    target: String,
    state: String,
    message: Uuid,
    due_at: DateTime<Utc>,
    /// Whether nothing but the time holds it up: neither its target nor one before it.
    is_free: bool,
    attempts: i64,
    taken: i64,
}

async fn deliveries(connection: &mut PgConnection) -> Vec<OutboxRow> {
    sqlx::query_as(
        "select d.target, d.state, coalesce(d.transition_id, d.platform_notification_id) as message,
             greatest(d.next_attempt_at, t.not_before, t.next_free_at,
                 t.singles_free_at - interval '270 s') as due_at,
             coalesce(t.state, 'closed') = 'closed' and not exists (
                 select from deliveries e where e.target = d.target
                     and e.ordering_key = d.ordering_key and e.id < d.id
                     and e.state in ('pending', 'leased')) as is_free,
             (select count(*) from delivery_attempts a where a.delivery_id = d.id) as attempts,
             (select count(*) from delivery_attempts a
                 where a.delivery_id = d.id and a.class = 'delivered') as taken
         from deliveries d left join target_states t using (target)
         order by d.id",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

impl Noted {
    fn fault(&self, delivery: &OutboxRow) -> Option<&'static str> {
        let idle = self.idle.get(&delivery.target);
        match delivery.state.as_str() {
            "leased" => (!self.is_cut_short).then_some("leased by nobody"),
            "delivered" if delivery.taken == 0 => Some("delivered without a try that was taken"),
            "failed" if delivery.attempts == 0 => Some("given up without a try"),
            "pending" if delivery.is_free => idle
                .is_some_and(|turn| Timestamp::from(delivery.due_at) < *turn)
                .then_some("due and passed over"),
            _ => None,
        }
    }
}

/// Targets whose messages bear the id of their delivery.
fn webhooks(catalog: &Catalog) -> Vec<(String, String)> {
    let webhook = |(name, target): (&Name, &Arc<Target>)| match &target.kind {
        TargetKind::Webhook {
            url: SecretOrPlain::Plain(url),
            format: WebhookFormat::Standard,
            ..
        } => Some((name.to_string(), url.clone())),
        _ => None,
    };
    catalog.targets.iter().filter_map(webhook).collect()
}

/// Between what is recorded as delivered and what a receiver of the tests got.
fn differences(target: &str, url: &str, deliveries: &[OutboxRow]) -> Vec<String> {
    let Some(received) = received_at(url) else {
        return Vec::new();
    };
    let received: BTreeSet<String> = received
        .iter()
        .filter_map(|request| request.headers.get("webhook-id").cloned())
        .collect();
    let of_target = || deliveries.iter().filter(|one| one.target == target);
    let id = |one: &OutboxRow| message_id(one.message);
    // Of all targets: several may share a receiver.
    let known: BTreeSet<_> = deliveries.iter().map(id).collect();
    let delivered = of_target().filter(|one| one.state == "delivered").map(id);
    let delivered: BTreeSet<_> = delivered.collect();
    let missing = delivered.difference(&received);
    let unknown = received.difference(&known);
    missing
        .map(|id| format!("{target} never got {id}"))
        .chain(unknown.map(|id| format!("{target} got {id}, which was never due")))
        .collect()
}
