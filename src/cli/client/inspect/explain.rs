//! `throughline explain`: why a definition counts what it counts.

use std::{fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::super::{
    answer::{Answer, AnswerArgs, items, text},
    api::{Api, ServerArgs},
};
use crate::domain::model::format;

/// Show which spans of the last hour a definition selects, and what keeps others from matching
///
/// The definition may also be in a file that is not in force: `throughline explain --file
/// orders.yaml`.
#[derive(clap::Args, Debug)]
pub struct ExplainArgs {
    /// The SLO, as it is in force
    #[arg(value_name = "SLO", required_unless_present = "file")]
    slo: Option<String>,
    /// A file with the definition of an SLO, in force or not
    #[arg(long, value_name = "FILE", conflicts_with = "slo")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    let view = match (&args.file, &args.slo) {
        (Some(file), _) => {
            let definition = fs::read_to_string(file)
                .with_context(|| format!("cannot read `{}`", file.display()))?;
            api.post("/api/v1/explain", &json!({ "definition": definition }))
        }
        (None, slo) => {
            let slo = slo.as_deref().unwrap_or_default();
            api.get(&format!("/api/v1/slos/{slo}/explain"))
        }
    };
    args.output.finish(view.map(|view| Answer {
        text: in_words(&view),
        json: view,
    }))
}

fn in_words(view: &Value) -> String {
    let mut told = String::new();
    for slo in items(&view["slos"]) {
        let spans = format::counted(view["spans_received"].as_i64().unwrap_or(0), "span");
        line(
            &mut told,
            format_args!("{}, by {spans} of the last hour", text(&slo["name"])),
        );
        for advice in items(&slo["advice"]) {
            line(&mut told, format_args!("! {}", text(advice)));
        }
        for selector in items(&slo["selectors"]) {
            add_selector(&mut told, selector);
        }
        for step in items(&slo["funnel"]) {
            line(
                &mut told,
                format_args!(
                    "{} {} ({})",
                    format::count(step["workflows"].as_i64().unwrap_or(0)),
                    text(&step["step"]),
                    text(&step["meaning"])
                ),
            );
        }
    }
    told
}

fn add_selector(told: &mut String, selector: &Value) {
    line(
        told,
        format_args!(
            "{}: {}",
            text(&selector["field"]),
            text(&selector["selector"])
        ),
    );
    line(told, format_args!("  {}", text(&selector["matched_text"])));
    for trace in items(&selector["examples"]) {
        line(told, format_args!("  trace {}", text(&trace["trace_id"])));
    }
    for group in items(&selector["correlated"]) {
        let spans = format::counted(group["spans"].as_i64().unwrap_or(0), "span");
        let by = group["by"].as_str().unwrap_or("nothing");
        line(told, format_args!("  {spans} identified by {by}"));
    }
    for near in items(&selector["nearest"]) {
        let trace = text(&near["example"]["trace_id"]);
        line(
            told,
            format_args!("  nearest: {} (trace {trace})", text(&near["text"])),
        );
    }
}

/// Adds a line. Text from senders is printed without control characters.
fn line(told: &mut String, text: std::fmt::Arguments<'_>) {
    let printable = text.to_string().replace(char::is_control, " ");
    // Writing to a string cannot fail.
    let _written = writeln!(told, "{printable}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_without_a_match_is_printed_with_what_is_nearest() {
        let view = json!({
            "spans_received": 412,
            "slos": [{
                "name": "orders",
                "advice": ["Set the id on both sides."],
                "selectors": [{
                    "field": "start", "selector": "{ kind = producer }",
                    "matched_text": "no span of the last hour matches",
                    "examples": [], "correlated": [],
                    "nearest": [{
                        "text": "412 spans match but for `kind = producer`: `kind` is `client`",
                        "example": { "trace_id": "0af7651916cd43dd8448eb211c80319c" },
                    }],
                }],
                "funnel": [{ "step": "started", "workflows": 0, "meaning": "0 are open" }],
            }],
        });
        insta::assert_snapshot!(in_words(&view), @r"
        orders, by 412 spans of the last hour
        ! Set the id on both sides.
        start: { kind = producer }
          no span of the last hour matches
          nearest: 412 spans match but for `kind = producer`: `kind` is `client` (trace 0af7651916cd43dd8448eb211c80319c)
        0 started (0 are open)
        ");
    }
}
