//! `throughline demo`: shows the product in five minutes, without any setup.
//!
//! It runs the same service as `throughline serve`, on a temporary database, with a simulated shop
//! (`shop`). It writes four weeks of the shop's past (`history`); then the shop's services work and
//! send their spans over OTLP with the OpenTelemetry SDK (`traffic`). After a while the warehouse
//! stops taking orders from the queue `fulfilment`. No span reports this, since nothing happens any
//! more, but orders miss their deadlines and an alert fires. It is sent to a webhook (`hook`); then
//! the warehouse resumes, and the alert resolves. The demo (`story`) explains all this on standard
//! output (`narrator`).
//!
//! The SLOs are those of `slo-definitions/` with shorter times (`definitions`): real ones have
//! windows of an hour and more.

mod definitions;
mod history;
mod hook;
mod narrator;
mod past;
mod ports;
mod shop;
mod story;
#[cfg(test)]
mod tests;
mod traffic;

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    hook::Hook,
    narrator::Narrator,
    ports::from_this_machine,
    story::{Board, Story, welcome},
    traffic::{Consumers, Services, ShopTraffic},
};
use crate::{
    app::{App, database::Database},
    clock::Clock,
    config::{
        AccessConfig, Config, DatabaseConfig, DefinitionsConfig, DeliveryConfig, Environment,
        EvaluationConfig, KafkaConfig, OidcConfig, PagesConfig, ReceiverConfig, RemoteWriteConfig,
        TlsConfig, WatchConfig,
    },
};

const CONNECTIONS: u32 = 12;

/// The settings of the demo.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    pub receiver: ReceiverConfig,
    pub evaluation: EvaluationConfig,
    pub pages: PagesConfig,
    /// The same seed gives the same shop.
    pub seed: u64,
    /// The time until the queue stalls.
    pub stall_after: Duration,
    pub ending: DemoEnding,
    pub messages: MessageForm,
}

/// The form in which the webhook's messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageForm {
    /// As text for people.
    Text,
    /// The bodies that were sent.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoEnding {
    /// On Ctrl-C.
    OnRequest,
    /// After the alert has resolved.
    AfterRecovery,
}

/// Runs until `shutdown` is cancelled, or until the selected end.
pub async fn run(settings: DemoSettings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let narrator = Narrator::new();
    narrator.say("Starting the service on a temporary database.");
    let (hook, bodies) = Hook::bind()
        .await
        .context("cannot listen for the demo's own webhooks")?;
    let folder = tempfile::tempdir().context("cannot make a folder for the demo's definitions")?;
    definitions::write(folder.path(), hook.address()?)
        .context("cannot write the demo's definitions")?;
    let mut config = settings.config(folder.path());
    for taken in ports::settle(&mut config).context("cannot find ports to listen at")? {
        narrator.say(&format!("({taken})"));
    }
    let pages = format!("http://{}", from_this_machine(config.pages.port.listen));
    config.evaluation.public_url.get_or_insert(pages.clone());
    let database = Database::throwaway(&Environment::read(), CONNECTIONS).await?;
    let app = App::start(config, database, Clock::System).await?;
    let addresses = app.addresses()?;
    let (consumers, seen_by_traffic) = watch::channel(Consumers::Working);
    let traffic = ShopTraffic {
        services: Services::connect(&from_this_machine(addresses.otlp_grpc))?,
        clock: Clock::System,
        seed: settings.seed,
        consumers: seen_by_traffic,
    };
    let board = Board {
        narrator,
        store: app.store().clone(),
    };
    let mut story = Story {
        board,
        consumers,
        bodies,
    };
    narrator.say("Writing four weeks of history of a made-up shop.");
    let past = Box::pin(story.write_past(folder.path(), settings.seed));
    let past = shutdown.run_until_cancelled(past).await;
    let cast = Cast::enter(app, hook, traffic, &shutdown);
    let told = match past {
        Some(Ok(())) => {
            narrator.say(&welcome(&pages, addresses));
            shutdown.run_until_cancelled(story.tell(&settings)).await
        }
        // Cancelled or failed: all parts are stopped in order in any case.
        cut_short => cut_short,
    };
    narrator.say("Stopping: accepted spans are finished, then the database is deleted.");
    shutdown.cancel();
    cast.leave().await?;
    told.unwrap_or(Ok(()))
}

/// The parts that run during the demo.
struct Cast {
    traffic: JoinHandle<()>,
    service: JoinHandle<anyhow::Result<()>>,
    after_traffic: CancellationToken,
    tasks: TaskTracker,
}

impl Cast {
    fn enter(app: App, hook: Hook, traffic: ShopTraffic, shutdown: &CancellationToken) -> Self {
        let (tasks, after_traffic) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(hook.run(after_traffic.clone()));
        Self {
            service: tasks.spawn(app.run(after_traffic.clone())),
            traffic: tasks.spawn(traffic.run(shutdown.clone())),
            after_traffic,
            tasks,
        }
    }

    /// Stops all parts. The service is last, so that it receives the shop's last spans.
    async fn leave(self) -> anyhow::Result<()> {
        self.traffic.await?;
        self.after_traffic.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.service.await?
    }
}

impl DemoSettings {
    fn config(&self, definitions: &Path) -> Config {
        Config {
            definitions: DefinitionsConfig {
                folder: definitions.to_owned(),
                slo_selector: None,
            },
            database: DatabaseConfig {
                url: None,
                read_url: None,
                data_dir: None,
                database_connections: CONNECTIONS,
                database_startup_timeout: Duration::ZERO,
            },
            receiver: self.receiver.clone(),
            kafka: KafkaConfig::default(),
            remote_write: RemoteWriteConfig::default(),
            evaluation: self.evaluation.clone(),
            delivery: DeliveryConfig::to_this_machine(),
            watching: WatchConfig::default(),
            pages: self.pages.clone(),
            // The shop is simulated, so no login is needed.
            access: AccessConfig::open(),
            oidc: OidcConfig::default(),
            tls: TlsConfig::default(),
        }
    }
}
