//! Keeps one turn running for every target that has something due, so that a slow target delays
//! nobody else.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument as _;

use super::deliverer::{Deliverer, DeliveryReport};
use crate::{
    domain::model::{ids::Name, time::Timestamp},
    store::StoreError,
};

/// Turns at targets, at most one of each target at a time. Dropped, it stops them all; their leases
/// lapse.
#[derive(Debug)]
pub struct Dispatcher {
    deliverer: Deliverer,
    turns: JoinSet<Turn>,
    running: HashMap<Id, Name>,
}

type Turn = Result<DeliveryReport, StoreError>;

/// A turn that has ended.
#[derive(Debug)]
pub struct TargetReport {
    pub target: Name,
    pub result: Result<DeliveryReport, StoreError>,
}

impl Dispatcher {
    pub fn new(deliverer: Deliverer) -> Self {
        Self {
            deliverer,
            turns: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Starts a turn at every target with something due that has none running, and returns the turns
    /// that have ended since the last tick. Waits for no target.
    pub async fn tick(&mut self, now: Timestamp) -> Result<Vec<TargetReport>, StoreError> {
        let ended = self.ended();
        for target in self.deliverer.due_targets(now).await? {
            if !self.running.values().any(|running| *running == target) {
                self.start(target, now);
            }
        }
        Ok(ended)
    }

    /// Waits for the turns that are running and starts no new ones.
    pub async fn drain(&mut self) -> Vec<TargetReport> {
        let mut ended = Vec::new();
        while let Some(turn) = self.turns.join_next_with_id().await {
            ended.extend(self.end(turn));
        }
        ended
    }

    fn start(&mut self, target: Name, now: Timestamp) {
        let deliverer = self.deliverer.clone();
        let name = target.clone();
        let span = tracing::debug_span!("deliver", notify.target = %target);
        let turn = async move { deliverer.deliver_due(&target, now).await };
        let turn = self.turns.spawn(turn.instrument(span));
        self.running.insert(turn.id(), name);
    }

    fn ended(&mut self) -> Vec<TargetReport> {
        let mut ended = Vec::new();
        while let Some(turn) = self.turns.try_join_next_with_id() {
            ended.extend(self.end(turn));
        }
        ended
    }

    fn end(&mut self, turn: Result<(Id, Turn), JoinError>) -> Option<TargetReport> {
        match turn {
            Ok((id, result)) => {
                let target = self.running.remove(&id)?;
                Some(TargetReport { target, result })
            }
            Err(error) => {
                let target = self.running.remove(&error.id());
                tracing::error!(notify.target = ?target, %error, "a turn of deliveries was cut short");
                None
            }
        }
    }
}
