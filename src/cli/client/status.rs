//! `throughline status`: shows the state of every SLO.

use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    answer::{Answer, AnswerArgs, items, text},
    api::{Api, ApiError, ServerArgs},
    watch::WatchArgs,
};
use crate::{
    cli::table::TextTable,
    domain::{
        alerting::{
            alert::{AlertStatus, firing},
            rule_status::{RuleStatus, WindowStatus, leading_rule},
        },
        model::format,
    },
};

/// Show the state of every SLO, the most urgent first
///
/// For a pipeline: `throughline status --fail-on paging` ends with 1 while an SLO pages. Exit codes: 0
/// fine, 1 an SLO is in one of these states, 3 the service could not be asked.
#[derive(clap::Args, Debug)]
pub struct StatusArgs {
    /// Only SLOs whose name, title, service or labels contain this
    #[arg(value_name = "TEXT")]
    search: Option<String>,
    /// End with 1 if an SLO is in this state or in a more urgent one
    #[arg(long, value_name = "STATE", value_parser = STATES, conflicts_with = "watch")]
    fail_on: Option<String>,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Most urgent first.
const STATES: [&str; 7] = [
    "paging",
    "ticket",
    "recovering",
    "rising",
    "no_data",
    "too_few",
    "ok",
];

pub fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    let fails_at = args.fail_on.as_deref().map(urgency);
    args.watch.show(args.output, || {
        let slos = all(&api, args.search.as_deref())?;
        let worst = slos.iter().map(|slo| urgency(text(&slo["state"]))).min();
        let is_bad = worst.zip(fails_at).is_some_and(|(worst, at)| worst <= at);
        let answer = Answer {
            text: table(&slos),
            json: json!({ "slos": slos }),
        };
        Ok((answer, is_bad))
    })
}

fn urgency(state: &str) -> usize {
    let known = STATES.iter().position(|known| *known == state);
    known.unwrap_or(STATES.len())
}

/// Returns all SLOs, page by page.
fn all(api: &Api, search: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let search = search.unwrap_or_default();
    let mut slos: Vec<Value> = Vec::new();
    let mut after = None;
    loop {
        let query = [("q", Some(search)), ("after", after.as_deref())];
        let view = api.get_with("/api/v1/slos", &query)?;
        slos.extend(items(&view["slos"]).cloned());
        after = view["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    slos.sort_by_key(|slo| urgency(text(&slo["state"])));
    Ok(slos)
}

fn table(slos: &[Value]) -> String {
    let mut table = TextTable::new(["State", "SLO", "Budget left", "Burn rate", "Bad", "Open"]);
    for slo in slos {
        let left = &slo["budget_remaining_ratio"];
        let at_worst = &slo["budget_remaining_at_worst_ratio"];
        let (burn, bad) = pace(slo).unwrap_or_else(|| [format::NONE; 2].map(str::to_owned).into());
        table.row([
            text(&slo["state"]),
            text(&slo["name"]),
            &format::budget_range(left.as_f64(), at_worst.as_f64()),
            &burn,
            &bad,
            &slo["in_flight"].to_string(),
        ]);
    }
    table.to_string()
}

/// Returns how fast the budget burns and how many events were bad, in the window of the pages.
fn pace(slo: &Value) -> Option<(String, String)> {
    let pace: WindowStatus = read(&slo["leading_window"])?;
    let rules: Vec<RuleStatus> = read(&slo["rules"])?;
    let alerts: Vec<AlertStatus> = read(&slo["alerts"])?;
    let fired = firing(&alerts).and_then(|alert| alert.rule.as_ref());
    let factor = leading_rule(&rules, fired).map(|rule| rule.factor);
    Some((
        format::burn_rate(pace.burn_rate, factor),
        pace.bad_sentence(),
    ))
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::counts::EventCounts;

    #[test]
    fn a_state_is_as_urgent_as_it_stands_in_the_list() {
        assert!(urgency("paging") < urgency("ticket"));
        assert!(urgency("ok") < urgency("never evaluated"));
    }

    #[test]
    fn an_slo_is_a_row_with_what_is_left_of_its_budget() {
        let window = |rate, bad| {
            let counts = EventCounts {
                good: 68,
                late: bad,
                ..EventCounts::ZERO
            };
            WindowStatus::new(21_600, counts, rate)
        };
        let slo = json!({
            "name": "orders", "state": "paging", "budget_remaining_ratio": 0.25,
            "leading_window": window(Some(5.591), 12), "rules": [], "alerts": [], "in_flight": 3,
        });
        let young = json!({
            "name": "refunds", "state": null, "budget_remaining_ratio": null,
            "leading_window": window(None, 0), "rules": [], "alerts": [], "in_flight": 0,
        });
        insta::assert_snapshot!(table(&[slo, young]));
    }
}
