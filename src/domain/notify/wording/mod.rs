//! The numbers of an alert in words, for messages, pages and the command line.
//!
//! Only [`mod@headline`] and [`subject`] contain user strings, which are cleaned; the rest is made
//! of numbers and is safe in any markup.

use std::time::Duration;

mod alert_update;
mod detection;
mod headline;

pub use detection::detection;
pub use headline::{headline, slow_stage, subject};

use chrono_tz::Tz;

use super::{MessageNote, RenderContext};
use crate::domain::{
    alerting::{
        alert::EpisodeEnd,
        rule_status::burn_sentence,
        snapshot::{AlertSnapshot, Before, EpisodeSummary, SlowestStage},
        status::LAST_HOUR,
        threshold::ThresholdStatus,
    },
    counting::{
        customers::{CustomerTotal, up_to},
        differences::Difference,
    },
    model::{counts::EventCounts, format},
    slo::{Limit, Severity},
    workflow::Outcome,
};

/// Describes an update of a firing alert in a sentence or two; `None` at its beginning and end.
pub fn development(facts: &AlertSnapshot) -> Option<String> {
    Some(facts.development?.text(facts))
}

/// Returns who has acknowledged it, by the name from the login, the proxy or the form.
pub fn acknowledged_by(facts: &AlertSnapshot) -> Option<&str> {
    facts.acknowledged.as_ref()?.by.as_deref()
}

/// Returns why the episode ended.
pub fn ended_by(facts: &AlertSnapshot) -> EpisodeEnd {
    let episode = facts.episode_summary.as_ref();
    episode.map_or(EpisodeEnd::Recovered, |episode| episode.ended_by)
}

/// Describes the end: resolved only if the recovery was observed.
pub fn ending(facts: &AlertSnapshot) -> &'static str {
    match ended_by(facts) {
        EpisodeEnd::Undeclared => "SLO removed",
        EpisodeEnd::Recovered => "Resolved",
    }
}

/// Returns [`ending`] as a sentence.
pub fn ending_sentence(facts: &AlertSnapshot) -> &'static str {
    match ended_by(facts) {
        EpisodeEnd::Undeclared => {
            "Its SLO was removed while it fired, so it is unknown whether it is over."
        }
        EpisodeEnd::Recovered => "It is over.",
    }
}

/// Returns `PAGE` or `TICKET`.
pub const fn urgency(severity: Severity) -> &'static str {
    match severity {
        Severity::Page => "PAGE",
        Severity::Ticket => "TICKET",
    }
}

/// Formats `1,240 of 9,310 workflows bad (13.3 %) in the last 1 h: 900 late, 300 failed, 40 never
/// finished.`
///
/// For a limit that does not depend on bad events it describes the limit. For an SLO that was
/// removed it has the numbers of the beginning, and says so.
pub fn description(facts: &AlertSnapshot) -> String {
    if let Some(limit) = limit_without_bad_events(facts) {
        return format!("{}{}.", of_beginning(facts), limit.sentence());
    }
    let reasons = match reasons(facts.long.counts) {
        none if none.is_empty() => none,
        some => format!(": {some}"),
    };
    let missing = facts.long.ends_missing.map_or_else(String::new, |ends| {
        format!("; ends are sampled, {}", ends.text())
    });
    let unmatched = unmatched_finish(facts).map_or_else(String::new, |text| format!(" {text}."));
    format!(
        "{}{} in {}{reasons}{missing}.{unmatched}",
        of_beginning(facts),
        share(facts),
        facts.long.lately()
    )
}

fn limit_without_bad_events(facts: &AlertSnapshot) -> Option<&ThresholdStatus> {
    let limit = facts.limit.as_ref()?;
    (facts.long.counts.bad() == 0).then_some(limit)
}

/// Returns `When it fired: ` if the following numbers are of that time.
fn of_beginning(facts: &AlertSnapshot) -> &'static str {
    match ended_by(facts) {
        EpisodeEnd::Undeclared => "When it fired: ",
        EpisodeEnd::Recovered => "",
    }
}

