//! The context of the numbers in a message: their trend, other changes, and the most affected
//! customers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RecentChange, Trend};
use crate::domain::{
    counting::differences,
    model::{format, time::Timestamp},
};

/// Stored with the snapshot; empty in those of versions that did not have it.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// At most three, in the order of time.
    pub changes: Vec<RecentChange>,
    pub trend: Option<Trend>,
    /// At most three, most bad events first; only if the definition allows them in messages.
    pub top_customers: Vec<TopCustomer>,
    /// The number of events among which the differences were found.
    pub compared: Option<Compared>,
    /// The time until which there are data of the SLO: the end of its newest minute with an event.
    pub data_until: Option<Timestamp>,
}

/// A customer as the definition allows messages to name it, and its bad events in the long window.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct TopCustomer {
    pub customer: String,
    pub bad: i64,
}

/// The number of sampled events of either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Compared {
    pub bad: usize,
    pub good: usize,
}

impl Compared {
    /// Formats as `208 bad and 200 good`.
    pub fn text(self) -> String {
        let [bad, good] = [self.bad, self.good]
            .map(|events| format::count(i64::try_from(events).unwrap_or(i64::MAX)));
        format!("{bad} bad and {good} good")
    }

    /// Returns why no difference is shown.
    pub fn without_difference(self) -> String {
        let sampled = self.text();
        if differences::are_comparable(self.bad, self.good) {
            format!("no significant difference among {sampled}")
        } else {
            format!("too few to compare: {sampled}")
        }
    }
}
