//! A database with transitions to tell, targets to tell them to, and time that is driven.

use std::{collections::BTreeMap, ops::Deref, sync::Arc, time::Duration};

use throughline::{
    deliver::{DeliverSettings, Deliverer, DeliveryReport},
    domain::{
        alerting::{
            alert::{AlertUpdate, EpisodeEnd, TransitionKind},
            rule_status::WindowStatus,
            snapshot::{AlertSnapshot, Context, EpisodeSummary, WorstWorkflow},
        },
        model::{
            counts::EventCounts,
            ids::{Name, TraceId},
            time::Timestamp,
        },
        notify::delivery::{Delivery, alert_key},
        slo::{Catalog, SecretOrPlain, Severity, Target, TargetKind},
        workflow::Outcome,
    },
    store::NewDeliveries,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::app::{TestApp, deliver_settings};
pub(super) use crate::support::validators::SIGNING_SECRET;

pub(super) const START: Timestamp = Timestamp::from_secs(1_795_328_309);

/// What is kept of one try at a delivery.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) class: String,
    pub(super) excerpt: Option<String>,
    pub(super) retry_at: Option<Timestamp>,
}

/// Nobody listens on port 1 (tcpmux, long out of use).
pub(super) const NOBODY: &str = "http://127.0.0.1:1";

pub(super) const ROUTING_KEY: &str = "e93facc04764012d7bfb002500d5d1a6";
pub(super) const BOT_TOKEN: &str = "xoxb-b0t-t0ken-of-nobody";
pub(super) const TEAMS_SIGNATURE: &str = "s1gnature-0f-a-w0rkfl0w";
/// What makes the address of a Slack webhook secret.
pub(super) const SLACK_TOKEN: &str = "T0PSECR3T/B0PSECR3T/tokentokentoken";

type AttemptRow = (
    String,
    Option<String>,
    Option<chrono::DateTime<chrono::Utc>>,
);

#[derive(Debug)]
pub(super) struct TestBench {
    app: TestApp,
    pub(super) now: Timestamp,
    /// What fires or resolves from now on belongs to it.
    pub(super) episode: Uuid,
    /// Of every SLO that fires from now on.
    pub(super) labels: BTreeMap<String, String>,
    /// What senders wrote into everything that they name, if not what they usually do.
    pub(super) text: Option<String>,
    versions: BTreeMap<String, i64>,
}

impl Deref for TestBench {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}

impl TestBench {
    pub(super) async fn create() -> Self {
        Self::guarded(deliver_settings()).await
    }

    /// Receivers of the tests listen on loopback.
    pub(super) async fn with(settings: DeliverSettings) -> Self {
        let addresses = deliver_settings().addresses;
        Self::guarded(DeliverSettings {
            addresses,
            ..settings
        })
        .await
    }

    /// With the addresses that the settings allow and no others.
    pub(super) async fn guarded(settings: DeliverSettings) -> Self {
        let app = TestApp::new().at("2026-11-22T06:18:29Z");
        Self {
            app: app.with(|app| app.deliver = settings).await,
            now: START,
            episode: Uuid::from_u128(1),
            labels: BTreeMap::new(),
            text: None,
            versions: BTreeMap::new(),
        }
    }

    /// A replica that remembers nothing.
    pub(super) fn restart(&mut self) {
        self.app.restart();
    }

    /// Another replica.
    pub(super) fn replica(&self) -> Deliverer {
        self.app.replica().deliverer.clone()
    }

    pub(super) fn advance(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
    }

    pub(super) fn declare_slack(&self, name: &str, url: &str) -> Name {
        let webhook_url = self.secret(name, &format!("{url}/services/{SLACK_TOKEN}"));
        self.declare(name, TargetKind::Slack { webhook_url })
    }

    pub(super) fn declare_pagerduty(&self, name: &str, url: &str) -> Name {
        let routing_key = self.secret("routing", ROUTING_KEY);
        let url = Some(url.to_owned());
        self.declare(
            name,
            TargetKind::PagerDuty {
                routing_key,
                previous_routing_key: None,
                url,
            },
        )
    }

    pub(super) fn declare_slack_bot(&self, name: &str, url: &str) -> Name {
        let token = self.secret("bot", BOT_TOKEN);
        let kind = TargetKind::SlackBot {
            token,
            channel: "#deploys".to_owned(),
            url: Some(format!("{url}/api")),
        };
        self.declare(name, kind)
    }

    pub(super) fn declare_teams(&self, name: &str, url: &str) -> Name {
        let url = self.secret("teams", &format!("{url}/workflows/1?sig={TEAMS_SIGNATURE}"));
        self.declare(name, TargetKind::Teams { url })
    }

