//! The facts in words: first the people, then the pace, then the place.
//!
//! Only [`headline`] contains strings that a user wrote, and they are cleaned; the rest is made of
//! numbers and may stand in any markup.

use std::time::Duration;

mod alert_update;
mod detection;

pub use detection::detection;

use super::{MessageNote, RenderContext};
use crate::domain::{
    alerting::{
        alert::{AlertUpdate, EpisodeEnd, TransitionKind},
        limit::LimitStatus,
        rule_status::WindowStatus,
        snapshot::{AlertSnapshot, Before, EpisodeSummary, SlowestStage},
    },
    counting::{customers::CustomerTotal, differences::Difference},
    model::{counts::EventCounts, format, text},
    slo::Severity,
    workflow::Outcome,
};

/// Which group it is must be readable in full if so much of the name is left beside it.
const SHORTEST_NAME: usize = 6;
/// As much as a phone shows of a push message.
const HEADLINE_CHARS: usize = 150;

/// One line that can be read aloud, at most 150 characters.
pub fn headline(facts: &AlertSnapshot) -> String {
    let lead = match (facts.kind, facts.development) {
        (TransitionKind::Resolved, _) => resolved_lead(facts),
        (_, Some(development)) => development_lead(facts, development),
        (_, None) => firing_lead(facts),
    };
    let lead = if facts.is_test {
        format!("TEST {lead}")
    } else {
        lead
    };
    let room = HEADLINE_CHARS.saturating_sub(lead.chars().count() + 2);
    let place = place(facts, room);
    text::plain(&format!("{lead}: {place}"), HEADLINE_CHARS)
}

/// The SLO's name and, of a group, which it is, in at most `max` characters: of two groups of one SLO a
/// name that fills the line must not hide which one it is.
pub fn place(facts: &AlertSnapshot, max: usize) -> String {
    let Some(group) = &facts.group else {
        return text::plain(&facts.display_name, max);
    };
    let in_full = group.text();
    let group = if in_full.chars().count() <= max / 2 {
        text::plain(&in_full, max / 2)
    } else {
        let values = group.values_text();
        let fits = values.chars().count() + SHORTEST_NAME <= max;
        text::plain(&values, if fits { max } else { max * 2 / 3 })
    };
    let room = max.saturating_sub(group.chars().count() + 2);
    match text::plain(&facts.display_name, room) {
        name if name.chars().count() > 1 => format!("{name}, {group}"),
        _ => group,
    }
}

/// `PAGE 412 of 9,120 customers, 1,240 of 9,310 workflows bad (13.3 %) in 1 h, mostly late; budget gone in
/// 4 h 52 min`.
fn firing_lead(facts: &AlertSnapshot) -> String {
    if let Some(limit) = &facts.limit {
        return limit_lead(facts, limit);
    }
    let people = people(facts).map_or_else(String::new, |who| format!("{who}, "));
    let window = facts.long.text();
    format!(
        "{}{} {people}{} in {window}{}; {}",
        urgency(facts.severity),
        again(facts),
        share(facts),
        mainly(facts.long.counts),
        pace(facts),
    )
}

/// ` again (3rd time today)`.
pub fn again(facts: &AlertSnapshot) -> String {
    facts.nth_today.map_or_else(String::new, |nth| match nth {
        // The last time began yesterday.
        0 | 1 => " again".to_owned(),
        nth => format!(" again ({} time today)", format::ordinal(nth)),
    })
}

/// `PAGE 92 % of the budget spent, limit 90 %; 40 of 310 workflows bad (12.9 %) in 1 h, mostly late`.
fn limit_lead(facts: &AlertSnapshot, limit: &LimitStatus) -> String {
    let urgency = urgency(facts.severity);
    let lead = format!("{urgency}{} {}", again(facts), limit.sentence());
    if facts.long.counts.total() <= 0 {
        return lead;
    }
    format!(
        "{lead}; {} in {}{}",
        share(facts),
        facts.long.text(),
        mainly(facts.long.counts)
    )
}

