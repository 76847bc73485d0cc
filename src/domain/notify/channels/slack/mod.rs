//! A message for Slack: Block Kit.
//!
//! Slack refuses a message of some 13,000 characters of blocks though every block is within its own
//! limit (slackapi/bolt-js#2509), so ours has at most 5,500, and 12 blocks. Every string that a user
//! wrote has a limit of its own *after* escaping; what is too long as a whole says less.

pub mod errors;
mod platform;

pub use platform::{platform_body, platform_reply, platform_text_only};

use std::time::Duration;

use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation as _;

use super::lines::{Line, LinePart, Paragraph, paragraphs};
use crate::domain::{
    alerting::{
        alert::{EpisodeEnd, TransitionKind},
        snapshot::AlertSnapshot,
    },
    model::{format, text, time::Timestamp},
    notify::{
        Detail, RenderContext,
        delivery::{Redelivery, rate_limit::RateLimit},
        wording,
    },
};

/// "1 per second, short bursts allowed", of a webhook as of a bot's channel; a sender that goes on after
/// a response that asks to wait may be switched off.
pub const RATE_LIMIT: RateLimit = RateLimit {
    every: Duration::from_secs(1),
    burst: 3,
};
/// Slack's own limit.
const HEADER_CHARS: usize = 150;
const HEADER_NAME_CHARS: usize = 80;
const STRING_CHARS: usize = 200;
const LINE_STRING_CHARS: usize = 60;
const LINK_NAME_CHARS: usize = 40;
const URL_BYTES: usize = 1_500;
const MAX_BLOCKS: usize = 12;
const MAX_BLOCKS_CHARS: usize = 5_500;

pub fn body(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    let blocks = Detail::richest(|detail| blocks(facts, context, detail), fits);
    json!({ "text": push_text(facts), "blocks": blocks })
}

fn blocks(facts: &AlertSnapshot, context: &RenderContext, detail: Detail) -> Value {
    let mut blocks = vec![header(facts), section(&summary(facts))];
    blocks.extend(notes(context));
    if detail.shows_numbers() {
        blocks.push(numbers(facts));
        blocks.extend(paragraphs(facts, detail).iter().map(paragraph));
        blocks.extend(picture(facts, context).filter(|_| detail.shows_picture()));
        blocks.extend(actions(facts, context));
    }
    blocks.push(identity(facts, context));
    Value::Array(blocks)
}

fn fits(blocks: &Value) -> bool {
    blocks.as_array().is_some_and(|all| all.len() <= MAX_BLOCKS)
        && blocks.to_string().chars().count() <= MAX_BLOCKS_CHARS
}

/// What follows the first message, in its thread: there it is known what it is about.
pub fn reply(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    let mut blocks = vec![
        section(&format!("*{}*", push_text(facts))),
        section(&summary(facts)),
    ];
    blocks.extend(notes(context));
    blocks.push(identity(facts, context));
    json!({ "text": push_text(facts), "blocks": blocks })
}

/// What is left where Slack refuses the blocks: the sentence alone.
pub fn text_only(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    let text = [Some(push_text(facts)), wording::notes(context)];
    let text: Vec<String> = text.into_iter().flatten().collect();
    json!({ "text": text.join(". ") })
}

fn push_text(facts: &AlertSnapshot) -> String {
    escaped(&wording::headline(facts), usize::MAX)
}

fn header(facts: &AlertSnapshot) -> Value {
    let lead = match facts.kind {
        TransitionKind::Firing if facts.nth_today.is_some() => {
            format!(
                ":rotating_light: {}, {}: ",
                wording::again(facts).trim(),
                who(facts)
            )
        }
        TransitionKind::Firing => format!(":rotating_light: {}: ", who(facts)),
        TransitionKind::Updated => format!(":rotating_light: Worse, {}: ", who(facts)),
        TransitionKind::DataStopped => ":warning: Still firing, but no data: ".to_owned(),
        TransitionKind::DataResumed => ":eyes: Still firing, data are back: ".to_owned(),
        TransitionKind::Unmuted => format!(":rotating_light: Still firing, {}: ", who(facts)),
        TransitionKind::Reminded => ":bell: Still firing, not acknowledged: ".to_owned(),
        TransitionKind::Acknowledged => ":raised_hand: Acknowledged: ".to_owned(),
        TransitionKind::Resolved => {
            let icon = match ended_by(facts) {
                EpisodeEnd::Recovered => "white_check_mark",
                EpisodeEnd::Undeclared => "no_entry_sign",
            };
            format!(":{icon}: {}: ", wording::ending(facts))
        }
    };
    let lead = if facts.is_test {
        format!(":test_tube: TEST {lead}")
    } else {
        lead
    };
    let room = HEADER_CHARS.saturating_sub(lead.chars().count());
    let room = room.min(HEADER_NAME_CHARS);
    let name = escaped(&wording::place(facts, room), room);
    let title = lead + &name;
    json!({ "type": "header", "text": { "type": "plain_text", "text": title, "emoji": true } })
}

