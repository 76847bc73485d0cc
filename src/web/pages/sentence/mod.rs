//! The first sentence of a page: the state, since when, how fast the budget burns, and when it is
//! exhausted.

use std::time::Duration;

use super::summary::Summary;
use crate::{
    domain::{
        alerting::{rule_status::BurnCondition, status::SloState},
        model::{format, time::Timestamp},
        notify::wording,
    },
    web::reader::times,
};

/// A verdict in words; the first sentence is emphasised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) lead: String,
    pub(crate) rest: String,
}

/// Returns the verdict for the SLO's own page.
pub(crate) fn verdict(slo: &Summary, now: Timestamp) -> Sentence {
    let lead = match slo.state {
        None => "Not evaluated yet.".to_owned(),
        Some(SloState::Paging) => format!("Paging{}: {}.", since(slo, now), speed(slo)),
        Some(SloState::Ticket) => format!("Ticket{}: {}.", since(slo, now), speed(slo)),
        Some(SloState::Rising) => format!("Rising: {}.", speed(slo)),
        Some(SloState::Recovering) => {
            format!("Recovering{}: no rule burns any more.", since(slo, now))
        }
        Some(SloState::NoData) => format!("No data: no event in {}.", slo.reach_text()),
        Some(SloState::TooFew) => format!("Too few events to judge: {}.", too_few(slo)),
        Some(SloState::Ok) if slo.is_spent() => {
            "OK: no rule burns, but the error budget is spent.".to_owned()
        }
        Some(SloState::Ok) => format!("OK: {} of the error budget is left.", slo.budget_text()),
    };
    let mut rest: Vec<String> = Vec::new();
    match slo.state {
        None => rest.push("The first evaluation follows within seconds of the start.".to_owned()),
        Some(SloState::NoData) => rest.push(
            "No data is not healthy: check that the selectors match what your services send."
                .to_owned(),
        ),
        Some(SloState::TooFew) => rest.push(
            "A longer window or a lower objective gives a budget of at least one event.".to_owned(),
        ),
        Some(SloState::Rising) => rest.extend(rising(slo).or_else(|| too_young(slo))),
        Some(SloState::Ok) if slo.burn_rate_last_hour.is_some() => rest.push(format!(
            "The last hour burned at {}; 1× would spend exactly the budget in {}.",
            slo.burn_text(),
            slo.whole_text()
        )),
        Some(_) => {}
    }
    rest.extend(improving(slo, now));
    rest.extend(too_few_to_tell(slo));
    rest.extend(inhibited(slo));
    rest.extend(stale(slo));
    rest.extend(exhaustion(slo, now));
    rest.extend(bad(slo));
    rest.extend(customers(slo));
    Sentence {
        lead,
        rest: rest.join(" "),
    }
}

/// Returns the verdict for the overview, to follow the SLO's name. `None` if no one needs to act.
pub(crate) fn urgent(slo: &Summary, now: Timestamp) -> Option<Sentence> {
    let lead = match slo.state? {
        SloState::Paging if slo.is_spent() => {
            format!("pages{} and has spent its budget.", since(slo, now))
        }
        SloState::Paging => format!("pages{}.", since(slo, now)),
        SloState::Ticket if slo.is_spent() => {
            format!("has spent its budget ({}).", slo.budget_text())
        }
        SloState::Ticket => format!("has a ticket open{}.", since(slo, now)),
        _ => return None,
    };
    let mut rest: Vec<String> = course(slo, now).into_iter().collect();
    rest.extend(bad(slo));
    rest.extend(customers(slo));
    Some(Sentence {
        lead,
        rest: rest.join(" "),
    })
}

/// Describes the development of a firing alert: how fast it burns, whether it improves, and how
/// long the budget lasts.
pub(crate) fn course(slo: &Summary, now: Timestamp) -> Option<String> {
    slo.state?;
    let speed = match slo.fired_limit() {
        Some(limit) => format!("Over its limit: {}.", limit.sentence()),
        None => format!("Burning {}.", slo.burn_text()),
    };
    let all = [Some(speed), improving(slo, now), exhaustion(slo, now)];
    let all: Vec<String> = all.into_iter().flatten().collect();
    Some(all.join(" "))
}

fn since(slo: &Summary, now: Timestamp) -> String {
    slo.began_at.map_or_else(String::new, |since| {
        format!(
            " since {}, {}",
            times::moment(since, now),
            format::lasting(now.saturating_since(since))
        )
    })
}

fn speed(slo: &Summary) -> String {
    if let Some(limit) = slo.fired_limit() {
        return limit.sentence();
    }
    let text = slo.burn_text();
    let then = slo.burn_text_at_firing().filter(|then| *then != text);
    let then = then.map_or_else(String::new, |then| format!(", {then} when it fired"));
    match slo.pace.burn_rate {
        Some(rate) if rate > 1.0 => format!("the budget burns {text} too fast{then}"),
        Some(_) => format!("the budget burns at {text}{then}"),
        None => format!("no event in {}", slo.pace.lately()),
    }
}