/// `PAGE still firing since 04:12 UTC, not acknowledged; 1,240 of 9,310 workflows bad (13.3 %) in 1 h`.
fn development_lead(facts: &AlertSnapshot, development: AlertUpdate) -> String {
    let now = match (&facts.limit, facts.long.counts.total()) {
        (Some(limit), ..=0) => limit.sentence(),
        _ => format!("{} in {}", share(facts), facts.long.text()),
    };
    let lead = development.lead(facts);
    // What was known last belongs into its sentence, what is known now stands on its own.
    let joint = match development {
        AlertUpdate::DataStopped { .. } | AlertUpdate::Acknowledged => " ",
        AlertUpdate::MoreCustomers { .. }
        | AlertUpdate::BudgetSpent
        | AlertUpdate::DataResumed { .. }
        | AlertUpdate::Unmuted { .. }
        | AlertUpdate::Reminded => "; ",
    };
    format!("{} {lead}{joint}{now}", urgency(facts.severity))
}

/// What has come of an alert that fires on, in a sentence or two; nothing of a beginning or an end.
pub fn development(facts: &AlertSnapshot) -> Option<String> {
    Some(facts.development?.text(facts))
}

fn resolved_lead(facts: &AlertSnapshot) -> String {
    facts.episode_summary.as_ref().map_or_else(
        || "Resolved".to_owned(),
        |episode| {
            format!(
                "{} after {}{}",
                ending(facts),
                cost(facts, episode),
                doubt(episode)
            )
        },
    )
}

/// `, as far as can be told; 8 % cannot be used`.
fn doubt(episode: &EpisodeSummary) -> String {
    episode.unusable.map_or_else(String::new, |share| {
        let share = format::percent(share);
        format!(", as far as can be told; {share} cannot be used")
    })
}

/// Who has taken it on, as they are called by whoever vouches for them.
pub fn acknowledged_by(facts: &AlertSnapshot) -> Option<&str> {
    facts.acknowledged.as_ref()?.by.as_deref()
}

/// What a resolve may claim: that it is over only where that was seen.
pub fn ending(facts: &AlertSnapshot) -> &'static str {
    match facts
        .episode_summary
        .as_ref()
        .map(|episode| episode.ended_by)
    {
        Some(EpisodeEnd::Undeclared) => "No longer watched",
        Some(EpisodeEnd::Recovered) | None => "Resolved",
    }
}

/// `PAGE` or `TICKET`.
pub const fn urgency(severity: Severity) -> &'static str {
    match severity {
        Severity::Page => "PAGE",
        Severity::Ticket => "TICKET",
    }
}

/// `412 of 9,120 customers`; nothing where none is known.
pub fn people(facts: &AlertSnapshot) -> Option<String> {
    CustomerTotal::people(facts.customers_affected, facts.customers_total.as_ref())
}

/// What an event of this SLO is called: `workflows`.
pub const fn noun(facts: &AlertSnapshot) -> &'static str {
    match facts.within_secs {
        Some(_) => "workflows",
        None => "events",
    }
}

/// `99 % of bad, 34 % of good`.
pub fn shares(difference: &Difference) -> String {
    format!(
        "{} of bad, {} of good",
        format::percent(difference.bad_ratio),
        format::percent(difference.good_ratio)
    )
}

/// `1,240 of 9,310 workflows bad (13.3 %)`, in the long window.
pub fn share(facts: &AlertSnapshot) -> String {
    let counts = facts.long.counts;
    let percent = counts.bad_ratio().map_or_else(String::new, |ratio| {
        format!(" ({})", format::percent(ratio))
    });
    format!(
        "{} of {} {} bad{percent}",
        format::count(counts.bad()),
        format::count(counts.total()),
        noun(facts),
    )
}

/// `900 late, 300 failed, 40 never finished`: what there is, most first.
pub fn reasons(counts: EventCounts) -> String {
    let named: Vec<String> = by_reason(counts)
        .iter()
        .map(|(count, reason)| format!("{} {reason}", format::count(*count)))
        .collect();
    named.join(", ")
}

/// An outcome as a word in a sentence.
pub const fn reason(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Open => "open",
        Outcome::Good => "good",
        Outcome::Late => "late",
        Outcome::Failed => "failed",
        Outcome::Timeout => "never finished",
        Outcome::Cancelled => "cancelled",
        Outcome::Orphan => "without a start",
        Outcome::Invalid => "contradictory",
        Outcome::Unobservable => "not to be observed",
        Outcome::EvidenceLost => "perhaps ended",
        Outcome::Ambiguous => "ambiguous",
        Outcome::Unwatched => "no longer watched",
    }
}