/// Returns the timeline's text for the beginning of an incident; `None` if that is when the alert
/// fired.
pub const fn beginning(facts: &AlertSnapshot) -> Option<&'static str> {
    match &facts.limit {
        Some(ThresholdStatus {
            limit: Limit::Absence { .. },
            ..
        }) => Some("the last event before"),
        Some(limit) if !limit.limit.is_on_budget() => None,
        Some(_) | None => Some("the budget has been falling since"),
    }
}

/// Formats `Nothing has matched the new `finish` since 14:02 UTC`: timeouts may then be due to the
/// edit.
fn unmatched_finish(facts: &AlertSnapshot) -> Option<String> {
    let since = facts.finish_unmatched_since?;
    let has_timeouts = facts.kind.lasts() && facts.long.counts.timeout > 0;
    has_timeouts.then(|| {
        format!(
            "Nothing has matched the new `finish` since {}",
            format::time_of_day(since, Tz::UTC)
        )
    })
}

/// Formats `412 of 9,120 customers`, in the last hour, which is named if the other numbers are of
/// another window. `None` if the number is unknown.
pub fn people(facts: &AlertSnapshot) -> Option<String> {
    let people = CustomerTotal::people(facts.customers_affected, facts.customers_total.as_ref())?;
    Some(if facts.long.secs == LAST_HOUR.as_secs() {
        people
    } else {
        format!("{people} in {}", format::window(LAST_HOUR.as_secs()))
    })
}

/// Returns the name of the SLO's events: `workflows`.
pub const fn noun(facts: &AlertSnapshot) -> &'static str {
    match facts.within_secs {
        Some(_) => "workflows",
        None => "events",
    }
}

/// Formats `99 % of bad, 34 % of good`.
pub fn shares(difference: &Difference) -> String {
    format!(
        "{} of bad, {} of good",
        format::percent(difference.bad_ratio),
        format::percent(difference.good_ratio)
    )
}

/// Formats `1,240 of 9,310 workflows bad (13.3 %)`, in the long window.
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

/// Formats `900 late, 300 failed, 40 never finished`: all that are not zero, most frequent first.
pub fn reasons(counts: EventCounts) -> String {
    let named: Vec<String> = by_reason(counts)
        .iter()
        .map(|(count, reason)| format!("{} {reason}", format::count(*count)))
        .collect();
    named.join(", ")
}

/// Returns an outcome as a word in a sentence.
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
        Outcome::Unobservable => "unobservable",
        Outcome::EvidenceLost => "evidence lost",
        Outcome::Ambiguous => "ambiguous",
        Outcome::Unwatched => "no longer watched",
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

/// Formats `budget gone in 4 h 52 min`, at the burn rate of the long window.
pub fn pace(facts: &AlertSnapshot) -> String {
    match (facts.budget_remaining, facts.budget_empty_in_secs) {
        (Some(left), _) if left <= 0.0 => "budget spent".to_owned(),
        (_, Some(secs)) => {
            let rest = format::lasting(Duration::from_secs(secs));
            format!("budget gone in {rest}")
        }
        (Some(left), None) => format!("budget left {}", format::budget(left)),
        (None, None) => "budget unknown".to_owned(),
    }
}

/// Formats `18 % (403 bad workflows still allowed)`.
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

/// Returns the title of [`burn`]: a burn rate, or the number that the rule has a limit on.
pub const fn burn_title(facts: &AlertSnapshot) -> &'static str {
    match facts.limit {
        Some(_) => "Limit",
        None => "Burn",
    }
}

/// Returns the key of [`burn`] in a message.
pub const fn burn_key(facts: &AlertSnapshot) -> &'static str {
    match facts.limit {
        Some(_) => "threshold_rule",
        None => "burn_rate",
    }
}

/// Formats `27× over 1 h and 24× over 5 min, limit 14.4×`.
pub fn burn(facts: &AlertSnapshot) -> String {
    if let Some(limit) = &facts.limit {
        return limit.sentence();
    }
    burn_sentence(&facts.long, &facts.short, facts.factor)
}

