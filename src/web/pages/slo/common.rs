//! The attributes that bad events have in common, compared with good events of the same time.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{
        counting::differences::{Difference, differences},
        model::format,
        slo::Slo,
    },
    store::EventSample,
    web::{
        chart::{Markup, dumbbell},
        state::WebState,
    },
};

/// The maximum number of rows of the table.
const MOST: usize = 8;

/// The attributes that distinguish bad events from good ones, in a sample of both.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct InCommon {
    bad_sampled: usize,
    good_sampled: usize,
    pub(super) differences: Vec<DifferenceView>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(transparent)]
pub(super) struct DifferenceView(Difference);

impl InCommon {
    pub(super) fn new(state: &WebState, slo: &Slo, sample: &EventSample) -> Self {
        let found = differences(&sample.bad, &sample.good, MOST);
        let found = state.shown(&slo.name, found);
        Self {
            bad_sampled: sample.bad.len(),
            good_sampled: sample.good.len(),
            differences: found.into_iter().map(DifferenceView).collect(),
        }
    }

    /// Formats the size of the samples: `208 bad and 200 good events`.
    pub(super) fn sampled_text(&self) -> String {
        format!(
            "{} bad and {} good events",
            count(self.bad_sampled),
            count(self.good_sampled)
        )
    }

    /// Returns why the table is empty.
    pub(super) fn empty_text(&self) -> &'static str {
        match (self.bad_sampled, self.good_sampled) {
            (0, _) => "The sample has no bad event of the last hour.",
            (1..5, _) | (_, 0..5) => {
                "Too few events to compare: at least five bad and five good ones are needed."
            }
            _ => "No attribute is clearly more frequent among bad events than among good ones.",
        }
    }
}

impl DifferenceView {
    pub(super) fn attribute(&self) -> &str {
        &self.0.attribute
    }

    pub(super) fn value(&self) -> &str {
        &self.0.value
    }

    pub(super) fn bad_text(&self) -> String {
        format::percent(self.0.bad_ratio)
    }

    pub(super) fn good_text(&self) -> String {
        format::percent(self.0.good_ratio)
    }

    pub(super) fn mark(&self) -> Markup {
        let sentence = format!(
            "{} of bad, {} of good events",
            self.bad_text(),
            self.good_text()
        );
        dumbbell(self.0.bad_ratio, self.0.good_ratio, &sentence)
    }
}

fn count(n: usize) -> String {
    format::count(i64::try_from(n).unwrap_or(i64::MAX))
}
