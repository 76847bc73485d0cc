//! Planned work in what the pages show: taken out of the numbers, and told with its reason.

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

/// Occurrences that are told, the latest ones.
const MOST: usize = 20;

/// One stretch whose events are left out.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub(crate) struct ExclusionView {
    pub(crate) name: String,
    pub(crate) reason: String,
    from: Timestamp,
    to: Timestamp,
}

impl ExclusionView {
    /// The latest that lie in `range`, latest first.
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