/// `412 of 9,120 customers`, or where none are known `13.3 % bad`.
fn who(facts: &AlertSnapshot) -> String {
    let bad = facts.long.counts.bad_ratio().unwrap_or_default();
    match &facts.limit {
        Some(limit) => limit.sentence(),
        None => wording::people(facts).unwrap_or_else(|| format!("{} bad", format::percent(bad))),
    }
}

fn ended_by(facts: &AlertSnapshot) -> EpisodeEnd {
    let episode = facts.episode_summary.as_ref();
    episode.map_or(EpisodeEnd::Recovered, |episode| episode.ended_by)
}

fn summary(facts: &AlertSnapshot) -> String {
    let end = match ended_by(facts) {
        EpisodeEnd::Recovered => "It is over.",
        EpisodeEnd::Undeclared => {
            "Its SLO was removed while it fired, so nobody knows whether it is over."
        }
    };
    let now = format!("*{}* in {}", wording::share(facts), facts.long.lately());
    let reasons = wording::reasons(facts.long.counts);
    let promise = wording::promise(facts);
    let trend = wording::trend(facts).map_or_else(String::new, |trend| format!("\n{trend}."));
    match (&facts.kind, &facts.episode_summary) {
        (TransitionKind::Resolved, Some(episode)) => format!(
            "{end} What it cost: *{}*.\nNow: {now}. Promise: {promise}.{trend}",
            wording::cost(facts, episode),
        ),
        (TransitionKind::Resolved, None) => format!("{end} Now: {now}. Promise: {promise}."),
        (_, _) => {
            let told = wording::development(facts).map_or_else(String::new, |text| text + "\n");
            let by = wording::acknowledged_by(facts).map_or_else(String::new, |by| {
                format!("Taken on by {}.\n", code_of(by, HEADER_NAME_CHARS))
            });
            let reasons = match reasons.as_str() {
                "" => reasons,
                some => format!(": {some}"),
            };
            format!("{told}{by}{now}{reasons}.\nPromise: {promise}.{trend}")
        }
    }
}

fn numbers(facts: &AlertSnapshot) -> Value {
    let mut fields = vec![
        field("Budget left", &wording::budget_left(facts)),
        field(wording::burn_title(facts), &wording::burn(facts)),
    ];
    // On a resolve there is no pace, and the rest stands in what it cost.
    if facts.kind.lasts() {
        fields.push(field("Pace", &wording::pace(facts)));
        fields.extend(facts.began_at.map(|at| field("Since", &since(facts, at))));
        let who = wording::people(facts);
        fields.extend(who.map(|who| field("Who", &who)));
        fields.extend(facts.slowest_stage.as_ref().map(|slowest| {
            let extra = wording::extra_time(slowest);
            field(
                "Slowest stage",
                &format!("{}, {extra}", code(&slowest.title)),
            )
        }));
    }
    fields.extend(wording::data(facts).map(|data| field("Data", &data)));
    if let Some(group) = &facts.group {
        fields.push(field("Group", &code(&group.text())));
    }
    if let Some(service) = &facts.service {
        fields.push(field("Service", &code(service)));
    }
    json!({ "type": "section", "fields": fields })
}

fn picture(facts: &AlertSnapshot, context: &RenderContext) -> Option<Value> {
    let url = text::web_address(context.chart.as_deref()?, URL_BYTES)?;
    Some(json!({ "type": "image", "image_url": url, "alt_text": wording::chart(facts) }))
}

