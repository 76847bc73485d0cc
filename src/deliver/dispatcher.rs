//! Keeps one turn running for every target with due deliveries, so that a slow target does not
//! delay others.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument as _;

use super::deliverer::{Deliverer, DeliveryReport};
use crate::{
    domain::model::{ids::Name, time::Timestamp},
    store::StoreError,
};

/// Runs turns, at most one per target at a time. Dropping it aborts them all; their leases expire.
#[derive(Debug)]
pub struct Dispatcher {
    deliverer: Deliverer,
    turns: JoinSet<Turn>,
    running: HashMap<Id, Name>,
}

type Turn = Result<DeliveryReport, StoreError>;

/// The result of a turn that has ended.
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

    /// Starts a turn for every target with due deliveries that has none running, and returns the
    /// turns that have ended since the last tick. Does not wait for any target.
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
                tracing::error!(notify.target = ?target, %error, "a turn of deliveries was aborted");
                None
            }
        }
    }
}
