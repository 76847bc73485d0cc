//! Planned work on pages: excluded from the numbers, and listed with its reason.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        model::{
            format,
            time::{TimeRange, Timestamp},
        },
        slo::Slo,
    },
    web::reader::times,
};

/// The maximum number of listed occurrences, the latest ones.
const MOST: usize = 20;

/// A time range whose events are excluded.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub(crate) struct ExclusionView {
    pub(crate) name: String,
    pub(crate) reason: String,
    from: Timestamp,
    to: Timestamp,
}

impl ExclusionView {
    /// Returns the latest that lie in `range`, latest first.
    pub(crate) fn all(slo: &Slo, range: TimeRange) -> Vec<Self> {
        let each = slo.exclusions.iter().flat_map(|exclusion| {
            exclusion.within(range).map(|stretch| Self {
                name: exclusion.name.to_string(),
                reason: exclusion.reason.clone(),
                from: stretch.from,
                to: stretch.to,
            })
        });
        let mut all: Vec<Self> = each.collect();
        all.sort_by_key(|view| std::cmp::Reverse((view.from, view.to)));
        all.truncate(MOST);
        all
    }

    pub(crate) fn time_text(&self, now: Timestamp) -> String {
        format!(
            "{}, {}",
            times::moment(self.from, now),
            format::lasting(self.to.saturating_since(self.from))
        )
    }
}
