//! `throughline deliveries`: lists the deliveries of a running service, and retries failed ones.

use std::{fmt::Write as _, process::ExitCode};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    answer::{Answer, AnswerArgs},
    api::{Api, ServerArgs},
};
use crate::domain::{model::format, notify::delivery::DeliveryState};

/// Show deliveries, and retry failed ones
#[derive(clap::Args, Debug)]
pub struct DeliveriesArgs {
    #[command(flatten)]
    output: AnswerArgs,
    #[command(subcommand)]
    command: DeliveriesCommand,
}

#[derive(Debug, Subcommand)]
enum DeliveriesCommand {
    /// List deliveries, newest first, at most a hundred
    List {
        /// Only those in this state
        #[arg(long, value_parser = DeliveryState::ALL.map(DeliveryState::as_str))]
        state: Option<String>,
        /// Only those to this target
        #[arg(long)]
        target: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show one delivery with every attempt
    Show {
        id: i64,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Retry a delivery that failed, expired or was cancelled, and the later ones of its alert
    Retry {
        id: i64,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub fn run(args: DeliveriesArgs) -> anyhow::Result<ExitCode> {
    let answered = match args.command {
        DeliveriesCommand::List {
            state,
            target,
            server,
        } => {
            let query = [("state", state.as_deref()), ("target", target.as_deref())];
            let view = Api::new(&server)?.get_with("/api/v1/deliveries", &query);
            view.map(|view| answer(view, list))
        }
        DeliveriesCommand::Show { id, server } => {
            let delivery = Api::new(&server)?.get(&format!("/api/v1/deliveries/{id}"));
            delivery.map(|delivery| answer(delivery, show))
        }
        DeliveriesCommand::Retry { id, server } => {
            let path = format!("/api/v1/deliveries/{id}/retry");
            let queued = Api::new(&server)?.post(&path, &json!({}));
            queued.map(|queued| answer(queued, |queued| retried(id, queued)))
        }
    };
    args.output.finish(answered)
}

fn answer(json: Value, print: impl FnOnce(&Value) -> String) -> Answer {
    Answer {
        text: print(&json),
        json,
    }
}

fn retried(id: i64, queued: &Value) -> String {
    let count = queued["queued"].as_u64().unwrap_or_default();
    let others = match count.saturating_sub(1) {
        0 => String::new(),
        others => format!(", and {others} that followed it"),
    };
    format!("delivery {id} is on its way{others}\n")
}

fn list(view: &Value) -> String {
    let mut text = String::new();
    let deliveries = view["deliveries"].as_array();
    for delivery in deliveries.into_iter().flatten() {
        text += &line(delivery);
    }
    if text.is_empty() {
        "there are none\n".to_owned()
    } else {
        text
    }
}

/// Formats `17  2026-11-22T06:18:29.000Z  failed     pager  3 attempts  PAGE 412 of 9,120 customers
/// ...`.
fn line(delivery: &Value) -> String {
    let word = |field: &str| delivery[field].as_str().unwrap_or_default();
    let attempts = delivery["attempts"].as_array().map_or(0, Vec::len);
    let attempts = format::counted(i64::try_from(attempts).unwrap_or(i64::MAX), "attempt");
    format!(
        "{:>6}  {}  {:<9}  {}  {attempts}  {}\n",
        delivery["id"].as_i64().unwrap_or_default(),
        word("queued_at"),
        word("state"),
        word("target"),
        word("summary"),
    )
}

fn show(delivery: &Value) -> String {
    let mut text = line(delivery);
    if let Some(first) = delivery["fallback_for"].as_str() {
        let _written = writeln!(text, "        sent as the fallback of {first}");
    }
    if let Some(at) = delivery["escalated_at"].as_str() {
        let _written = writeln!(text, "        sent to its fallback as well at {at}");
    }
    for attempt in delivery["attempts"].as_array().into_iter().flatten() {
        let word = |field: &str| attempt[field].as_str().unwrap_or_default();
        let status = attempt["http_status"]
            .as_i64()
            .map_or_else(String::new, |status| format!(" {status}"));
        let _written = writeln!(
            text,
            "{:>6}  {}  {} ms  {}{status}  {}",
            attempt["number"].as_i64().unwrap_or_default(),
            word("started_at"),
            attempt["duration_ms"],
            word("class"),
            word("excerpt"),
        );
    }
    if let Some(at) = delivery["next_attempt_at"].as_str() {
        let _written = writeln!(text, "        next try at {at}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_shown_with_every_try_at_it() {
        let delivery = json!({
            "id": 17, "queued_at": "2026-11-22T06:18:29.000Z", "state": "failed", "target": "pager",
            "summary": "PAGE", "fallback_for": null, "escalated_at": "2026-11-22T06:20:29.000Z",
            "next_attempt_at": null,
            "attempts": [{
                "number": 1, "started_at": "2026-11-22T06:18:30.000Z", "duration_ms": 12,
                "class": "rejected", "http_status": 400, "excerpt": "no",
            }],
        });
        assert_eq!(
            show(&delivery),
            "    17  2026-11-22T06:18:29.000Z  failed     pager  1 attempt  PAGE\n        \
             sent to its fallback as well at 2026-11-22T06:20:29.000Z\n     \
             1  2026-11-22T06:18:30.000Z  12 ms  rejected 400  no\n"
        );
        assert_eq!(list(&json!({ "deliveries": [] })), "there are none\n");
    }
}
