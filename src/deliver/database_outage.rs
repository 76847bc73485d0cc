//! Notifies one target of an outage of the database, without using the database.
//!
//! Every replica calls [`Emergency::tick`] every few seconds. The target and its secrets are kept
//! in memory from the time the definitions were activated.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Mutex, watch};

use super::{
    http::secrets,
    sender::{Dispatch, Sender},
    settings::{DeliverSettings, StartDelivererError},
};
use crate::{
    domain::{
        health::{DatabaseOutage, LastAnswer, OutageNotice},
        model::{ids::Name, time::Timestamp},
        notify::{Notification, RenderContext, delivery::AttemptClass},
        slo::{Catalog, Severity, Target},
    },
    store::{ClaimedDelivery, Store, StoreError},
};

/// The time limit of the check; a slower database is regarded as unavailable.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The recipient and timing of the notification.
#[derive(Clone, Debug)]
pub struct EmergencySettings {
    pub target: Name,
    /// The duration of an outage before it is notified.
    pub after: Duration,
    /// The name of this installation, in case several notify one target.
    pub service: String,
}

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmergencyReport {
    pub database_answers: bool,
    /// True if the target was notified of an outage and not yet of its end.
    pub is_notified: bool,
    /// The result of the attempt, if there was something to send.
    pub attempt: Option<AttemptClass>,
}

/// Checks the database and notifies the target. Clones share everything.
#[derive(Clone, Debug)]
pub struct Emergency {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
    sender: Sender,
    settings: Arc<EmergencySettings>,
    state: Arc<Mutex<Option<OutageState>>>,
}

#[derive(Debug)]
struct OutageState {
    outage: DatabaseOutage,
    /// The declaration for which the secrets were read.
    target: Option<Arc<Target>>,
}

impl Emergency {
    pub fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        settings: EmergencySettings,
        deliver: &DeliverSettings,
    ) -> Result<Self, StartDelivererError> {
        Ok(Self {
            store,
            catalog,
            sender: Sender::new(Arc::new(deliver.clone()))?,
            settings: Arc::new(settings),
            state: Arc::default(),
        })
    }

    /// Checks whether the database answers and sends the notification that follows. Never fails,
    /// since it must work during an outage.
    pub async fn tick(&self, now: Timestamp) -> EmergencyReport {
        let answer = self.ask(now).await;
        let mut state = self.state.lock().await;
        let OutageState { outage, target } = state.get_or_insert_with(|| OutageState {
            outage: DatabaseOutage::new(answer.unwrap_or(LastAnswer {
                at: now,
                firing: 0,
                outages: 0,
            })),
            target: None,
        });
        self.hold(target).await;
        let alarm = outage.look(answer, now, self.settings.after);
        let mut attempt = None;
        if let (Some(alarm), Some(target)) = (alarm, target.as_ref()) {
            let class = self.notify(target, alarm, now).await;
            attempt = Some(class);
            if class == AttemptClass::Delivered {
                self.note(alarm, now).await;
                outage.notified(alarm, now);
            }
        }
        EmergencyReport {
            database_answers: answer.is_some(),
            is_notified: outage.is_notified(),
            attempt,
        }
    }

    /// Queries the database. `None` if it does not answer.
    async fn ask(&self, now: Timestamp) -> Option<LastAnswer> {
        let asking = async {
            let mut tx = self.store.begin("check that the database answers").await?;
            let (firing, outages) = tx.look().await?;
            tx.commit().await?;
            Ok::<_, StoreError>((firing, outages))
        };
        match tokio::time::timeout(TIME_LIMIT, asking).await {
            Ok(Ok((firing, outages))) => Some(LastAnswer {
                at: now,
                firing,
                outages,
            }),
            Ok(Err(error)) => {
                tracing::warn!(error = %error.in_full(), "the database does not answer");
                None
            }
            Err(_) => {
                tracing::warn!("the database has not answered within {TIME_LIMIT:?}");
                None
            }
        }
    }

    /// Reads the target's secrets into memory whenever its declaration has changed.
    async fn hold(&self, held: &mut Option<Arc<Target>>) {
        let declared = self
            .catalog
            .borrow()
            .targets
            .get(&self.settings.target)
            .cloned();
        let Some(declared) = declared else {
            if held.take().is_some() {
                let name = &self.settings.target;
                tracing::error!(notify.target = %name, "the emergency target `{name}` is not declared any more");
            }
            return;
        };
        if held.as_ref() == Some(&declared) {
            return;
        }
        let mut is_whole = true;
        for secret in declared.kind.secrets() {
            if let Err(error) = secrets::hold(secret).await {
                is_whole = false;
                let name = &declared.name;
                tracing::error!(notify.target = %name, "the emergency target `{name}` cannot be notified: {error}");
            }
        }
        // Otherwise missing secrets are read again at the next tick.
        *held = is_whole.then_some(declared);
    }

    async fn notify(&self, target: &Target, alarm: OutageNotice, now: Timestamp) -> AttemptClass {
        let notice = alarm.notice(&self.settings.service, now);
        let delivery = ClaimedDelivery {
            id: 0,
            message: alarm.message(&self.settings.service),
            priority: Severity::Page,
            attempt: 1,
            lease_token: 0,
            retries_since: now,
            content: Some(Notification::from(notice)),
            due_since: now,
            fallback_for: None,
            delivered_meanwhile: None,
        };
        let dispatch = Dispatch {
            delivery,
            before: None,
            context: RenderContext::default(),
            with: Vec::new(),
            digest: None,
        };
        let tried = self.sender.attempt(target, &dispatch, now).await;
        let (class, name) = (tried.reaction.class, &target.name);
        let excerpt = tried.excerpt.unwrap_or_default();
        if class == AttemptClass::Delivered {
            tracing::warn!(notify.target = %name, "notified the emergency target `{name}`: {alarm:?}");
        } else {
            tracing::error!(
                notify.target = %name, class = %class,
                "cannot notify the emergency target `{name}`: {class}: {excerpt}"
            );
        }
        class
    }

    /// Records the end of an outage, so that the next outage has another message id.
    async fn note(&self, alarm: OutageNotice, now: Timestamp) {
        let OutageNotice::Ended(seen) = alarm else {
            return;
        };
        let noted = async {
            let mut tx = self.store.begin("record the end of an outage").await?;
            tx.count_outage(seen.outages).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = %error.in_full(), at = %now, "cannot record the end of an outage");
        }
    }
}
