//! `throughline silence`: lists, previews, creates and ends silences, similar to `amtool`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use chrono_tz::Tz;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    answer::{Answer, AnswerArgs, items, text, time},
    api::{Api, ApiError, ServerArgs},
};
use crate::{
    cli::table::TextTable,
    domain::model::{format, time::Timestamp},
};

/// Silence alerts of a running service: list, preview, add, expire
///
/// Matchers look as in Alertmanager: `slo=orders`, `team=~"pay.*"`, `severity!=page`. An alert has
/// `slo`, `service`, `severity`, `group` and the labels of its SLO; a word alone is the name of an SLO.
#[derive(Args, Debug)]
pub struct SilenceArgs {
    #[command(flatten)]
    server: ServerArgs,

    #[command(flatten)]
    output: AnswerArgs,

    #[command(subcommand)]
    command: SilenceCommand,
}

#[derive(Debug, Subcommand)]
enum SilenceCommand {
    /// Suppress notifications for matching alerts, for a while
    Add(AddArgs),
    /// Show active silences and recently expired ones
    #[command(alias = "query", alias = "ls")]
    List(ListArgs),
    /// End silences now
    #[command(alias = "end")]
    Expire {
        /// As `list` shows them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Show what a silence would mute, and would have muted in the last seven days
    Preview {
        #[arg(required = true, value_name = "MATCHER")]
        matchers: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct AddArgs {
    /// All of them must match
    #[arg(required = true, value_name = "MATCHER")]
    matchers: Vec<String>,
    /// For how long, as `30m`, `2h` or `1d 12h`
    #[arg(short, long, required_unless_present = "end", conflicts_with = "end")]
    duration: Option<String>,
    /// From when, as `2026-12-06T02:00:00Z`; by default from now
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    end: Option<String>,
    /// Repeats by this rule of iCalendar, as `FREQ=WEEKLY;BYDAY=SU;COUNT=10`
    #[arg(long, value_name = "RULE", requires = "start")]
    repeat: Option<String>,
    /// Time zone of the repetition
    #[arg(long, value_name = "ZONE", requires = "repeat")]
    time_zone: Option<String>,
    /// Reason for the silence
    #[arg(short, long, visible_alias = "why", value_name = "TEXT")]
    comment: String,
    /// Author of the silence, unless the service knows the user
    #[arg(short, long, env = "USER", value_name = "NAME")]
    author: Option<String>,
    /// Allow more than 30 days in all, up to a year
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Only expired ones
    #[arg(long, conflicts_with = "state")]
    expired: bool,
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = ["active", "pending", "expired"])]
    state: Option<String>,
    /// Only their ids, for other commands
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(args: &SilenceArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    let done = match &args.command {
        SilenceCommand::Add(asked) => add(&api, asked),
        SilenceCommand::List(asked) => list(&api, asked),
        SilenceCommand::Expire { ids } => expire(&api, ids),
        SilenceCommand::Preview { matchers } => preview(&api, matchers),
    };
    args.output
        .finish(done.map_err(|error| error.in_flags(&FLAGS)))
}

/// The flags of `add`, by the corresponding names of API fields.
const FLAGS: [(&str, &str); 6] = [
    ("force", "force"),
    ("duration", "duration"),
    ("starts_at", "start"),
    ("ends_at", "end"),
    ("reason", "comment"),
    ("repeat", "repeat"),
];

/// Prints only the id, as `amtool` does, so that a script can use it.
fn add(api: &Api, asked: &AddArgs) -> Result<Answer, ApiError> {
    let repeat = asked
        .repeat
        .as_ref()
        .map(|rule| json!({ "rule": rule, "time_zone": asked.time_zone }));
    let made = api.post(
        "/api/v1/silences",
        &json!({
            "matchers": matchers(&asked.matchers),
            "duration": asked.duration,
            "starts_at": asked.start,
            "ends_at": asked.end,
            "repeat": repeat,
            "reason": asked.comment,
            "created_by": asked.author,
            "force": asked.force,
        }),
    )?;
    if made["is_long"] == true {
        let _written = writeln!(
            io::stderr(),
            "warning: the silence mutes for more than 7 days in all: end it once it is not needed"
        );
    }
    Ok(Answer {
        text: format!("{}\n", text(&made["id"])),
        json: made,
    })
}

fn list(api: &Api, asked: &ListArgs) -> Result<Answer, ApiError> {
    let state = if asked.expired {
        Some("expired")
    } else {
        asked.state.as_deref()
    };
    let wanted = state.map_or_else(String::new, |state| format!("?state={state}"));
    let listed = api.get(&format!("/api/v1/silences{wanted}"))?;
    let silences = listed["silences"].as_array().cloned().unwrap_or_default();
    let text = if asked.quiet {
        let ids = silences.iter().map(|one| format!("{}\n", text(&one["id"])));
        ids.collect()
    } else {
        table(&silences, time(&listed["as_of"]))
    };
    Ok(Answer { json: listed, text })
}

fn table(silences: &[Value], now: Option<Timestamp>) -> String {
    let mut table = TextTable::new(["ID", "State", "Matchers", "Ends", "By", "Why"]);
    for one in silences {
        let matchers: Vec<&str> = items(&one["matchers"]).map(text).collect();
        let ends = match (time(&one["interval"]["to"]).or(time(&one["ends_at"])), now) {
            (Some(at), Some(now)) => format::moment(at, now, Tz::UTC),
            _ => format::NONE.to_owned(),
        };
        table.row([
            text(&one["id"]),
            text(&one["state"]),
            &matchers.join(" "),
            &ends,
            text(&one["created_by"]),
            text(&one["reason"]),
        ]);
    }
    table.to_string()
}

fn expire(api: &Api, ids: &[String]) -> Result<Answer, ApiError> {
    let ended: Result<Vec<Value>, ApiError> = ids
        .iter()
        .map(|id| api.delete(&format!("/api/v1/silences/{}", as_segment(id))))
        .collect();
    Ok(Answer {
        json: Value::Array(ended?),
        text: String::new(),
    })
}

fn preview(api: &Api, written: &[String]) -> Result<Answer, ApiError> {
    let asked = json!({ "matchers": matchers(written) });
    let seen = api.post("/api/v1/silences/preview", &asked)?;
    let mut matching = TextTable::new(["SLO", "Group", "Severity", "State"]);
    for one in items(&seen["matches"]) {
        matching.row(["slo", "group", "severity", "state"].map(|name| text(&one[name])));
    }
    let mut muted = TextTable::new(["At", "SLO", "Group", "Severity", "What"]);
    for one in items(&seen["would_have_muted"]) {
        muted.row(["at", "slo", "group", "severity", "kind"].map(|name| text(&one[name])));
    }
    Ok(Answer {
        text: format!(
            "Alerts that match:\n{matching}\nOf the last 7 days it would have muted:\n{muted}"
        ),
        json: seen,
    })
}

/// Returns matchers. A single word is the name of an SLO, as in `amtool` it is that of an alert.
fn matchers(written: &[String]) -> Vec<String> {
    written
        .iter()
        .map(|text| {
            if text.contains(['=', '!']) {
                text.clone()
            } else {
                format!("slo={text}")
            }
        })
        .collect()
}

/// Encodes an id as a path segment, so that it cannot lead to another path.
fn as_segment(id: &str) -> String {
    id.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}
