//! `throughline alerts`: what fires now.

use std::process::ExitCode;

use chrono_tz::Tz;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{
    answer::{Answer, AnswerArgs, items, text, time},
    api::{Api, ServerArgs},
    watch::WatchArgs,
};
use crate::{
    cli::table::TextTable,
    domain::{alerting::suppression::Suppression, model::format},
};

/// Show the alerts that fire, pages first
///
/// Exit codes: 0 fine, 1 an alert fires that `--fail-on` names, 3 the service could not be asked.
#[derive(clap::Args, Debug)]
pub struct AlertsArgs {
    /// End with 1 if a page fires, or with `ticket` if any alert fires
    #[arg(long, value_name = "SEVERITY", value_parser = ["page", "ticket"], conflicts_with = "watch")]
    fail_on: Option<String>,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &AlertsArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    args.watch.show(args.output, || {
        let view = api.get("/api/v1/alerts")?;
        let is_meant = |alert: &Value| match args.fail_on.as_deref() {
            Some("page") => alert["severity"] == "page",
            Some(_) => true,
            None => false,
        };
        let is_bad = items(&view["firing"]).any(is_meant);
        let answer = Answer {
            text: table(&view),
            json: json!({ "as_of": view["as_of"], "firing": view["firing"] }),
        };
        Ok((answer, is_bad))
    })
}

fn table(view: &Value) -> String {
    let now = time(&view["as_of"]);
    let mut table = TextTable::new(["Severity", "SLO", "Group", "State", "Since", "Rule"]);
    for alert in items(&view["firing"]) {
        let since = match (time(&alert["began_at"]), now) {
            (Some(at), Some(now)) => format::moment(at, now, Tz::UTC),
            _ => format::NONE.to_owned(),
        };
        let rule = [&alert["rule"]["name"], &alert["threshold_rule"]["name"]];
        let rule = rule.into_iter().find_map(Value::as_str);
        let suppression = Suppression::deserialize(&alert["suppression"]).ok();
        let state = [Some(text(&alert["state"]).to_owned())]
            .into_iter()
            .chain([suppression.map(Suppression::text)]);
        let state: Vec<String> = state.flatten().collect();
        table.row([
            text(&alert["severity"]),
            text(&alert["slo"]),
            text(&alert["group"]),
            &state.join(", "),
            &since,
            rule.unwrap_or(format::NONE),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_a_row_with_the_rule_that_fired() {
        let view = json!({
            "as_of": "2026-11-22T06:30:00.000Z",
            "firing": [
                {
                    "severity": "page", "slo": "orders", "group": null, "state": "firing",
                    "began_at": "2026-11-22T06:12:00.000Z",
                    "rule": { "name": "fast-burn" }, "threshold_rule": null,
                },
                {
                    "severity": "ticket", "slo": "orders", "group": "acme", "state": "recovering",
                    "began_at": "2026-11-21T23:00:00.000Z",
                    "suppression": { "kind": "inhibited", "by": "page" },
                    "rule": null, "threshold_rule": { "name": "half-spent" },
                },
            ],
        });
        insta::assert_snapshot!(table(&view));
    }
}
