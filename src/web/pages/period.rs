//! A window in words: a rolling one is told by its length, one of the calendar by its period.

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

/// The period of the calendar that an SLO is in.
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
    /// `None` of a window that rolls.
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

    /// `this month`.
    pub(crate) fn this(&self) -> String {
        format!("this {}", self.unit)
    }

    /// `a calendar month`.
    pub(crate) fn whole(&self) -> String {
        format!("a calendar {}", self.unit)
    }

    /// When it begins anew, by the calendar of its place: `Tue 1 Dec`.
    pub(crate) fn restart(&self) -> String {
        self.status.map_or_else(
            || format!("with the next {}", self.unit),
            |status| {
                let local = status.to.to_chrono().with_timezone(&self.zone);
                format!("on {}", local.format("%a %-d %b %Y"))
            },
        )
    }

    /// What the line of the budget is of.
    pub(crate) fn how(&self) -> String {
        format!(
            "The calendar {} in {}, whatever the range above. Its budget is a share of the events that it will have \
             at the usual traffic. Nothing ages out: the budget is whole again {}.",
            self.unit,
            self.time_zone,
            self.restart()
        )
    }
}

/// As the list of definitions has it.
pub(crate) fn declared(window: SloWindow) -> String {
    match window {
        SloWindow::Rolling(length) => format::window(length.as_secs()),
        SloWindow::Calendar(calendar) => calendar.to_string(),
    }
}
