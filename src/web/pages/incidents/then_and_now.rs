//! The numbers of an incident when it fired, beside those of now or of its end.

use std::time::Duration;

use super::view::IncidentView;
use crate::{
    domain::{
        alerting::snapshot::AlertSnapshot,
        model::format::{self, NONE},
        notify::wording,
    },
    web::{pages::summary::Summary, reader::times},
};

/// A number then and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ThenAndNow {
    pub(super) title: &'static str,
    pub(super) then: String,
    pub(super) now: String,
}

/// Returns the title of the second column.
pub(super) fn now_title(view: &IncidentView) -> String {
    let at = |text: &str| {
        format!(
            "{text}, {}",
            times::moment(view.last.evaluated_at, view.as_of)
        )
    };
    match (view.ended_at, &view.live) {
        (None, Some(_)) => "Now".to_owned(),
        (Some(_), _) => at("At its end"),
        (None, None) => at("Last notification"),
    }
}

pub(super) fn rows(view: &IncidentView) -> Vec<ThenAndNow> {
    let (then, last) = (&view.alert_at_firing, &view.last);
    let titles = titles(then);
    let now = view.live.as_ref().map_or_else(|| notified(last), measured);
    let then = notified(then);
    let rows = titles.into_iter().zip(then).zip(now);
    rows.filter(|((_, then), now)| then != NONE || now != NONE)
        .map(|((title, then), now)| ThenAndNow { title, then, now })
        .collect()
}

const fn titles(then: &AlertSnapshot) -> [&'static str; 8] {
    [
        "Bad",
        "Customers",
        wording::burn_title(then),
        "Budget left",
        "Budget empty in",
        "Never finished",
        "In flight",
        "Overdue",
    ]
}

/// Returns the values of a notification, which has none for workflows in flight.
fn notified(facts: &AlertSnapshot) -> [String; 8] {
    let none = || NONE.to_owned();
    let empty_in = facts.budget_empty_in_secs;
    [
        format!("{} in {}", wording::share(facts), facts.long.lately()),
        wording::people(facts).unwrap_or_else(none),
        wording::burn(facts),
        format::budget(facts.budget_remaining),
        empty_in.map_or_else(none, |secs| format::lasting(Duration::from_secs(secs))),
        format::count(facts.long.counts.timeout),
        none(),
        none(),
    ]
}

fn measured(live: &Summary) -> [String; 8] {
    [
        live.bad_text(),
        live.people_text().unwrap_or_else(|| NONE.to_owned()),
        live.rule_text(),
        live.budget_text(),
        live.empty_in_text(),
        live.never_finished.text(),
        live.in_flight_text(),
        live.overdue_text(),
    ]
}
