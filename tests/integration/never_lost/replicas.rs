//! Two replicas as processes on one database, with an SLO and a target for each thing that may happen.

use std::{fmt::Write as _, fs, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use throughline::failpoint::Failpoint;
use tokio::time::{sleep, timeout};

use super::{
    expired,
    modes::{Kind, TIMEOUT},
};
use crate::support::{
    api::{POLL_INTERVAL, until},
    database::TestDatabase,
    service::{Service, Site},
    span::{request, span},
    validators::SIGNING_SECRET,
    workload::{now, post},
};

/// A replica whose database is busy says so within three seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Bad events at once: enough for the guard, and all that there ever were.
const BAD: usize = 20;

/// An SLO of its own for each target, by the target's name.
pub(super) struct Replicas {
    sites: [Site; 2],
    running: Vec<Service>,
    database: PgConnectOptions,
    targets: Vec<(&'static str, Kind)>,
    folder: TempDir,
    pub(super) deaths: usize,
}

impl Replicas {
    pub(super) async fn start(database: &TestDatabase, targets: Vec<(&'static str, Kind)>) -> Self {
        Self::start_with(database, targets, |site, _| site).await
    }

    /// With more said to each, the first and the second.
    pub(super) async fn start_with(
        database: &TestDatabase,
        targets: Vec<(&'static str, Kind)>,
        say: impl Fn(Site, usize) -> Site + Send + Sync,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), SIGNING_SECRET).unwrap();
        let definitions = definitions(&targets, &folder, &[]);
        let site = |nth| {
            let site = Site::on(database, &definitions)
                .flag("--evaluation-interval", "500ms")
                .flag("--database-connections", "5")
                .flag("--webhook-timeout", &format!("{}ms", TIMEOUT.as_millis()))
                .flag("--chat-timeout", &format!("{}ms", TIMEOUT.as_millis()))
                .variable("SSL_CERT_FILE", &expired::authority())
                .variable(
                    "THROUGHLINE_FAILPOINTS",
                    &folder.path().display().to_string(),
                );
            say(site, nth)
        };
        for (name, _) in &targets {
            database.make_old(name).await;
        }
        let sites = [site(0), site(1)];
        let (one, other) = tokio::join!(sites[0].start(), sites[1].start());
        Self {
            running: vec![one, other],
            sites,
            database: database.options.clone(),
            targets,
            folder,
            deaths: 0,
        }
    }

    /// Where a target is told from now on.
    pub(super) fn lead(&self, target: &str, kind: Kind, url: &str) {
        let url = match kind {
            Kind::Webhook => url.to_owned(),
            Kind::Slack => format!("{url}/services/T0/B0/x"),
        };
        fs::write(self.folder.path().join(target), url).unwrap();
    }

    /// All events of an SLO are bad from now on.
    pub(super) async fn trouble(&mut self, slo: &str) {
        let bad = |_| span(slo).trace_of(&rand::random()).error();
        let body = request(&(0..BAD).map(bad).collect::<Vec<_>>(), now());
        until("a replica that takes spans", async || {
            self.is_taken(&body).await.then_some(())
        })
        .await;
    }

    async fn is_taken(&self, body: &[u8]) -> bool {
        for Service { api, .. } in &self.running {
            // One of them may stand still.
            let answer = post(&api.client, &api.http, body.to_vec());
            if matches!(timeout(PATIENCE, answer).await, Ok(Ok(200))) {
                return true;
            }
        }
        false
    }

    /// These SLOs are declared no more, which ends their alerts.
    pub(super) fn remove(&self, slos: &[&str]) {
        let left = definitions(&self.targets, &self.folder, slos);
        for site in &self.sites {
            site.define(&left);
        }
    }

    /// Both end at once, without a word.
    pub(super) fn kill(&mut self) {
        self.running.drain(..).for_each(Service::kill);
    }

    /// Starts those that were killed.
    pub(super) async fn start_again(&mut self) {
        let [one, other] = &self.sites;
        let (one, other) = tokio::join!(one.start(), other.start());
        self.running = vec![one, other];
    }

    pub(super) fn signal(&self, nth: usize, signal: Signal) {
        self.running[nth].signal(signal);
    }

    /// All that one of them wrote.
    pub(super) fn said(&self, nth: usize) -> String {
        self.running[nth].said()
    }

    /// One replica is to die at this step.
    pub(super) fn wish(&self, step: Failpoint) {
        fs::write(self.wish_for(step), "").unwrap();
    }

    fn wish_for(&self, step: Failpoint) -> PathBuf {
        self.folder.path().join(step.name())
    }

    /// Waits until a replica has died by the wish, and starts it again.
    pub(super) async fn death(&mut self, step: Failpoint) {
        let wish = self.wish_for(step);
        until(step.name(), async || (!wish.exists()).then_some(())).await;
        let nth = until("the end of a replica", async || {
            self.running.iter_mut().position(Service::aborted)
        })
        .await;
        self.deaths += 1;
        self.running[nth] = self.sites[nth].spawn();
    }

    /// What a dead replica had leased is nobody's any more.
    pub(super) async fn leases_lapse(&mut self) {
        let mut connection = self.connect().await;
        for sql in [
            "update deliveries set lease_until = now() where state = 'leased'",
            "update target_states set probing_until = now() where probing_until is not null",
        ] {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// Waits until a target was told of so many transitions. What is to be waited for is over at once:
    /// what the outbox has put off is due.
    pub(super) async fn told(&mut self, target: &str, transitions: i64) {
        let mut left = String::new();
        for _ in 0..600 {
            self.hurry().await;
            let states: Vec<String> =
                sqlx::query_scalar("select state from deliveries where target = $1 order by id")
                    .bind(target)
                    .fetch_all(&mut self.connect().await)
                    .await
                    .unwrap();
            let told = states.iter().filter(|state| *state == "delivered").count();
            if i64::try_from(told).unwrap() == transitions {
                return;
            }
            left = format!("{states:?}");
            sleep(POLL_INTERVAL * 4).await;
        }
        panic!("`{target}` was not told of {transitions}: {left}");
    }

    /// Waits until a try at a target has failed, and in this way.
    pub(super) async fn failed(&mut self, target: &str) -> String {
        for _ in 0..600 {
            self.hurry().await;
            let class: Option<String> = sqlx::query_scalar(
                "select class from delivery_attempts join deliveries on deliveries.id = delivery_id
                 where target = $1 and class <> 'delivered' limit 1",
            )
            .bind(target)
            .fetch_optional(&mut self.connect().await)
            .await
            .unwrap();
            if let Some(class) = class {
                return class;
            }
            sleep(POLL_INTERVAL * 4).await;
        }
        panic!("no try at `{target}` failed");
    }

    /// Tries at a target of which it is on record that there was no answer.
    pub(super) async fn unanswered(&mut self, target: &str) -> usize {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from delivery_attempts join deliveries on deliveries.id = delivery_id
             where target = $1 and class in ('timeout', 'network')",
        )
        .bind(target)
        .fetch_one(&mut self.connect().await)
        .await
        .unwrap();
        usize::try_from(count).unwrap()
    }

    /// What the outbox waits for has come, but for leases.
    async fn hurry(&mut self) {
        let mut connection = self.connect().await;
        for sql in [
            "update deliveries set next_attempt_at = now() where next_attempt_at > now()",
            "update target_states set not_before = least(not_before, now()),
                 next_free_at = least(next_free_at, now()),
                 singles_free_at = 'epoch', digest_free_at = 'epoch'",
            "update target_states set failed_at = 'epoch' where failed_at is not null",
        ] {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// A connection of its own, as soon as the database is there.
    pub(super) async fn connect(&self) -> PgConnection {
        until("the database", async || self.database.connect().await.ok()).await
    }

    /// Deliveries by state.
    pub(super) async fn outbox(&mut self) -> Vec<(String, i64)> {
        sqlx::query_as("select state, count(*) from deliveries group by state order by state")
            .fetch_all(&mut self.connect().await)
            .await
            .unwrap()
    }
}

/// An SLO over spans of its name for each target, but for those that are `removed`; and one that no
/// span belongs to, since a set without any SLO would be refused.
fn definitions(targets: &[(&str, Kind)], folder: &TempDir, removed: &[&str]) -> String {
    let place = folder.path().display();
    let mut text = String::new();
    for (name, kind) in targets {
        let spec = match kind {
            Kind::Webhook => format!(
                "webhook: {{ url: {{ file: {place}/{name} }}, secret: {{ file: {place}/secret }} }}"
            ),
            Kind::Slack => format!("slack: {{ url: {{ file: {place}/{name} }} }}"),
        };
        write!(
            text,
            "---
apiVersion: throughline/v1
kind: AlertNotificationTarget
metadata: {{ name: {name} }}
spec: {{ {spec} }}
"
        )
        .unwrap();
    }
    let slos = targets.iter().map(|(name, _)| *name);
    for name in slos.filter(|name| !removed.contains(name)).chain(["idle"]) {
        let notify = match name {
            "idle" => String::new(),
            target => format!("notify: {{ page: [{target}] }}"),
        };
        write!(
            text,
            r#"---
apiVersion: throughline/v1
kind: SLO
metadata: {{ name: {name} }}
spec:
  objective: 99%
  window: 30d
  indicator:
    span: {{ match: '{{ name = "{name}" }}', good: '{{ status != error }}' }}
  alertPolicies:
    - metadata: {{ name: burning }}
      spec:
        rules: [{{ name: burn, severity: page, burnRate: {{ factor: 10, long: 1h, short: 5m }} }}]
  {notify}
"#
        )
        .unwrap();
    }
    text
}
