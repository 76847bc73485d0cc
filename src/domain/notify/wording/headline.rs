//! The headline of an alert: the one line that a phone shows.

use super::{
    EpisodeEnd, EpisodeSummary, by_reason, cost, ended_by, limit_without_bad_events, pace, people,
    share, urgency,
};
use crate::domain::{
    alerting::{snapshot::AlertSnapshot, threshold::ThresholdStatus},
    model::{counts::EventCounts, format, text},
};

/// The length that a phone shows of a push message.
const HEADLINE_CHARS: usize = 150;
/// The maximum length of the SLO's name and its group, so that the rest is visible as well.
const SUBJECT_CHARS: usize = 60;
const STAGE_CHARS: usize = 40;
/// The name is shortened to no less than this for the group to be readable in full.
const SHORTEST_NAME: usize = 6;

/// Returns one line that can be read aloud, at most 150 characters.
///
/// It contains the SLO, the slow stage, the affected customers, the bad events and how long the
/// budget lasts. Parts that do not fit are left out completely, the least important first.
///
/// `PAGE Checkout speed: waiting in cards, 412 of 9,120 customers, 1,240 of 9,310 workflows bad
/// (13.3 %) in 1 h, budget gone in 4 h 52 min`
pub fn headline(facts: &AlertSnapshot) -> String {
    let test = if facts.is_test { "TEST " } else { "" };
    let subject = subject(facts, SUBJECT_CHARS);
    let lead = format!("{test}{} {subject}", lead(facts));
    let mut parts = parts(facts);
    loop {
        let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        let line = match texts.join(", ") {
            none if none.is_empty() => lead.clone(),
            rest => format!("{lead}: {rest}"),
        };
        let ranked = parts.iter().enumerate();
        let least = ranked.max_by_key(|(_, part)| part.rank).map(|(nth, _)| nth);
        match least.filter(|_| parts.len() > 1 && line.chars().count() > HEADLINE_CHARS) {
            Some(least) => drop(parts.remove(least)),
            None => return text::plain(&line, HEADLINE_CHARS),
        }
    }
}

/// A part of a headline.
struct HeadlinePart {
    /// The part with the highest rank is left out first.
    rank: u8,
    text: String,
}

/// Returns the SLO's name and its group, if any, in at most `max` characters: a long name must not
/// hide the group, which distinguishes two groups of one SLO.
pub fn subject(facts: &AlertSnapshot, max: usize) -> String {
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

fn lead(facts: &AlertSnapshot) -> &'static str {
    if facts.kind.lasts() {
        return urgency(facts.severity);
    }
    match ended_by(facts) {
        EpisodeEnd::Recovered => "RESOLVED",
        EpisodeEnd::Undeclared => "SLO REMOVED",
    }
}

fn parts(facts: &AlertSnapshot) -> Vec<HeadlinePart> {
    let has_events = facts.long.counts.total() > 0;
    let is_of_interest = has_events && limit_without_bad_events(facts).is_none();
    let share = is_of_interest.then(|| format!("{} in {}", share(facts), facts.long.text()));
    let limit = facts.limit.as_ref();
    let episode = facts
        .episode_summary
        .as_ref()
        .filter(|_| !facts.kind.lasts());
    let all: Vec<(u8, Option<String>)> = match (episode, facts.development) {
        (Some(episode), _) => vec![(0, Some(cost(facts, episode))), (1, doubt(episode))],
        (None, Some(update)) => {
            let people = people(facts).filter(|_| !update.names_customers());
            vec![(0, Some(update.lead(facts))), (2, people), (1, share)]
        }
        (None, None) => vec![
            (4, again(facts)),
            (0, limit.map(ThresholdStatus::sentence)),
            (1, slow_stage(facts)),
            (2, people(facts)),
            (5, share),
            (3, limit.is_none().then(|| pace(facts))),
        ],
    };
    all.into_iter()
        .filter_map(|(rank, text)| Some(HeadlinePart { rank, text: text? }))
        .collect()
}

/// Formats `3rd time today`.
fn again(facts: &AlertSnapshot) -> Option<String> {
    Some(match facts.nth_today? {
        // The last episode began on the day before.
        0 | 1 => "again".to_owned(),
        nth => format!("{} time today", format::ordinal(nth)),
    })
}

/// Formats `stuck in cards` if most bad workflows never finished, otherwise `waiting in cards` or
/// `slow in worker`.
pub fn slow_stage(facts: &AlertSnapshot) -> Option<String> {
    let title = &facts.slowest_stage.as_ref()?.title;
    let queue = title.strip_prefix("wait in ");
    let is_stuck = mostly(facts.long.counts) == Some("never finished");
    let verb = match (is_stuck, queue) {
        (true, _) => "stuck",
        (false, Some(_)) => "waiting",
        (false, None) => "slow",
    };
    let stage = text::plain(queue.unwrap_or(title), STAGE_CHARS);
    Some(format!("{verb} in {stage}"))
}

fn mostly(counts: EventCounts) -> Option<&'static str> {
    Some(by_reason(counts).first()?.1)
}

/// Formats `8 % of events could not be used`.
fn doubt(episode: &EpisodeSummary) -> Option<String> {
    let share = format::percent(episode.unusable?);
    Some(format!("not certain, {share} of events could not be used"))
}