    pub(super) fn declare_alertmanager(&self, name: &str, urls: &[&str]) -> Name {
        let plain = |url: &&str| SecretOrPlain::Plain((*url).to_owned());
        let urls = urls.iter().map(plain).collect();
        self.declare(name, TargetKind::Alertmanager { urls })
    }

    pub(super) fn catalog(&self) -> watch::Receiver<Arc<Catalog>> {
        self.definitions.catalog.subscribe()
    }

    pub(super) fn declare(&self, name: &str, kind: TargetKind) -> Name {
        self.declare_target(Target::new(name.parse().unwrap(), kind))
    }

    /// Changes how a target is declared.
    pub(super) fn redeclare(&self, name: &Name, change: impl FnOnce(&mut Target)) {
        self.reads(|catalog| change(Arc::make_mut(catalog.targets.get_mut(name).unwrap())));
    }

    pub(super) fn fall_back(&self, name: &Name, fallback: &Name) {
        self.redeclare(name, |target| target.fallback = Some(fallback.clone()));
    }

    pub(super) fn undeclare(&self, name: &Name) {
        self.reads(|catalog| {
            catalog.targets.remove(name);
        });
    }

    /// A page of an SLO begins, and targets are to be told.
    pub(super) async fn fires(&mut self, slo: &str, targets: &[&Name]) -> Uuid {
        self.transition(slo, TransitionKind::Firing, targets).await
    }

    pub(super) async fn resolves(&mut self, slo: &str, targets: &[&Name]) -> Uuid {
        self.transition(slo, TransitionKind::Resolved, targets)
            .await
    }

    pub(super) async fn develops(
        &mut self,
        slo: &str,
        development: AlertUpdate,
        targets: &[&Name],
    ) -> Uuid {
        let facts = AlertSnapshot {
            development: Some(development),
            fired_at: Some(self.now),
            ..self.facts(slo, development.kind())
        };
        self.tell(&facts, targets).await
    }

    async fn transition(&mut self, slo: &str, kind: TransitionKind, targets: &[&Name]) -> Uuid {
        let facts = self.facts(slo, kind);
        self.tell(&facts, targets).await
    }

    fn facts(&mut self, slo: &str, kind: TransitionKind) -> AlertSnapshot {
        let version = self.versions.entry(slo.to_owned()).or_insert(0);
        *version += 1;
        let mut facts = AlertSnapshot {
            labels: self.labels.clone(),
            episode: self.episode,
            ..facts(slo, kind, *version, self.now)
        };
        if let Some(text) = &self.text {
            facts.display_name.clone_from(text);
            facts.service = Some(text.clone());
            facts.worst[0].label.clone_from(text);
            facts.worst[0].customer = Some(text.clone());
        }
        facts
    }

    async fn tell(&self, facts: &AlertSnapshot, targets: &[&Name]) -> Uuid {
        let transition = self.insert_transition(facts).await;
        let targets: Vec<Name> = targets.iter().map(|name| (*name).clone()).collect();
        let mut tx = self.database.store.begin("enqueue").await.unwrap();
        let queued = NewDeliveries {
            transition,
            targets: &targets,
            ordering_key: &alert_key(&facts.slo, None, Severity::Page),
            severity: Severity::Page,
        };
        let new = tx.enqueue_deliveries(queued, self.now).await.unwrap();
        assert_eq!(new, targets.len() as u64);
        assert_eq!(tx.enqueue_deliveries(queued, self.now).await.unwrap(), 0);
        tx.commit().await.unwrap();
        self.has_news();
        transition
    }

