//! The sentence that a page leads with: the state, since when, how fast, and when the budget is gone.

use std::time::Duration;

use super::summary::Summary;
use crate::domain::{
    alerting::{rule_status::BurnCondition, status::SloState},
    counting::customers::CustomerTotal,
    model::{format, time::Timestamp},
};

/// A verdict in words: the first sentence stands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) lead: String,
    pub(crate) rest: String,
}

/// For the SLO's own page.
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
            "A longer window or a lower objective gives a budget that can be spent.".to_owned(),
        ),
        Some(SloState::Rising) => rest.extend(rising(slo).or_else(|| too_young(slo))),
        Some(SloState::Recovering) => {
            rest.push("It resolves if that stays so.".to_owned());
        }
        Some(SloState::Ok) if slo.burn_rate_last_hour.is_some() => rest.push(format!(
            "The last hour burned at {}; 1× would spend exactly the budget in {}.",
            slo.burn_text(),
            slo.whole_text()
        )),
        Some(_) => {}
    }
    rest.extend(improving(slo));
    rest.extend(too_few_to_tell(slo));
    rest.extend(inhibited(slo));
    rest.extend(stale(slo));
    rest.extend(exhaustion(slo, now));
    rest.extend(last_hour(slo));
    rest.extend(customers(slo));
    Sentence {
        lead,
        rest: rest.join(" "),
    }
}

/// For the overview, after the SLO's name. `None` where nobody needs to look.
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
    let mut rest = vec![match slo.fired_limit() {
        Some(limit) => format!("Over its limit: {}.", limit.sentence()),
        None => format!("Burning {}.", slo.pace().1),
    }];
    rest.extend(exhaustion(slo, now));
    rest.extend(last_hour(slo));
    rest.extend(customers(slo));
    Some(Sentence {
        lead,
        rest: rest.join(" "),
    })
}

fn since(slo: &Summary, now: Timestamp) -> String {
    slo.began_at.map_or_else(String::new, |since| {
        format!(
            " since {}, {}",
            format::moment(since, now),
            format::lasting(now.saturating_since(since))
        )
    })
}

fn speed(slo: &Summary) -> String {
    if let Some(limit) = slo.fired_limit() {
        return limit.sentence();
    }
    let (rate, text) = slo.pace();
    match rate {
        Some(rate) if rate > 1.0 => format!("the budget burns {text} too fast"),
        Some(_) => format!("the budget burns at {text}"),
        None => "no event in the last hour".to_owned(),
    }
}

/// Which of its alerts notify nobody because another one fires.
fn inhibited(slo: &Summary) -> Option<String> {
    let severity = slo.inhibited.first()?;
    Some(format!(
        "Its {} notifies nobody: another alert that fires says the same.",
        severity.as_str()
    ))
}

fn too_few(slo: &Summary) -> String {
    let total = slo.evaluated_counts.total;
    let stands_for = slo.budget_volume().max(1.0);
    let budgets = 1.0 / (stands_for * slo.objective.budget_ratio());
    format!(
        "of {} in {}, one bad one would spend {budgets:.1} budgets",
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
        "The last {} are over {}, {} not yet: {} fires if it goes on.",
        format::window(rule.short.secs),
        format::factor(rule.factor),
        rule.long.lately(),
        rule.name,
    ))
}

/// The short window of the rule that fired, once it is below the factor.
fn improving(slo: &Summary) -> Option<String> {
    let rule = slo.fired_burn()?;
    let rate = rule.short.burn_rate.filter(|rate| *rate < rule.factor)?;
    Some(format!(
        "It is getting better: {} in {}.",
        format::burn_rate(rate, rule.factor),
        rule.short.lately()
    ))
}

/// A rule that is over its factor, in an SLO whose first event came only just.
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

/// A rule that would burn but for the least number of bad events.
fn too_few_to_tell(slo: &Summary) -> Option<String> {
    let rule = slo
        .rules
        .iter()
        .find(|rule| rule.condition == BurnCondition::TooFew)?;
    let counts = rule.long.counts;
    Some(format!(
        "Too few events to tell: {} is over {}, but by {} bad of {} in {}; at least {} bad ones are \
         needed.",
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
        "There are no data to judge it by since {}: that is not recovery.",
        format::time_of_day(since)
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
    let length = Duration::from_secs(secs);
    // A budget that outlasts its own window at this pace is in no danger.
    (secs < slo.window_seconds).then(|| {
        format!(
            "At this rate the last {} is gone {} (in {}).",
            slo.budget_text(),
            format::moment_in_words(at, now),
            format::lasting(length)
        )
    })
}

fn last_hour(slo: &Summary) -> Option<String> {
    let counts = slo.last_hour;
    if counts.bad == 0 || slo.state == Some(SloState::Ok) {
        return None;
    }
    let reasons: Vec<String> = [
        (counts.by_outcome.late, "late"),
        (counts.by_outcome.failed, "failed"),
        (counts.by_outcome.timeout, "never finished"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, word)| format!("{} {word}", format::count(n)))
    .collect();
    Some(format!(
        "In the last hour {} of {} were bad: {}.",
        format::count(counts.bad),
        format::count(counts.total),
        reasons.join(", ")
    ))
}

fn customers(slo: &Summary) -> Option<String> {
    let affected = slo.customers_affected_last_hour;
    let total = slo.customers_total_last_hour.as_ref();
    let people = CustomerTotal::people(affected, total)?;
    let verb = if affected == Some(1) { "is" } else { "are" };
    Some(format!("{people} {verb} affected."))
}

#[cfg(test)]
mod tests;
