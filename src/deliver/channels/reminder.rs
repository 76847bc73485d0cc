//! Alertmanager as a target. It forgets alerts that are not repeated, so in addition to each
//! transition, which is sent at once, it receives every minute all alerts that are active. All of
//! its replicas do, since each keeps its own state.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    deliver::{
        http::{
            client::{Client, Outgoing, SendError, TargetResponse},
            request::address,
            resolver::system_lookup,
            secrets::MissingSecret,
        },
        settings::{DeliverSettings, StartDelivererError},
    },
    domain::{
        model::{ids::Name, time::Timestamp},
        notify::{Notification, RenderContext, channels::alertmanager},
        slo::{Catalog, SecretOrPlain, TargetKind},
    },
    store::{Store, StoreError},
};

/// The duration for which the end of an alert is repeated, in case one of the replicas was
/// unavailable, or its clock is slow: of two ends it uses the later one until the earlier has
/// passed.
const REPEAT_ENDS_FOR: Duration = Duration::from_mins(15);
/// The limit of one request; more alerts are sent in several requests.
const MAX_ALERTS: usize = 64;

/// The result of a request to one replica of an Alertmanager.
pub(crate) type PostResult = Result<TargetResponse, SendError>;

/// Posts to all replicas at the same time.
pub(crate) async fn post_to_all(
    client: &Client,
    urls: &[SecretString],
    alerts: &Value,
    timeout: Duration,
) -> Vec<PostResult> {
    let body = alerts.to_string().into_bytes();
    let mut sending = JoinSet::new();
    for url in urls {
        let outgoing = Outgoing {
            method: Method::POST,
            url: endpoint(url),
            headers: vec![("content-type", "application/json".to_owned())],
            bearer: None,
            body: body.clone(),
            timeout,
        };
        let client = client.clone();
        sending.spawn(async move { client.send(outgoing).await });
    }
    sending.join_all().await
}

fn endpoint(url: &SecretString) -> SecretString {
    let base = url.expose_secret().trim_end_matches('/');
    let base = base.strip_suffix("/api/v2/alerts").unwrap_or(base);
    format!("{base}/api/v2/alerts").into()
}

pub(crate) async fn addresses(urls: &[SecretOrPlain]) -> Result<Vec<SecretString>, MissingSecret> {
    let mut addresses = Vec::new();
    for url in urls {
        addresses.push(address(url).await?);
    }
    Ok(addresses)
}

/// Repeats the active alerts to every Alertmanager.
#[derive(Clone, Debug)]
pub struct Reminder {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
    client: Client,
    timeout: Duration,
}

/// The result of one round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReminderReport {
    /// Alerts sent, each counted once for every replica of an Alertmanager that accepted it.
    pub sent: usize,
    /// Requests that failed; their alerts are repeated in the next round.
    pub failed: usize,
}

impl Reminder {
    pub fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        settings: &DeliverSettings,
    ) -> Result<Self, StartDelivererError> {
        let addresses = settings.addresses.clone();
        let client = Client::new(settings.connect_timeout, addresses, system_lookup())?;
        let timeout = settings.chat_timeout;
        Ok(Self {
            store,
            catalog,
            client,
            timeout,
        })
    }

    pub async fn tick(&self, now: Timestamp) -> Result<ReminderReport, StoreError> {
        let targets: Vec<_> = self.catalog.borrow().targets.values().cloned().collect();
        let mut report = ReminderReport::default();
        for target in targets {
            if let TargetKind::Alertmanager { urls } = &target.kind {
                self.remind(&target.name, urls, now, &mut report).await?;
            }
        }
        Ok(report)
    }

    async fn remind(
        &self,
        target: &Name,
        urls: &[SecretOrPlain],
        now: Timestamp,
        report: &mut ReminderReport,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin("read the firing alerts").await?;
        let standing = tx
            .snapshots_to_repeat(target, now - REPEAT_ENDS_FOR)
            .await?;
        let notices = tx
            .notifications_to_repeat(target, now - REPEAT_ENDS_FOR)
            .await?;
        tx.commit().await?;
        let urls = match addresses(urls).await {
            Ok(urls) => urls,
            Err(error) => {
                report.failed += 1;
                tracing::warn!(notify.target = %target, "cannot send alerts to target `{target}` again: {error}");
                return Ok(());
            }
        };
        let context = RenderContext::default();
        let alerts = standing.into_iter().map(Notification::from);
        let notifications = alerts.chain(notices);
        let all: Vec<Value> = notifications
            .map(|notification| alertmanager::posted(&notification, &context, now))
            .collect();
        for some in all.chunks(MAX_ALERTS) {
            let alerts = Value::Array(some.to_vec());
            let answers = post_to_all(&self.client, &urls, &alerts, self.timeout).await;
            let problems: Vec<String> = answers.into_iter().filter_map(problem).collect();
            report.failed += problems.len();
            report.sent += some.len() * (urls.len() - problems.len());
            for problem in problems {
                tracing::warn!(
                    notify.target = %target,
                    "cannot send alerts to target `{target}` again: {problem}"
                );
            }
        }
        Ok(())
    }
}

fn problem(result: PostResult) -> Option<String> {
    match result {
        Ok(answer) if (200..300).contains(&answer.status) => None,
        Ok(answer) => Some(format!("it answered {}", answer.status)),
        Err(error) => Some(error.to_string()),
    }
}
