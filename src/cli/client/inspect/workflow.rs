//! `throughline workflow`: shows one workflow and its steps.

use std::{fmt::Write as _, process::ExitCode};

use chrono_tz::Tz;
use serde_json::Value;

use super::super::{
    answer::{Answer, AnswerArgs, items, text, time},
    api::{Api, ApiError, ServerArgs},
};
use crate::{cli::table::TextTable, domain::model::format};

/// Show one workflow: where it is, what happened to it, and why it is good or bad
///
/// If several are found, they are listed. Exit codes: 0 found, 1 not found, 3 the service could not be
/// asked.
#[derive(clap::Args, Debug)]
pub struct WorkflowArgs {
    /// Name of the workflow or the beginning of it, its trace id, or its customer
    #[arg(value_name = "KEY")]
    key: String,
    /// Only workflows of this SLO
    #[arg(long, value_name = "NAME")]
    slo: Option<String>,
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &WorkflowArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    match look_for(&api, args) {
        Ok(Some(answer)) => args.output.finish(Ok(answer)),
        Ok(None) => {
            let key = &args.key;
            let mut error = std::io::stderr();
            std::io::Write::write_fmt(
                &mut error,
                format_args!("error: there is no workflow `{key}`\n"),
            )?;
            Ok(ExitCode::from(1))
        }
        Err(error) => Ok(error.report()),
    }
}

/// Returns the story of the only match, or a list of several.
fn look_for(api: &Api, args: &WorkflowArgs) -> Result<Option<Answer>, ApiError> {
    let query = [("q", Some(args.key.as_str())), ("slo", args.slo.as_deref())];
    let found = api.get_with("/api/v1/workflows", &query)?;
    let named = |one: &&Value| one["label"] == args.key.as_str();
    let all: Vec<&Value> = items(&found["workflows"]).collect();
    let exact: Vec<&Value> = all.iter().copied().filter(|one| named(one)).collect();
    Ok(match (all.as_slice(), exact.as_slice()) {
        ([], _) => None,
        ([one], _) | (_, [one]) => {
            let path = format!(
                "/api/v1/workflows/{}/{}",
                text(&one["slo"]),
                text(&one["key"])
            );
            let json = api.get(&path)?;
            Some(Answer {
                text: story(&json),
                json,
            })
        }
        _ => Some(Answer {
            text: list(&found),
            json: found,
        }),
    })
}

fn list(found: &Value) -> String {
    let now = time(&found["as_of"]);
    let mut table = TextTable::new(["Workflow", "SLO", "Outcome", "Started", "Took", "Is in"]);
    for one in items(&found["workflows"]) {
        let started = time(&one["started_at"]).zip(now);
        let started = started.map(|(at, now)| format::moment(at, now, Tz::UTC));
        table.row([
            text(&one["label"]),
            text(&one["slo"]),
            text(&one["outcome"]),
            started.as_deref().unwrap_or(format::NONE),
            &format::seconds(one["duration_seconds"].as_f64()),
            text(&one["current_stage"]),
        ]);
    }
    let more = if found["next"].is_string() {
        "and more: write more of the name\n"
    } else {
        ""
    };
    format!("{table}{more}")
}

fn story(view: &Value) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        let printable = text.replace(char::is_control, " ");
        writeln!(out, "{printable}").unwrap_or_default();
    };
    line(&format!(
        "{} of {}: {}",
        text(&view["label"]),
        text(&view["slo"]),
        text(&view["outcome"])
    ));
    line(text(&view["verdict_rule"]));
    if let Some(current) = view["current_stage"].as_object() {
        let usual = current["usual_seconds"].as_f64();
        let usual = usual.map(|usual| format!("; usually {}", format::seconds(usual)));
        line(&format!(
            "Now: {}, for {}{}.",
            text(&current["stage"]),
            format::seconds(current["seconds"].as_f64()),
            usual.unwrap_or_default()
        ));
    }
    for missing in items(&view["missing"]) {
        line(text(missing));
    }
    if let Some(skew) = view["clock_skew_seconds"].as_f64() {
        line(&format!(
            "Clocks differ by at least {}.",
            format::seconds(skew)
        ));
    }
    if let Some(customer) = view["customer"].as_str() {
        line(&format!("Customer: {customer}"));
    }
    for incident in items(&view["incidents"]) {
        line(&format!(
            "Incident: {} ({})",
            text(&incident["id"]),
            text(&incident["rule"])
        ));
    }
    let steps = steps(view);
    format!("{out}\n{steps}")
}

fn steps(view: &Value) -> String {
    let mut table = TextTable::new(["Since start", "Time", "Step", "Waited", "Took", "Trace"]);
    for step in items(&view["steps"]) {
        let offset = step["offset_seconds"].as_f64().unwrap_or_default();
        let sign = if offset < 0.0 { '−' } else { '+' };
        table.row([
            &format!("{sign}{}", format::seconds(offset.abs())),
            text(&step["at"]),
            text(&step["text"]),
            &format::seconds(step["wait_seconds"].as_f64()),
            &format::seconds(step["duration_seconds"].as_f64()),
            text(&step["trace_id"]),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workflow_says_where_it_is_and_what_happened() {
        let view = json!({
            "slo": "orders", "label": "47\u{1b}11", "outcome": "open", "customer": "acme",
            "verdict_rule": "It is not judged yet.",
            "current_stage": { "stage": "wait in cards", "seconds": 1020.0, "usual_seconds": 6.0 },
            "missing": ["No span has ended it."], "clock_skew_seconds": 0.2, "incidents": [],
            "steps": [
                {
                    "at": "2026-11-22T12:04:00.000000Z", "offset_seconds": 0.0, "text": "started",
                    "trace_id": "00000000000000000000000000000001",
                },
                {
                    "at": "2026-11-22T12:04:02.000000Z", "offset_seconds": 2.0,
                    "text": "received from `cards`", "wait_seconds": 1.5, "duration_seconds": 0.25,
                    "trace_id": null,
                },
            ],
        });
        insta::assert_snapshot!(story(&view));
    }

    #[test]
    fn several_are_listed() {
        let found = json!({
            "as_of": "2026-11-22T12:30:00.000000Z", "next": "0.0.1.00.o",
            "workflows": [{
                "slo": "orders", "label": "o1", "outcome": "late", "duration_seconds": 71.0,
                "started_at": "2026-11-22T12:04:00.000000Z",
            }],
        });
        insta::assert_snapshot!(list(&found));
    }
}
