//! The window of an SLO in words: the length of a rolling window, or the calendar period.

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{
    alerting::status::PeriodStatus,
    model::{
        format,
        window::{Calendar, SloWindow},
    },
    slo::Slo,
};

/// The current calendar period of an SLO.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct PeriodView {
    unit: &'static str,
    time_zone: &'static str,
    /// `None` before the first evaluation.
    #[serde(flatten)]
    pub(crate) status: Option<PeriodStatus>,
    #[serde(skip)]
    zone: Tz,
}

impl PeriodView {
    /// Returns `None` for a rolling window.
    pub(crate) fn new(slo: &Slo, status: Option<PeriodStatus>) -> Option<Self> {
        match slo.window {
            SloWindow::Rolling(_) => None,
            SloWindow::Calendar(Calendar { unit, zone }) => Some(Self {
                unit: unit.as_str(),
                time_zone: zone.name(),
                status,
                zone,
            }),
        }
    }

    /// Formats `this month`.
    pub(crate) fn this(&self) -> String {
        format!("this {}", self.unit)
    }

    /// Formats `a calendar month`.
    pub(crate) fn whole(&self) -> String {
        format!("a calendar {}", self.unit)
    }

    /// Formats when the next period begins, in the SLO's time zone: `Tue 1 Dec`.
    pub(crate) fn restart(&self) -> String {
        self.status.map_or_else(
            || format!("with the next {}", self.unit),
            |status| {
                let local = status.to.to_chrono().with_timezone(&self.zone);
                format!("on {}", local.format("%a %-d %b %Y"))
            },
        )
    }

    /// Describes the line of the budget.
    pub(crate) fn how(&self) -> String {
        format!(
            "The calendar {} in {}, regardless of the range above. The budget is a share of the events expected in all of it at the usual traffic. It is reset {}.",
            self.unit,
            self.time_zone,
            self.restart()
        )
    }
}

/// Formats a window for the list of definitions.
pub(crate) fn declared(window: SloWindow) -> String {
    match window {
        SloWindow::Rolling(length) => format::window(length.as_secs()),
        SloWindow::Calendar(calendar) => calendar.to_string(),
    }
}