/// Names the alerts that are inhibited by another one.
fn inhibited(slo: &Summary) -> Option<String> {
    let severity = slo.inhibited.first()?;
    Some(format!(
        "Its {} is not sent, because another alert that fires covers it.",
        severity.as_str()
    ))
}

fn too_few(slo: &Summary) -> String {
    let total = slo.evaluated_counts.total;
    let stands_for = slo.budget_volume().max(1.0);
    let budgets = 1.0 / (stands_for * slo.objective.budget_ratio());
    format!(
        "with {} in {}, a single bad one would spend {budgets:.1} times the budget",
        format::counted(total, "event"),
        slo.window_text()
    )
}

fn rising(slo: &Summary) -> Option<String> {
    let rule = slo
        .rules
        .iter()
        .find(|rule| rule.condition == BurnCondition::Rising)?;
    Some(format!(
        "The burn rate over the last {} is above {}, over {} not yet: {} fires if this continues.",
        format::window(rule.short.secs),
        format::factor(rule.factor),
        rule.long.lately(),
        rule.name,
    ))
}

/// Names the short window of the rule that fired, if it is below the factor; and since when no rule
/// burns, and when the alert then resolves.
fn improving(slo: &Summary, now: Timestamp) -> Option<String> {
    let fired = slo.fired_burn();
    let rate = fired.and_then(|rule| Some((rule, rule.short.burn_rate?)));
    let rate = rate
        .filter(|(rule, rate)| *rate < rule.factor)
        .map(|(rule, rate)| {
            let rate = format::burn_rate(rate, rule.factor);
            format!("{rate} in {}", rule.short.lately())
        });
    let Some(recovery) = slo.recovery else {
        return rate.map(|rate| format!("It is getting better: {rate}."));
    };
    let rate = rate.map_or_else(String::new, |rate| format!(" ({rate})"));
    Some(format!(
        "It has been getting better since {}{rate}, and resolves at about {} if this continues.",
        times::moment(recovery.since, now),
        times::moment(recovery.resolves_at, now),
    ))
}

/// Describes a rule over its factor, in an SLO whose first event is too recent.
fn too_young(slo: &Summary) -> Option<String> {
    let rule = slo
        .rules
        .iter()
        .find(|rule| rule.condition == BurnCondition::TooYoung)?;
    Some(format!(
        "Too new to alert: {} needs {} of events, and the first came {} ago.",
        rule.name,
        format::window(rule.short.secs),
        format::lasting(Duration::from_secs(rule.short.since_first_event_secs?)),
    ))
}

/// Describes a rule that does not burn only because there are too few bad events.
fn too_few_to_tell(slo: &Summary) -> Option<String> {
    let rule = slo
        .rules
        .iter()
        .find(|rule| rule.condition == BurnCondition::TooFew)?;
    let counts = rule.long.counts;
    Some(format!(
        "Too few events: {} is above {}, but with only {} bad of {} in {}; at least {} bad ones are needed.",
        rule.name,
        format::factor(rule.factor),
        format::count(counts.bad()),
        format::count(counts.total()),
        rule.long.text(),
        slo.least_bad_events,
    ))
}

fn stale(slo: &Summary) -> Option<String> {
    let alerts = slo.alerts.iter();
    let since = alerts
        .filter_map(|alert| alert.progress.data_stale_since)
        .min()?;
    Some(format!(
        "No data since {}, so it is unknown whether it has recovered.",
        times::time_of_day(since)
    ))
}

fn exhaustion(slo: &Summary, now: Timestamp) -> Option<String> {
    if slo.is_spent() {
        return Some(format!(
            "The budget is spent: {} bad, {} allowed.",
            format::count(slo.budget_used_events()),
            format::count(slo.budget_events)
        ));
    }
    let (at, secs) = slo.budget_empty_at.zip(slo.budget_empty_in_seconds)?;
    Some(format!(
        "At this rate the last {} is gone {} (in {}).",
        slo.budget_text(),
        times::moment_in_words(at, now),
        format::lasting(Duration::from_secs(secs))
    ))
}

/// Returns the number of bad events and their reasons, in the window of the burn rate.
fn bad(slo: &Summary) -> Option<String> {
    let counts = slo.pace.counts;
    if counts.bad() == 0 || slo.state == Some(SloState::Ok) {
        return None;
    }
    Some(format!(
        "In {} {} of {} were bad: {}.",
        slo.pace.lately(),
        format::count(counts.bad()),
        format::count(counts.total()),
        wording::reasons(counts)
    ))
}

fn customers(slo: &Summary) -> Option<String> {
    Some(format!("Affected: {}.", slo.people_text()?))
}

#[cfg(test)]
mod one_value;
#[cfg(test)]
mod tests;
