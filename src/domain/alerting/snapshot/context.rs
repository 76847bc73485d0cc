//! What surrounds the numbers of a message: how they came to be, what else went on, and whom it hurts
//! most.

use serde::{Deserialize, Serialize};

use super::{RecentChange, Trend};
use crate::domain::{
    counting::differences,
    model::{format, time::Timestamp},
};

/// Frozen with the facts; empty in those of versions that did not know of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// At most three, in the order of time.
    pub changes: Vec<RecentChange>,
    pub trend: Option<Trend>,
    /// At most three, most bad events first; only where the definition wants them told.
    pub top_customers: Vec<TopCustomer>,
    /// How many events the differences were found among.
    pub compared: Option<Compared>,
    /// Until when there are data of the SLO: the end of its newest minute with an event.
    pub data_until: Option<Timestamp>,
}

/// A customer as the definition lets messages call it, and its bad events in the long window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopCustomer {
    pub customer: String,
    pub bad: i64,
}

/// Sampled events of either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    pub bad: usize,
    pub good: usize,
}

impl Compared {
    /// `208 bad and 200 good`.
    pub fn text(self) -> String {
        let [bad, good] = [self.bad, self.good]
            .map(|events| format::count(i64::try_from(events).unwrap_or(i64::MAX)));
        format!("{bad} bad and {good} good")
    }

    /// Why no difference is told.
    pub fn without_difference(self) -> String {
        let sampled = self.text();
        if differences::are_comparable(self.bad, self.good) {
            format!("nothing stands out among {sampled}")
        } else {
            format!("too few to compare: {sampled}")
        }
    }
}
