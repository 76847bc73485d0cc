//! Writes a definition with the reason for each choice as a comment.

use std::{fmt::Write as _, time::Duration};

use crate::domain::{
    model::{ids::Name, text::plain},
    slo::format_duration,
};

/// The limit of a comment in characters.
const MAX_COMMENT: usize = 400;
/// The width at which comments are wrapped.
const WIDTH: usize = 100;

/// Lines of a document, with their indentation.
#[derive(Debug, Default)]
pub(super) struct YamlText(String);

/// The head of every proposal, before its indicator.
#[derive(Debug)]
pub(super) struct ProposalHead<'a> {
    pub(super) name: &'a Name,
    pub(super) title: &'a str,
    pub(super) origin: &'a str,
    pub(super) service: &'a str,
    pub(super) objective_reason: &'a str,
}

impl YamlText {
    pub(super) fn begin(head: &ProposalHead<'_>) -> Self {
        let mut text = Self::default();
        text.comment(0, head.origin);
        text.line(0, "apiVersion: throughline/v1");
        text.line(0, "kind: SLO");
        text.line(0, "metadata:");
        text.line(2, &format!("name: {}", scalar(head.name.as_str())));
        text.line(2, &format!("displayName: {}", scalar(head.title)));
        text.line(0, "spec:");
        if !head.service.is_empty() {
            text.line(2, &format!("service: {}", scalar(head.service)));
        }
        text.comment(2, head.objective_reason);
        text.line(2, "objective: 99%");
        text.line(2, "window: 30d");
        text.line(2, "indicator:");
        text
    }

    /// Adds a line that is YAML already.
    pub(super) fn line(&mut self, indent: usize, yaml: &str) {
        // Writing to a string cannot fail.
        let _written = writeln!(self.0, "{:indent$}{yaml}", "");
    }

    /// Adds a comment, wrapped.
    pub(super) fn comment(&mut self, indent: usize, text: &str) {
        // The two characters above the controls that YAML forbids.
        let text = plain(text, MAX_COMMENT).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + word.chars().count() > WIDTH {
                self.line(indent, &format!("#{line}"));
                line.clear();
            }
            line.push(' ');
            line.push_str(word);
        }
        if !line.is_empty() {
            self.line(indent, &format!("#{line}"));
        }
    }

    /// Adds a field of an indicator with its reason.
    pub(super) fn field(&mut self, field: &str, value: &str, reason: &str) {
        self.comment(6, reason);
        self.line(6, &format!("{field}: {value}"));
    }

    /// Adds the customer, by the attributes that may name it, the best first.
    pub(super) fn customer(&mut self, candidates: &[String]) {
        let Some((first, others)) = candidates.split_first() else {
            self.comment(
                2,
                "No attribute of these spans names the customer. With one, messages and pages say who is \
                 affected: `customer: span.customer.id`.",
            );
            return;
        };
        let others = match others {
            [] => String::new(),
            others => format!("; others that may name them: {}", others.join(", ")),
        };
        self.comment(
            2,
            &format!("Most of the spans name a customer by it{others}"),
        );
        self.line(2, &format!("customer: {}", scalar(first)));
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

pub(super) fn duration(length: Duration) -> String {
    format_duration(length)
}

/// Returns a text as a scalar: plain if it is unambiguous, in single quotes if possible, otherwise
/// as JSON, which escapes invisible characters.
pub(super) fn scalar(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let begins_with_letter = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_ambiguous = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
        .contains(&text.to_ascii_lowercase().as_str());
    if begins_with_letter && !is_ambiguous && text.chars().all(is_word) {
        return text.to_owned();
    }
    if text.chars().all(|c| matches!(c, ' '..='~')) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c => {
                let _written = write!(quoted, "\\U{:08X}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}
