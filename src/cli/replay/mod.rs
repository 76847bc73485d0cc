//! `throughline replay`: a part of a Kafka topic is read again.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, process::ExitCode};

use serde_json::json;

use super::client::answer::{Answer, AnswerArgs};
use crate::{
    app::replay::{ReplayGap, ReplayReport, ReplayRequest, replay},
    config::{DatabaseConfig, KafkaConfig, LogConfig, SpanLimitsConfig},
    domain::model::{format, time::Timestamp},
    telemetry,
};

/// Read a part of a Kafka topic again, to repair a service's database or to try other definitions
///
/// Without `--backtest` it records the spans in the database of a service, which may keep running.
/// Spans that are recorded already are not counted twice; missing ones are added like late spans. With
/// `--backtest` it counts in an empty database with other definitions, and uses the times of the topic
/// instead of the clock. It joins no consumer group and commits no offsets. Messages that cannot be
/// read are counted and logged.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    /// Start time, such as `2026-11-29T06:00:00Z`, by the timestamps of the messages
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Timestamp,
    /// End time. By default the current end of the topic
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    /// Folder of definitions to count by, in an empty database
    #[arg(long, value_name = "FOLDER")]
    backtest: Option<PathBuf>,
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    kafka: KafkaConfig,
    #[command(flatten)]
    limits: SpanLimitsConfig,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let parsed = Timestamp::parse_iso8601(text);
    parsed.ok_or_else(|| "write a time as `2026-11-29T06:00:00Z`".to_owned())
}

pub fn run(args: ReplayArgs, log: &LogConfig) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    telemetry::start(log, "info", None)?;
    let request = ReplayRequest {
        from: args.from,
        to: args.to,
        backtest: args.backtest,
        kafka: args.kafka,
        database: args.database,
        limits: args.limits,
    };
    let report = runtime.block_on(replay(&request));
    // A reader may still wait for brokers.
    runtime.shutdown_background();
    let report = report?;
    args.output.print(&Answer {
        text: text(&report),
        json: as_json(&report),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text(report: &ReplayReport) -> String {
    let ReplayReport {
        topic,
        range,
        messages,
        offset_jumps,
        spans,
        rejected,
        matched,
        workflows,
        gaps,
    } = report;
    let count = |count: u64| format::count(i64::try_from(count).unwrap_or(i64::MAX));
    let unusable = without_zeros(messages, "committed");
    let read: u64 = messages.values().sum();
    let mut text = format!(
        "`{topic}` from {} to {}\n\
         messages   {} read{}\n\
         spans      {} read, {} of SLOs{}\n\
         workflows  {} new, {} changed, {} unchanged, {} removed before\n",
        range.from.to_rfc3339(),
        range.to.to_rfc3339(),
        count(read),
        listed("cannot be used", &unusable),
        count(*spans),
        count(*matched),
        listed("rejected", &without_zeros(rejected, "")),
        count(of(workflows, "new")),
        count(of(workflows, "changed")),
        count(of(workflows, "unchanged")),
        count(of(workflows, "removed")),
    );
    let recovered = of(offset_jumps, "recovered");
    if recovered > 0 {
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "a broker left messages out {}; they came when they were read again",
            format::counted(i64::try_from(recovered).unwrap_or(i64::MAX), "time")
        );
    }
    for gap in gaps {
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "partition {}: its first {} were removed from the topic. The first one that is left was written \
             at {}: what was written before is not read",
            gap.partition,
            format::counted(gap.removed, "message"),
            gap.until.to_rfc3339()
        );
    }
    text
}

fn of(counts: &BTreeMap<String, u64>, label: &str) -> u64 {
    counts.get(label).copied().unwrap_or_default()
}

fn without_zeros<'a>(counts: &'a BTreeMap<String, u64>, but: &str) -> Vec<(&'a str, u64)> {
    let some = counts
        .iter()
        .filter(|(label, count)| **count > 0 && *label != but);
    some.map(|(label, count)| (label.as_str(), *count))
        .collect()
}

/// Returns `, 3 rejected (no_end 1, too_late 2)`, or nothing.
fn listed(what: &str, counts: &[(&str, u64)]) -> String {
    let sum: u64 = counts.iter().map(|(_, count)| count).sum();
    if sum == 0 {
        return String::new();
    }
    let each: Vec<_> = counts
        .iter()
        .map(|(label, count)| format!("{label} {count}"))
        .collect();
    format!(", {sum} {what} ({})", each.join(", "))
}

fn as_json(report: &ReplayReport) -> serde_json::Value {
    let gap = |gap: &ReplayGap| {
        json!({
            "partition": gap.partition,
            "removed_messages": gap.removed,
            "until": gap.until.to_rfc3339(),
        })
    };
    json!({
        "topic": report.topic,
        "from": report.range.from.to_rfc3339(),
        "to": report.range.to.to_rfc3339(),
        "messages": report.messages,
        "offset_jumps": report.offset_jumps,
        "spans": report.spans,
        "spans_rejected": report.rejected,
        "spans_matched": report.matched,
        "workflows": report.workflows,
        "gaps": report.gaps.iter().map(gap).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::time::TimeRange;

    fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
        counts
            .map(|(label, count)| (label.to_owned(), count))
            .into()
    }

    #[test]
    fn what_was_read_is_a_line_and_what_is_missing_is_below_it() {
        let at = |text| Timestamp::parse_iso8601(text).unwrap();
        let report = ReplayReport {
            topic: "otlp_spans".to_owned(),
            range: TimeRange::new(at("2026-11-29T06:00:00Z"), at("2026-11-29T07:00:00Z")),
            messages: counts([("committed", 1_204), ("malformed", 2), ("too_large", 0)]),
            offset_jumps: counts([("confirmed", 7), ("recovered", 2)]),
            spans: 52_300,
            rejected: counts([("no_end", 1), ("too_late", 2)]),
            matched: 4_000,
            workflows: counts([("new", 12), ("changed", 40), ("unchanged", 1_960)]),
            gaps: vec![ReplayGap {
                partition: 3,
                removed: 500,
                until: at("2026-11-29T06:10:00Z"),
            }],
        };
        insta::assert_snapshot!(text(&report));
        insta::assert_snapshot!("as_json", format!("{:#}", as_json(&report)));
    }

    #[test]
    fn a_time_without_a_zone_or_a_date_is_refused() {
        assert!(moment("2026-11-29T06:00:00+01:00").is_ok());
        assert!(
            moment("yesterday")
                .unwrap_err()
                .contains("2026-11-29T06:00:00Z")
        );
    }
}