fn mainly(counts: EventCounts) -> String {
    match by_reason(counts).as_slice() {
        [] => String::new(),
        [(_, reason)] => format!(", all {reason}"),
        [(_, reason), ..] => format!(", mostly {reason}"),
    }
}

fn by_reason(counts: EventCounts) -> Vec<(i64, &'static str)> {
    let mut reasons = vec![
        (counts.late, "late"),
        (counts.failed, "failed"),
        (counts.timeout, "never finished"),
    ];
    reasons.retain(|(count, _)| *count > 0);
    reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    reasons
}

/// `budget gone in 4 h 52 min at this pace`.
pub fn pace(facts: &AlertSnapshot) -> String {
    match (facts.budget_remaining, facts.budget_empty_in_secs) {
        (Some(left), _) if left <= 0.0 => "budget spent".to_owned(),
        (_, Some(secs)) => {
            let rest = format::lasting(Duration::from_secs(secs));
            format!("budget gone in {rest} at this pace")
        }
        (Some(left), None) => format!("budget left {}", format::budget(left)),
        (None, None) => "budget unknown".to_owned(),
    }
}

/// `18 % (403 bad workflows still allowed)`.
pub fn budget_left(facts: &AlertSnapshot) -> String {
    facts.budget_remaining.map_or_else(
        || "unknown".to_owned(),
        |left| {
            format!(
                "{} of {} ({} bad {} still allowed)",
                format::budget(left),
                window(facts),
                format::count(facts.bad_events_allowed),
                noun(facts),
            )
        },
    )
}

/// What [`burn`] tells of: a burn rate, or whatever else the rule has a limit on.
pub const fn burn_title(facts: &AlertSnapshot) -> &'static str {
    match facts.limit {
        Some(_) => "Limit",
        None => "Burn",
    }
}

/// The field of a message that has [`burn`].
pub const fn burn_key(facts: &AlertSnapshot) -> &'static str {
    match facts.limit {
        Some(_) => "threshold_rule",
        None => "burn_rate",
    }
}

/// `27× over 1 h and 24× over 5 min, limit 14.4×`.
pub fn burn(facts: &AlertSnapshot) -> String {
    if let Some(limit) = &facts.limit {
        return limit.sentence();
    }
    let one = |window: &WindowStatus| {
        let length = window.text();
        match window.burn_rate {
            Some(rate) => format!("{} over {length}", format::burn_rate(rate, facts.factor)),
            None => format!("nothing over {length}"),
        }
    };
    format!(
        "{} and {}, limit {}",
        one(&facts.long),
        one(&facts.short),
        format::factor(facts.factor)
    )
}

/// `97 % of the extra time: 6 min 41 s instead of 6.2 s`, without the name of the stage.
pub fn extra_time(slowest: &SlowestStage) -> String {
    format!(
        "{} of the extra time: {} instead of {}",
        format::percent(slowest.share_of_excess),
        format::seconds(slowest.bad_secs),
        format::seconds(slowest.good_secs),
    )
}

/// `noticed 6 min 31 s later`: how long people were hurt before anybody was told.
pub fn noticed(facts: &AlertSnapshot) -> Option<String> {
    let fired = facts.fired_at.unwrap_or(facts.evaluated_at);
    let began = facts.began_at.filter(|began| *began < fired)?;
    let delay = format::lasting(fired.saturating_since(began));
    Some(format!("noticed {delay} later"))
}

/// `2026-11-22 06:18 UTC, noticed 6 min 31 s later`.
pub fn since(facts: &AlertSnapshot) -> Option<String> {
    let began = format::date_time(facts.began_at?);
    Some(match noticed(facts) {
        Some(noticed) => format!("{began}, {noticed}"),
        None => began,
    })
}

/// `9,310 workflows in 1 h, the newest less than a minute old`.
pub fn data(facts: &AlertSnapshot) -> Option<String> {
    let age = facts
        .evaluated_at
        .saturating_since(facts.context.data_until?);
    let age = match age.as_secs() {
        ..60 => "less than a minute".to_owned(),
        _ => format::lasting(age),
    };
    Some(format!(
        "{} {} in {}, the newest {age} old",
        format::count(facts.long.counts.total()),
        noun(facts),
        facts.long.text(),
    ))
}

