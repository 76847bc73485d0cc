//! The sequence of the demo: normal operation, a stalled queue, the alert, the recovery, the
//! resolve.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};

use super::{
    DemoEnding, DemoSettings,
    history::{History, Slos},
    narrator::{Narrator, standing},
    ports::from_this_machine,
    traffic::Consumers,
};
use crate::{
    app::{Addresses, definitions::read},
    clock::Clock,
    domain::{model::format, slo::definition::load},
    store::{Store, StoreError},
};

/// The SLO that the demo follows.
const SLO: &str = "orders-on-time";
/// The interval at which the state of the SLO is printed.
const STANDING_EVERY: Duration = Duration::from_secs(10);
/// The time from the alert until the warehouse resumes: a person has to react first.
const REPAIRED_AFTER: Duration = Duration::from_secs(10);
/// The time limit of each step; a longer one is a defect of the demo.
const PATIENCE: Duration = Duration::from_mins(5);

/// Runs the sequence.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) board: Board,
    pub(super) consumers: watch::Sender<Consumers>,
    /// The bodies that the webhook received.
    pub(super) bodies: mpsc::UnboundedReceiver<Value>,
}

/// Prints the state of the SLO from time to time.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) narrator: Narrator,
    pub(super) store: Store,
}

impl Story {
    /// Writes the past before the demo begins.
    pub(super) async fn write_past(&self, definitions: &Path, seed: u64) -> anyhow::Result<()> {
        let (catalog, _) = load(&read(definitions)?.files)
            .map_err(|problems| anyhow::anyhow!("the demo's definitions have {problems:?}"))?;
        let names: Vec<_> = catalog.slos.keys().cloned().collect();
        let Board { narrator, store } = &self.board;
        let mut tx = store.begin("declare the SLOs of the demo").await?;
        let ids = tx.declare(&names).await?;
        tx.commit().await?;
        let slos = Slos::new(&catalog, &ids).context("the demo's definitions lack an SLO")?;
        let history = History {
            slos: Arc::new(slos),
            now: Clock::System.now(),
            seed,
        };
        let orders = history.write(store).await?;
        narrator.say(&format!(
            "It had {} orders, and two bad days.",
            format::count(i64::try_from(orders).unwrap_or(i64::MAX))
        ));
        Ok(())
    }

    /// Runs to the selected end; without one it never returns by itself.
    pub(super) async fn tell(&mut self, settings: &DemoSettings) -> anyhow::Result<()> {
        let narrator = self.board.narrator;
        narrator.say(&format!(
            "All is well for {}. Then the warehouse will stop.",
            format::duration(settings.stall_after)
        ));
        self.board.watch_for(settings.stall_after).await;
        self.consumers.send_replace(Consumers::Stalled);
        narrator.say(
            "THE WAREHOUSE HAS STOPPED taking orders out of `fulfilment`.\n\
             No span is an error and none is slow: the spans that would show it are never sent.\n\
             Yet an order that is not confirmed after 20 seconds is bad; 5 more are given to spans\n\
             that are still under way.",
        );
        let body = self.webhook("slo.alert.firing").await?;
        narrator.show(
            "THE ALERT HAS FIRED. Its webhook was sent this:",
            &body,
            settings.messages,
        );
        self.board.watch_for(REPAIRED_AFTER).await;
        self.consumers.send_replace(Consumers::Working);
        narrator.say(
            "THE WAREHOUSE IS BACK and works off its backlog. Orders that come late stay bad.\n\
             The alert resolves when the minutes it looks at are good again: in two minutes or three.",
        );
        let body = self.webhook("slo.alert.resolved").await?;
        narrator.show(
            "THE ALERT HAS RESOLVED. Its webhook was sent this:",
            &body,
            settings.messages,
        );
        if settings.ending == DemoEnding::AfterRecovery {
            return Ok(());
        }
        narrator
            .say("That was the story. The shop stays open, and so do the pages: Ctrl-C ends it.");
        std::future::pending().await
    }

    /// Waits for a notification of `kind` about the SLO.
    async fn webhook(&mut self, kind: &str) -> anyhow::Result<Value> {
        let bodies = &mut self.bodies;
        let is_wanted = |body: &Value| body["type"] == kind && body["data"]["slo"] == SLO;
        let wanted = async {
            let mut body = bodies.recv().await;
            while body.as_ref().is_some_and(|body| !is_wanted(body)) {
                body = bodies.recv().await;
            }
            body
        };
        let found = tokio::select! {
            never = self.board.watch() => match never {},
            found = tokio::time::timeout(PATIENCE, wanted) => found,
        };
        let found = found.ok().flatten();
        found.with_context(|| format!("no `{kind}` came within {}", format::duration(PATIENCE)))
    }
}

impl Board {
    async fn watch_for(&self, time: Duration) {
        tokio::select! {
            never = self.watch() => match never {},
            () = tokio::time::sleep(time) => {}
        }
    }

    async fn watch(&self) -> Infallible {
        let mut timer = tokio::time::interval(STANDING_EVERY);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer.tick().await;
        loop {
            timer.tick().await;
            match self.standing().await {
                Ok(Some(standing)) => self.narrator.say(&standing),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = %error.in_full(), "cannot read the progress of the demo");
                }
            }
        }
    }

    async fn standing(&self) -> Result<Option<String>, StoreError> {
        let mut tx = self.store.begin("read the progress of the demo").await?;
        let records = tx.slos().await?;
        tx.commit().await?;
        let record = records
            .into_iter()
            .find(|record| record.name.as_str() == SLO);
        Ok(record
            .and_then(|record| record.status)
            .map(|status| standing(&status)))
    }
}

/// Returns the introduction: the URLs to open, and what to look at.
pub(super) fn welcome(pages: &str, addresses: Addresses) -> String {
    format!(
        "Look at   {pages}\n\
         and at    {pages}/slos/{SLO}\n\
         Spans are received at {} (OTLP/gRPC) and {} (OTLP/HTTP), also yours.\n\
         \n\
         The shop is at work: checkout, payments, warehouse and mailer, joined by the queues\n\
         `orders`, `fulfilment` and `notifications`, send their spans with the OpenTelemetry SDK.\n\
         The objective: 99.5 % of orders are confirmed within 20 seconds.\n\
         Alerts look back over 5 minutes and 1 minute, so that you need not wait: those of a real\n\
         service look back over 1 hour and 5 minutes, and longer.",
        from_this_machine(addresses.otlp_grpc),
        from_this_machine(addresses.otlp_http)
    )
}