    async fn insert_transition(&self, facts: &AlertSnapshot) -> Uuid {
        let transition = Uuid::now_v7();
        let mut connection = self.database.connect().await;
        sqlx::query(
            "with slo as (
                insert into slos (name) values ($1)
                on conflict (name) do update set name = excluded.name returning id
            ), alert as (
                insert into alerts (slo_id, severity, state, since)
                select id, 'page', 'inactive', now() from slo on conflict do nothing
            )
            insert into alert_transitions (id, slo_id, severity, version, episode, kind, at, snapshot)
            select $2, id, 'page', $3, $4, $5, $7, $6 from slo",
        )
        .bind(facts.slo.as_str())
        .bind(transition)
        .bind(facts.version)
        .bind(facts.episode)
        .bind(facts.kind.as_str())
        .bind(serde_json::to_value(facts).unwrap())
        .bind(self.now.to_chrono())
        .execute(&mut connection)
        .await
        .unwrap();
        transition
    }

    pub(super) async fn deliver(&self, target: &Name) -> DeliveryReport {
        self.clock.set(self.now);
        self.deliver_to(target).await
    }

    /// The delivery of a transition to its only target, and the tries at it, oldest first.
    pub(super) async fn delivery(&self, transition: Uuid) -> (Delivery, Vec<Attempt>) {
        let mut tx = self.database.store.begin("look").await.unwrap();
        let mut told = tx.deliveries_of(&[transition]).await.unwrap();
        let [delivery] = <[Delivery; 1]>::try_from(told.remove(&transition).unwrap()).unwrap();
        let attempts = sqlx::query_as(
            "select class, excerpt, retry_at from delivery_attempts
             join deliveries on deliveries.id = delivery_id
             where transition_id = $1 order by attempt",
        )
        .bind(transition)
        .fetch_all(&mut self.database.connect().await)
        .await
        .unwrap();
        let attempts = attempts.into_iter().map(|row: AttemptRow| Attempt {
            class: row.0,
            excerpt: row.1,
            retry_at: row.2.map(Timestamp::from),
        });
        (delivery, attempts.collect())
    }

    /// Who is, or was, to be told of a transition.
    pub(super) async fn told_of(&self, transition: Uuid) -> Vec<String> {
        let mut tx = self.database.store.begin("look").await.unwrap();
        let told = tx.deliveries_of(&[transition]).await.unwrap();
        let targets = told.into_values().flatten();
        targets.map(|told| told.target.to_string()).collect()
    }

    /// How many deliveries a target has, whatever became of them.
    pub(super) async fn count_of(&self, target: &str) -> i64 {
        sqlx::query_scalar("select count(*) from deliveries where target = $1")
            .bind(target)
            .fetch_one(&mut self.database.connect().await)
            .await
            .unwrap()
    }

    /// Every row of every table that delivery writes, as text.
    pub(super) async fn all_rows(&self) -> String {
        let mut connection = self.database.connect().await;
        let mut rows = Vec::new();
        for table in [
            "select d::text from deliveries d",
            "select a::text from delivery_attempts a",
            "select t::text from target_states t",
            "select t::text from alert_transitions t",
            "select t::text from target_references t",
            "select n::text from platform_notifications n",
            "select c::text from health_checks c",
        ] {
            let texts: Vec<String> = sqlx::query_scalar(table)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            rows.extend(texts);
        }
        rows.join("\n")
    }
}

fn late_order(now: Timestamp) -> WorstWorkflow {
    WorstWorkflow {
        label: "order-42".to_owned(),
        trace_id: TraceId::from_slice(&[7; 16]).unwrap(),
        customer: Some("acme".to_owned()),
        outcome: Outcome::Late,
        started_at: Some(now),
        took_secs: Some(400.0),
        ended: true,
        page_url: None,
        links: Vec::new(),
    }
}

fn facts(slo: &str, kind: TransitionKind, version: i64, now: Timestamp) -> AlertSnapshot {
    let counts = EventCounts {
        good: 80,
        late: 20,
        ..EventCounts::ZERO
    };
    let window = |secs| WindowStatus::new(secs, counts, Some(20.0));
    AlertSnapshot {
        is_test: false,
        kind,
        slo: slo.parse().unwrap(),
        display_name: format!("Orders of {slo}"),
        group: None,
        service: Some("checkout".to_owned()),
        labels: BTreeMap::new(),
        severity: Severity::Page,
        rule: "fast".parse().unwrap(),
        factor: 14.4,
        limit: None,
        episode: Uuid::from_u128(1),
        version,
        objective: 0.99,
        window_secs: 28 * 86_400,
        calendar: None,
        within_secs: Some(300.0),
        long: window(3_600),
        short: window(300),
        customers_affected: Some(12),
        customers_total: None,
        budget_remaining: Some(0.5),
        bad_events_allowed: 100,
        budget_empty_in_secs: Some(7_200),
        began_at: Some(now),
        evaluated_at: now,
        fired_at: None,
        nth_today: None,
        finish_unmatched_since: None,
        development: None,
        acknowledged: None,
        worst: vec![late_order(now)],
        differences: Vec::new(),
        slowest_stage: None,
        context: Context::default(),
        runbook: None,
        page_url: None,
        episode_summary: (kind == TransitionKind::Resolved).then_some(EpisodeSummary {
            unusable: None,
            fired_at: now,
            ended_by: EpisodeEnd::Recovered,
            flaps: 0,
            resolved_at: now,
            counts,
            customers_affected: Some(12),
            customers_affected_is_upper_bound: false,
            budget_spent: Some(0.2),
            before: None,
        }),
    }
}
