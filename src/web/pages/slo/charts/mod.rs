//! The three charts of an SLO, each with a sentence that says the same.

pub(super) mod budget;

use std::time::Duration;

use self::budget::range;
use super::{Figure, view::SloView};
use crate::{
    domain::{
        alerting::{
            alert::TransitionKind,
            burn_rate::{BurnContext, BurnRate, Window},
            change_event::ChangeEvent,
        },
        counting::series::Series,
        model::{counts::EventCounts, format, time::TimeRange},
        slo::{AlertRule, Severity, Slo},
    },
    web::{
        chart::{
            self, AlertTick, BudgetChart, BurnChart, BurnPoint, EventMark, FactorLine, Future,
        },
        reader::times,
    },
};

const HOUR: Duration = Duration::from_hours(1);

pub(super) struct SloCharts {
    pub(super) budget: Figure,
    pub(super) futures: Vec<FutureKey>,
    pub(super) burn: Figure,
    pub(super) burn_windows: String,
    pub(super) burn_reading: String,
    pub(super) reasons: Figure,
    pub(super) reasons_reading: String,
    pub(super) bar: String,
    pub(super) range_counts: EventCounts,
}

/// A forecast in words, for the legend of the chart.
pub(super) struct FutureKey {
    pub(super) letter: &'static str,
    pub(super) class: &'static str,
    pub(super) text: String,
    pub(super) end: String,
}

impl SloCharts {
    pub(super) fn draw(slo: &Slo, view: &SloView) -> Self {
        let futures = futures(view);
        let keys = keys(&futures, view);
        let range_counts = view.past.bars.sum(0, view.past.bars.len());
        let since = times::named(view.past.bars.time(0), view.as_of);
        let reasons_reading = format!(
            "{} of {} bad since {since}",
            format::count(range_counts.bad()),
            format::count(range_counts.total())
        );
        let rule = slo.alerting.rules.first();
        Self {
            budget: budget(slo, view, futures, &keys).draw(),
            futures: keys,
            burn: burn(slo, view).draw(),
            burn_windows: windows(rule, view),
            burn_reading: reading(view, rule),
            reasons: chart::reasons(
                &view.past.bars,
                &format!(
                    "Bad events by reason since {since}: {} late, {} failed, {} never finished.",
                    format::count(range_counts.late),
                    format::count(range_counts.failed),
                    format::count(range_counts.timeout),
                ),
            ),
            reasons_reading,
            bar: format::duration(view.past.bars.step()),
            range_counts,
        }
    }

    /// Returns whether the range has any event to draw.
    pub(super) fn has_events(&self) -> bool {
        self.range_counts.total() > 0
    }

    pub(super) fn late_text(&self) -> String {
        format::count(self.range_counts.late)
    }

    pub(super) fn failed_text(&self) -> String {
        format::count(self.range_counts.failed)
    }

    pub(super) fn timeout_text(&self) -> String {
        format::count(self.range_counts.timeout)
    }
}

/// Makes the forecasts. A continues the rate that the page names, from which the end of the budget
/// is computed. B assumes no further bad events, and is the only one once the budget is spent. Both
/// assume the same traffic, so that A never ends above B.
fn futures(view: &SloView) -> Vec<Future> {
    if view.summary.budget_remaining_ratio.is_none() {
        return Vec::new();
    }
    let future = |letter, class, pace| Future {
        letter,
        class,
        points: view
            .burn
            .forecast(pace, &view.ageing)
            .into_iter()
            .map(|(ahead, left)| (view.as_of + ahead, left))
            .collect(),
    };
    let pace = view
        .summary
        .burn_rate()
        .filter(|_| !view.summary.is_spent());
    let goes_on = pace.map(|pace| future("A", "la", pace));
    let stops = future("B", "lc", BurnRate::NONE);
    goes_on.into_iter().chain([stops]).collect()
}

fn keys(futures: &[Future], view: &SloView) -> Vec<FutureKey> {
    let text = |letter| match letter {
        "A" => format!("the rate of {} continues", view.summary.pace.lately()),
        _ => "the burn stops now".to_owned(),
    };
    futures
        .iter()
        .map(|future| FutureKey {
            letter: future.letter,
            class: future.class,
            text: text(future.letter),
            end: outcome(future, view),
        })
        .collect()
}

fn outcome(future: &Future, view: &SloView) -> String {
    let at_last = future.points.last().map_or_else(String::new, |(at, left)| {
        let day = times::day(*at);
        format!("{} by {day}", format::budget(*left))
    });
    if view.summary.is_spent() {
        let back = future.points.iter().find(|point| point.1 > 0.0);
        return back.map_or_else(
            || format!("still {at_last}"),
            |(at, _)| {
                format!(
                    "back above zero {}",
                    times::moment_in_words(*at, view.as_of)
                )
            },
        );
    }
    match view.summary.budget_empty_at {
        Some(at) if future.letter == "A" => {
            format!("empty {}", times::moment_in_words(at, view.as_of))
        }
        _ => at_last,
    }
}

