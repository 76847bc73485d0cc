//! The demo's output: plain lines, each with the time since the demo began.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde_json::Value;
use tokio::time::Instant;

use super::MessageForm;
use crate::domain::{
    alerting::status::{SloState, SloStatus},
    model::format,
};

/// The indentation of the text and of continuation lines.
const INDENT: &str = "        ";

#[derive(Clone, Copy, Debug)]
pub(super) struct Narrator {
    began: Instant,
}

impl Narrator {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Prints `text`, line by line.
    pub(super) fn say(self, text: &str) {
        let text = formatted(self.began.elapsed().as_secs(), text);
        // The reader may have closed the pipe; the demo continues.
        let _gone = io::stdout().write_all(text.as_bytes());
    }

    /// Prints `text` and the body that a webhook received: as text for people, or as JSON.
    pub(super) fn show(self, text: &str, body: &Value, form: MessageForm) {
        let message = shown(body, form);
        self.say(&format!("{text}\n{message}"));
    }
}

fn shown(body: &Value, form: MessageForm) -> String {
    match (form, body["data"]["text"].as_str()) {
        (MessageForm::Text, Some(message)) => message.to_owned(),
        (MessageForm::Json, _) | (MessageForm::Text, None) => format!("{body:#}"),
    }
}

fn formatted(secs: u64, text: &str) -> String {
    let mut output = String::new();
    for (place, line) in text.lines().enumerate() {
        if place == 0 {
            let _infallible = write!(output, "{:>3}:{:02}  ", secs / 60, secs % 60);
        } else {
            output.push_str(INDENT);
        }
        output.push_str(line);
        output.push('\n');
    }
    output
}

/// Formats the state of an SLO in one line.
pub(super) fn standing(status: &SloStatus) -> String {
    let state = match status.state {
        SloState::Paging => "PAGING",
        SloState::Ticket => "ticket",
        SloState::Rising => "rising",
        SloState::Recovering => "recovering",
        SloState::NoData => "no data",
        SloState::TooFew => "too few events",
        SloState::Ok => "ok",
    };
    let budget = status
        .budget_remaining
        .map_or_else(|| "–".to_owned(), format::percent);
    let burn = status.rules.first().map_or_else(String::new, |rule| {
        let rate = |rate: Option<f64>| format::burn_rate(rate, None);
        format!(
            ", burn rate {} over {} and {} over {}",
            rate(rule.long.burn_rate),
            rule.long.text(),
            rate(rule.short.burn_rate),
            rule.short.text()
        )
    });
    format!(
        "{state}, {} in flight, {} overdue, {budget} of the budget left{burn}",
        status.time_used.in_flight(),
        status.overdue
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p25_a_message_is_shown_as_a_person_reads_it_and_in_full_on_request() {
        let body = serde_json::json!({ "data": { "text": "PAGE Orders\nBurn: 27×" } });
        assert_eq!(shown(&body, MessageForm::Text), "PAGE Orders\nBurn: 27×");
        let in_full = shown(&body, MessageForm::Json);
        assert_eq!(serde_json::from_str::<Value>(&in_full).unwrap(), body);
    }

    #[test]
    fn every_line_stands_under_the_text_of_the_first() {
        assert_eq!(
            formatted(65, "it fires:\n{\n  \"a\": 1\n}"),
            "  1:05  it fires:\n        {\n          \"a\": 1\n        }\n"
        );
        assert_eq!(formatted(6_000, "still here"), "100:00  still here\n");
    }
}
