//! Alert policies, notification targets and fallbacks.

pub(super) mod apply;
pub(super) mod fallback;
mod limit;
pub(super) mod policy;
mod report;
pub(super) mod target;

use std::time::Duration;

use crate::domain::{
    model::objective::Objective,
    slo::{
        Indicator,
        definition::{diagnostics::SourceSpan, fields::Fields, value::Checked},
    },
};

/// The objective and window that rules apply to, and their position in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BudgetTerms {
    objective: Objective,
    pub(crate) window: Duration,
    pub(crate) names_customers: bool,
    pub(crate) has_deadline: bool,
    place: SourceSpan,
    window_place: SourceSpan,
}

impl BudgetTerms {
    pub(super) fn of(
        fields: &Fields<'_>,
        objective: Checked<Objective>,
        window: Checked<Duration>,
        indicator: Option<&Indicator>,
    ) -> Checked<Self> {
        Ok(Self {
            objective: objective?,
            window: window?,
            names_customers: fields.has("customer"),
            has_deadline: !matches!(indicator, Some(Indicator::Span(_))),
            place: fields.at("objective"),
            window_place: fields.at("window"),
        })
    }
}