fn budget(slo: &Slo, view: &SloView, futures: Vec<Future>, keys: &[FutureKey]) -> BudgetChart {
    let outcomes: Vec<String> = keys
        .iter()
        .map(|key| format!("if {}: {}", key.text, key.end))
        .collect();
    BudgetChart {
        now: view.as_of,
        range: range(slo, view.as_of),
        step: view.past.budget.step,
        points: view
            .budget_history
            .iter()
            .map(|point| (point.at, point.budget_remaining_ratio))
            .collect(),
        futures,
        alerts: view
            .transitions
            .iter()
            .filter(|transition| transition.kind == TransitionKind::Firing)
            .map(|transition| AlertTick {
                at: transition.at,
                severity: transition.severity,
            })
            .collect(),
        events: marks(view),
        sentence: format!(
            "Error budget left over {}: now {}. {}",
            view.summary.reach_text(),
            view.summary.budget_text(),
            outcomes.join("; ")
        ),
    }
}

fn burn(slo: &Slo, view: &SloView) -> BurnChart {
    let series = &view.past.range;
    let (long, short) = lengths(slo);
    let range = TimeRange::ending_at(series.time(series.len()), view.range.length());
    let last = view.burn_history.last();
    BurnChart {
        range,
        step: series.step(),
        points: view.burn_history.clone(),
        thresholds: thresholds(slo),
        budget_ratio: slo.objective.budget_ratio(),
        fired_at: view.summary.fired_at.filter(|since| *since < range.to),
        events: marks(view),
        sentence: format!(
            "Burn rate over the last {}: now {} over {} and {} over {}, on a logarithmic scale.",
            view.range.text(),
            format::burn_rate(last.and_then(|point| point.long), None),
            format::duration(long),
            format::burn_rate(last.and_then(|point| point.short), None),
            format::duration(short),
        ),
    }
}

fn marks(view: &SloView) -> Vec<EventMark> {
    let mark = |event: &ChangeEvent| EventMark {
        at: event.at,
        text: format!(
            "{} {} {}",
            times::moment(event.at, view.as_of),
            event.kind.as_str(),
            event.title
        ),
    };
    view.events.iter().map(mark).collect()
}

fn lengths(slo: &Slo) -> (Duration, Duration) {
    let rule = slo.alerting.rules.first();
    rule.map_or((HOUR, HOUR / 12), |rule| (rule.long, rule.short))
}

/// Returns both windows of the first rule at every point of `range`, as rules compute them;
/// `series` begins one long window earlier.
pub(super) fn burn_history(
    slo: &Slo,
    burn: &BurnContext,
    series: &Series,
    range: Duration,
) -> Vec<BurnPoint> {
    let (long, short) = lengths(slo);
    let from = series.time(series.len()) - range;
    (0..=series.len())
        .map(|end| (series.time(end), end))
        .filter(|(at, _)| *at >= from)
        .map(|(at, end)| {
            let long = Window {
                length: long.max(series.step()),
                counts: series.trailing(end, long),
            };
            let rates = burn.burn_rates(long, series.trailing(end, short));
            BurnPoint {
                at,
                long: rates.long.map(BurnRate::value),
                short: rates.short.map(BurnRate::value),
            }
        })
        .collect()
}

fn thresholds(slo: &Slo) -> Vec<FactorLine> {
    let mut thresholds: Vec<FactorLine> = slo
        .alerting
        .rules
        .iter()
        .map(|rule| FactorLine {
            factor: rule.factor,
            severity: rule.severity,
            label: format!(
                "{} {} on {}",
                format::factor(rule.factor),
                match rule.severity {
                    Severity::Page => "pages",
                    Severity::Ticket => "ticket",
                },
                format::duration(rule.long),
            ),
        })
        .collect();
    thresholds.sort_by(|a, b| b.factor.total_cmp(&a.factor));
    thresholds
}

fn windows(rule: Option<&AlertRule>, view: &SloView) -> String {
    rule.map_or_else(String::new, |rule| {
        let step = view.past.range.step();
        format!(
            "Thick: {} window; thin: {}.",
            format::duration(rule.long.max(step)),
            format::duration(rule.short.max(step))
        )
    })
}

fn reading(view: &SloView, rule: Option<&AlertRule>) -> String {
    let status = rule.and_then(|rule| {
        view.summary
            .rules
            .iter()
            .find(|status| status.name == rule.name)
    });
    status.map_or_else(String::new, |status| {
        format!(
            "{} over {} · {} over {}",
            format::burn_rate(status.long.burn_rate, status.factor),
            status.long.text(),
            format::burn_rate(status.short.burn_rate, status.factor),
            status.short.text()
        )
    })
}