/// Formats `97 % of the extra time: 6 min 41 s instead of 6.2 s`, without the name of the stage.
pub fn extra_time(slowest: &SlowestStage) -> String {
    format!(
        "{} of the extra time: {} instead of {}",
        format::whole_percent(slowest.share_of_excess),
        format::seconds(slowest.bad_secs),
        format::seconds(slowest.good_secs),
    )
}

/// Formats `noticed 6 min 31 s later`: the time from the beginning to the first notification.
pub fn noticed(facts: &AlertSnapshot) -> Option<String> {
    let fired = facts.fired_at.unwrap_or(facts.evaluated_at);
    let began = facts.began_at.filter(|began| *began < fired)?;
    let delay = format::lasting(fired.saturating_since(began));
    Some(format!("noticed {delay} later"))
}

/// Formats `2026-11-22 06:18 UTC, noticed 6 min 31 s later`.
pub fn since(facts: &AlertSnapshot) -> Option<String> {
    let began = format::date_time(facts.began_at?);
    Some(match noticed(facts) {
        Some(noticed) => format!("{began}, {noticed}"),
        None => began,
    })
}

/// Formats `9,310 workflows in 1 h, the newest less than a minute old`.
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

/// Formats `▁▁▁▁▃▆███ bad in the last 6 h, at most 13 %`.
pub fn trend(facts: &AlertSnapshot) -> Option<String> {
    let trend = facts.context.trend.as_ref()?;
    Some(format!(
        "{} bad in {}, at most {}",
        trend.sparkline(1.0 - facts.objective),
        trend.lately(),
        format::percent(trend.peak()),
    ))
}

/// Describes the chart for those who cannot see it.
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
        "Share of bad {}{seen}; the objective allows {}",
        noun(facts),
        format::percent(1.0 - facts.objective)
    )
}

/// Formats `13.3 % bad when it fired, 0.2 % in the last 5 min`.
pub fn recovered(facts: &AlertSnapshot, before: &Before) -> Option<String> {
    let now = facts.short.counts.bad_ratio()?;
    Some(format!(
        "{} bad when it fired, {} in {}",
        format::percent(before.bad_ratio?),
        format::percent(now),
        facts.short.lately(),
    ))
}

/// Formats `99.5 % within 4 s over 30 d`.
pub fn objective(facts: &AlertSnapshot) -> String {
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

/// Formats `30 d`, `a calendar month`.
fn window(facts: &AlertSnapshot) -> String {
    facts.calendar.map_or_else(
        || format::window(facts.window_secs),
        |unit| format!("a calendar {}", unit.as_str()),
    )
}

/// Formats remarks on the delivery in one line; `None` if there are none.
pub fn notes(context: &RenderContext) -> Option<String> {
    let notes: Vec<String> = context.notes.iter().map(note).collect();
    (!notes.is_empty()).then(|| notes.join(". "))
}

/// Formats `Delayed 14 min, was sent to on-call meanwhile`.
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
        MessageNote::Added { at } => format!(
            "This target was added while the alert was firing; the numbers are those of {}",
            format::time_of_day(*at, Tz::UTC)
        ),
        MessageNote::Missed { from, to } => format!(
            "Fired and ended before this could be delivered ({} to {})",
            from.to_chrono().format("%H:%M"),
            format::time_of_day(*to, Tz::UTC),
        ),
    }
}

/// Formats how long it lasted, from its beginning to its end: `38 min`.
pub fn lasted(facts: &AlertSnapshot, episode: &EpisodeSummary) -> String {
    let from = facts
        .began_at
        .map_or(episode.fired_at, |at| at.min(episode.fired_at));
    format::lasting(episode.resolved_at.saturating_since(from))
}

/// Formats `38 min (06:09 to 06:47 UTC), 655 customers, 2,010 workflows bad, 21 % of the budget
/// spent`.
pub fn cost(facts: &AlertSnapshot, episode: &EpisodeSummary) -> String {
    let mut parts = vec![lasted(facts, episode)];
    let people = CustomerTotal::people(episode.customers_affected, None);
    parts.extend(people.map(|people| {
        if episode.customers_affected_is_upper_bound {
            up_to(&people)
        } else {
            people
        }
    }));
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
