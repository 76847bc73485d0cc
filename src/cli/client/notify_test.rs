//! `throughline notify-test`: tests a target of a running service, and shows the result.

use std::{io, process::ExitCode, thread, time::Duration};

use serde_json::{Value, json};

use super::{
    answer::{Answer, AnswerArgs, items, text},
    api::{Api, ApiError, ServerArgs},
};
use crate::cli::output::print;

/// The interval at which the service is asked for the progress of the test.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Send a test to a target, and show every attempt until it succeeds or fails
///
/// The test is processed like an alert. In PagerDuty it has severity info and is resolved at once.
/// Exit codes: 0 delivered, 1 not delivered, 3 the service could not be asked.
#[derive(clap::Args, Debug)]
pub struct NotifyTestArgs {
    /// Which target, by the name that it is declared under
    target: String,
    /// Content of the test
    #[arg(long, value_enum, default_value_t = ScenarioArg::Firing)]
    scenario: ScenarioArg,
    /// Show what would be sent, and send nothing
    #[arg(long)]
    render: bool,
    /// How long to wait for the outcome
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ScenarioArg {
    /// An alert that fires
    Firing,
    /// The same alert, resolved
    Resolved,
    /// Everything as long as it may be
    Long,
    /// Letters of many scripts, and text that would mention a channel
    Unicode,
    /// Fifteen alerts at once
    Storm,
}

impl ScenarioArg {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Long => "long",
            Self::Unicode => "unicode",
            Self::Storm => "storm",
        }
    }
}

pub fn run(args: &NotifyTestArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    let path = format!("/api/v1/targets/{}/test", args.target);
    let wish = json!({ "scenario": args.scenario.as_str(), "render": args.render });
    let begun = match api.post(&path, &wish) {
        Ok(begun) => begun,
        Err(error) => return Ok(error.report()),
    };
    if args.render {
        args.output.print(&rendered(begun))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !args.output.is_json() {
        print(&named(&begun))?;
    }
    let path = format!("{path}/{}", text(&begun["test"]));
    match follow(&api, &path, args)? {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) => Ok(error.report()),
    }
}

/// Returns the bodies, each after the id of its message.
fn named(begun: &Value) -> String {
    let messages = items(&begun["messages"]);
    let lines =
        messages.map(|message| format!("{} {:#}\n", text(&message["message"]), message["body"]));
    lines.collect()
}

/// Returns only the bodies, which other programs read one after the other.
fn rendered(begun: Value) -> Answer {
    let bodies = items(&begun["messages"]).map(|message| format!("{:#}\n", message["body"]));
    Answer {
        text: bodies.collect(),
        json: begun,
    }
}

/// Prints every attempt as soon as it is known; as JSON only the result. Returns false if not
/// everything was delivered in time.
fn follow(api: &Api, path: &str, args: &NotifyTestArgs) -> io::Result<Result<bool, ApiError>> {
    let mut printed = 0;
    let polls = args.timeout.as_millis() / POLL_INTERVAL.as_millis() + 1;
    let mut view = Value::Null;
    for _ in 0..polls {
        view = match api.get(path) {
            Ok(view) => view,
            Err(error) => return Ok(Err(error)),
        };
        let lines = lines(&view);
        if !args.output.is_json() {
            let new_lines = lines.iter().skip(printed).map(|line| format!("{line}\n"));
            print(&new_lines.collect::<String>())?;
        }
        printed = printed.max(lines.len());
        if view["finished"] == true {
            break;
        }
        thread::sleep(POLL_INTERVAL);
    }
    let delivered = view["delivered"] == true;
    let text = match (view["finished"] == true, delivered) {
        (false, _) => "not finished yet: follow it on the page /targets\n",
        (true, true) => "delivered\n",
        (true, false) => "not delivered\n",
    };
    let text = text.to_owned();
    args.output.print(&Answer { json: view, text })?;
    Ok(Ok(delivered))
}

/// Returns one line per attempt, in the order in which they began.
fn lines(view: &Value) -> Vec<String> {
    let mut tries: Vec<(String, String)> = Vec::new();
    for delivery in items(&view["deliveries"]) {
        for attempt in items(&delivery["attempts"]) {
            let began = text(&attempt["started_at"]).to_owned();
            tries.push((began, try_line(delivery, attempt)));
        }
    }
    tries.sort();
    tries.into_iter().map(|(_, line)| line).collect()
}

fn try_line(delivery: &Value, attempt: &Value) -> String {
    let mut parts = vec![format!(
        "{} try {} of {}: {} after {} ms",
        text(&attempt["started_at"]),
        attempt.get("number").unwrap_or(&Value::Null),
        text(&delivery["message"]),
        text(&attempt["class"]),
        attempt.get("duration_ms").unwrap_or(&Value::Null),
    )];
    let status = attempt.get("http_status").and_then(Value::as_i64);
    parts.extend(status.map(|status| format!(", HTTP {status}")));
    let said = attempt.get("excerpt").and_then(Value::as_str);
    parts.extend(said.map(|said| format!(": {said}")));
    let again = attempt.get("retry_at").and_then(Value::as_str);
    parts.extend(again.map(|at| format!("; again at {at}")));
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_told_in_the_order_in_which_they_began() {
        let attempt = |at: &str, class: &str| {
            json!({
                "number": 1, "started_at": at, "duration_ms": 12, "class": class,
                "http_status": 503, "excerpt": "busy", "retry_at": null,
            })
        };
        let view = json!({ "deliveries": [
            { "message": "m1", "attempts": [attempt("06:01", "delivered")] },
            { "message": "m2", "attempts": [attempt("06:00", "unavailable")] },
        ]});
        assert_eq!(
            lines(&view),
            [
                "06:00 try 1 of m2: unavailable after 12 ms, HTTP 503: busy",
                "06:01 try 1 of m1: delivered after 12 ms, HTTP 503: busy",
            ]
        );
    }
}