fn since(facts: &AlertSnapshot, at: Timestamp) -> String {
    let noticed = wording::noticed(facts);
    let noticed = noticed.map_or_else(String::new, |text| format!(", {text}"));
    date(at) + &noticed
}

fn paragraph(paragraph: &Paragraph<'_>) -> Value {
    let lines: Vec<String> = paragraph.lines.iter().map(line).collect();
    let title = &paragraph.title;
    section(&format!("*{title}*\n{}", lines.join("\n")))
}

fn line(pieces: &Line<'_>) -> String {
    let text = pieces.iter().map(|piece| match piece {
        LinePart::Ours(text) => text.clone(),
        LinePart::Theirs(string) => code_of(string, LINE_STRING_CHARS),
        LinePart::Link(name, url) => link(name, url).unwrap_or_default(),
    });
    format!("• {}", text.collect::<String>())
}

fn link(name: &str, url: &str) -> Option<String> {
    let url = text::web_address(url, URL_BYTES)?;
    let name = escaped(&text::plain(name, LINK_NAME_CHARS), LINK_NAME_CHARS);
    Some(format!(
        "<{}|{}>",
        escaped(url, usize::MAX),
        name.replace('|', "/")
    ))
}

fn notes(context: &RenderContext) -> Option<Value> {
    wording::notes(context).map(|notes| section(&format!(":information_source: {notes}.")))
}

fn actions(facts: &AlertSnapshot, context: &RenderContext) -> Option<Value> {
    let button = |(label, url): (&str, &str)| {
        let url = text::web_address(url, URL_BYTES)?;
        let label = json!({ "type": "plain_text", "text": label });
        Some(json!({ "type": "button", "text": label, "url": url }))
    };
    let open = facts.page_url.as_deref().map(|url| ("Open", url));
    let runbook = facts.runbook.as_deref().map(|url| ("Runbook", url));
    let buttons: Vec<Value> = open
        .into_iter()
        .chain(context.actions.named())
        .chain(runbook)
        .filter_map(button)
        .collect();
    (!buttons.is_empty()).then(|| json!({ "type": "actions", "elements": buttons }))
}

fn identity(facts: &AlertSnapshot, context: &RenderContext) -> Value {
    let repeat = match context.repeat {
        Redelivery::No => "",
        Redelivery::Possible => " · may be a repeat",
    };
    let line = format!(
        "{} {} · rule {} · episode {} · notification {} · evaluated {}{repeat}",
        wording::urgency(facts.severity),
        facts.slo,
        facts.rule,
        facts.episode.simple(),
        facts.version,
        format::time_of_day(facts.evaluated_at),
    );
    json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": line }] })
}

fn section(mrkdwn: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": mrkdwn } })
}

fn field(title: &str, value: &str) -> Value {
    json!({ "type": "mrkdwn", "text": format!("*{title}*\n{value}") })
}

/// Slack shows it in the reader's own time zone.
fn date(at: Timestamp) -> String {
    format!(
        "<!date^{}^{{date_short_pretty}} {{time}}|{}>",
        at.as_secs(),
        format::date_time(at)
    )
}

/// A user's string as code: mrkdwn knows no escape for `*`, `_`, `~` and the backtick.
fn code(string: &str) -> String {
    code_of(string, STRING_CHARS)
}

fn code_of(string: &str, max: usize) -> String {
    let inner = escaped(&text::plain(string, max), max);
    if inner.trim().is_empty() {
        "`?`".to_owned()
    } else {
        format!("`{inner}`")
    }
}

/// Without any markup of Slack's, so that no attribute of a span can call a whole channel. At most
/// `max` characters long, and neither an entity nor what reads as one character is cut in two.
fn escaped(string: &str, max: usize) -> String {
    let mut safe = String::with_capacity(string.len());
    let mut length = 0;
    for letter in string.graphemes(true) {
        let mut piece = String::with_capacity(letter.len());
        for character in letter.chars() {
            match character {
                '&' => piece.push_str("&amp;"),
                '<' => piece.push_str("&lt;"),
                '>' => piece.push_str("&gt;"),
                '`' => piece.push('\''),
                other => piece.push(other),
            }
        }
        length += piece.chars().count();
        if length > max {
            break;
        }
        safe.push_str(&piece);
    }
    safe
}