/// `▁▁▁▁▃▆███ bad in the last 6 h, at most 13 %`.
pub fn trend(facts: &AlertSnapshot) -> Option<String> {
    let trend = facts.context.trend.as_ref()?;
    Some(format!(
        "{} bad in {}, at most {}",
        trend.sparkline(1.0 - facts.objective),
        trend.lately(),
        format::percent(trend.peak()),
    ))
}

/// The picture in words, for who cannot see it.
pub fn chart(facts: &AlertSnapshot) -> String {
    let seen = facts
        .context
        .trend
        .as_ref()
        .map_or_else(String::new, |trend| {
            format!(
                " in {}, at most {}",
                trend.lately(),
                format::percent(trend.peak()),
            )
        });
    format!(
        "Share of bad {}{seen}; the promise allows {}",
        noun(facts),
        format::percent(1.0 - facts.objective)
    )
}

/// `13.3 % bad when it fired, 0.2 % in the last 5 min`.
pub fn recovered(facts: &AlertSnapshot, before: &Before) -> Option<String> {
    let now = facts.short.counts.bad_ratio()?;
    Some(format!(
        "{} bad when it fired, {} in {}",
        format::percent(before.bad_ratio?),
        format::percent(now),
        facts.short.lately(),
    ))
}

/// `99.5 % within 4 s over 30 d`.
pub fn promise(facts: &AlertSnapshot) -> String {
    let within = facts.within_secs.map_or_else(
        || " good".to_owned(),
        |secs| format!(" within {}", format::seconds(secs)),
    );
    format!(
        "{}{within} over {}",
        format::objective(facts.objective),
        window(facts),
    )
}

/// `30 d`, `a calendar month`.
fn window(facts: &AlertSnapshot) -> String {
    facts.calendar.map_or_else(
        || format::window(facts.window_secs),
        |unit| format!("a calendar {}", unit.as_str()),
    )
}

/// What is to be known of how a message came, in one line; nothing where that is as it should be.
pub fn notes(context: &RenderContext) -> Option<String> {
    let notes: Vec<String> = context.notes.iter().map(note).collect();
    (!notes.is_empty()).then(|| notes.join(". "))
}

/// `Delayed 14 min, was sent to on-call meanwhile`.
pub fn note(note: &MessageNote) -> String {
    match note {
        MessageNote::Delayed { by_secs, meanwhile } => {
            let late = format::lasting(Duration::from_secs(*by_secs));
            let meanwhile = meanwhile.as_ref().map_or_else(String::new, |target| {
                format!(", was sent to {target} meanwhile")
            });
            format!("Delayed {late}{meanwhile}")
        }
        MessageNote::Test => "This is a TEST of the target: nothing is wrong".to_owned(),
        MessageNote::SentAsFallback { target } => {
            format!("Sent here because {target} cannot be reached")
        }
        MessageNote::Missed { from, to } => format!(
            "Fired and ended before this could be told ({} to {})",
            from.to_chrono().format("%H:%M"),
            format::time_of_day(*to),
        ),
    }
}

/// `38 min (06:09 to 06:47 UTC), 655 customers, 2,010 workflows bad, 21 % of the budget spent`.
pub fn cost(facts: &AlertSnapshot, episode: &EpisodeSummary) -> String {
    let from = facts
        .began_at
        .map_or(episode.fired_at, |at| at.min(episode.fired_at));
    let mut parts = vec![format::lasting(episode.resolved_at.saturating_since(from))];
    parts.extend(CustomerTotal::people(episode.customers_affected, None));
    parts.push(format!(
        "{} {} bad",
        format::count(episode.counts.bad()),
        noun(facts)
    ));
    if let Some(spent) = episode.budget_spent {
        parts.push(format!("{} of the budget spent", format::budget(spent)));
    }
    match episode.flaps {
        0 => {}
        1 => parts.push("burned again once".to_owned()),
        flaps => parts.push(format!("burned again {flaps} times")),
    }
    parts.join(", ")
}
