//! `throughline size`: the machines that a load needs.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use serde_json::json;

use super::{
    client::answer::{Answer, AnswerArgs},
    table::TextTable,
};
use crate::domain::{
    health::capacity::{
        DatabaseServer, MOST_MEASURED, PartLimit, REPLICA_CORES, Sizing, Workload, size,
    },
    model::format,
};

/// Compute cores, connections, disk and Kafka partitions for a load, and the bottleneck
///
/// Uses measured costs, which OPERATING lists, and needs no running service. Exit codes: 0 computed, 1
/// the load is impossible.
#[derive(clap::Args, Debug)]
pub struct SizeArgs {
    /// Spans a second, of all services that send
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    spans: f64,
    /// Share of the spans that an SLO selects, as `1%`
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    slo_share: f64,
    /// Workflows a second. By default half of the spans that an SLO selects: a start and a finish each
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    workflows: Option<f64>,
    /// Share of the workflows that only links between spans identify, as `10%`
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = share)]
    linked_share: f64,
    /// Spans are read from Kafka, and not received over OTLP
    #[arg(long)]
    kafka: bool,
    /// How old a span may be, as `--horizon` of the service: workflows are kept for up to twice that
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    horizon: std::time::Duration,
    /// Number of SLOs
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    slos: u32,
    /// Cores of the largest database server that you would run
    #[arg(long, value_name = "NUMBER", default_value = "32", value_parser = number)]
    database_cores: f64,
    /// Its disk in TB
    #[arg(long, value_name = "TB", default_value = "8", value_parser = number)]
    database_disk: f64,
    #[command(flatten)]
    output: AnswerArgs,
}

/// With `k` or `M` after it.
fn number(text: &str) -> Result<f64, String> {
    let text = text.trim().replace([',', '_'], "");
    let (digits, factor) = match (text.strip_suffix('k'), text.strip_suffix('M')) {
        (Some(digits), _) => (digits, 1e3),
        (_, Some(digits)) => (digits, 1e6),
        (None, None) => (&*text, 1.0),
    };
    let number = digits.parse::<f64>().ok().map(|number| number * factor);
    let number = number.filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "write a number, such as `20000`, `20k` or `10M`".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.trim().parse(),
    };
    share.map_err(|_| "write a share, such as `1%` or `0.01`".to_owned())
}

pub fn run(args: &SizeArgs) -> anyhow::Result<ExitCode> {
    let load = args.load();
    let server = DatabaseServer {
        cores: args.database_cores,
        disk_bytes: args.database_disk * 1e12,
    };
    match size(load, server) {
        Ok(sizing) => {
            args.output.print(&Answer {
                text: text(load, &sizing),
                json: as_json(load, &sizing),
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let _written = writeln!(io::stderr(), "error: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

impl SizeArgs {
    fn load(&self) -> Workload {
        let of_slos = self.spans * self.slo_share;
        Workload {
            spans_per_second: self.spans,
            slo_share: self.slo_share,
            workflows_per_second: self.workflows.unwrap_or(of_slos / 2.0),
            linked_share: self.linked_share,
            from_kafka: self.kafka,
            horizon_days: self.horizon.as_secs_f64() / 86_400.0,
            slos: self.slos,
        }
    }
}

fn text(load: Workload, sizing: &Sizing) -> String {
    let installations = f64::from(sizing.installations);
    let mut table = TextTable::new(["Part", "Each installation", "All"]);
    let rows = [
        (
            "service, cores",
            sizing.service_cores,
            cores as fn(f64) -> String,
        ),
        ("service, replicas", f64::from(sizing.replicas), counted),
        ("PostgreSQL, cores", sizing.database_cores, cores),
        (
            "PostgreSQL, connections",
            f64::from(sizing.connections),
            counted,
        ),
        ("PostgreSQL, disk", sizing.disk_bytes, bytes),
    ];
    for (part, each, written) in rows {
        table.row([part, &written(each), &written(each * installations)]);
    }
    let partitions = sizing.partitions.to_string();
    table.row(["Kafka, partitions", &partitions, &partitions]);
    let mut text = format!(
        "{} spans a second, {} of them in SLOs, {} workflows a second, {} SLOs\n\n{}\n{table}\n",
        counted(load.spans_per_second),
        format::percent(load.slo_share),
        counted(load.workflows_per_second),
        load.slos,
        shared(sizing.installations),
    );
    for (place, PartLimit { part, times }) in sizing.limits.iter().enumerate() {
        let order = if place == 0 {
            "first to give way"
        } else {
            "then"
        };
        let spans = counted(load.spans_per_second * times);
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{order}: {part}, at {times:.1} times this load ({spans} spans a second)"
        );
    }
    let _written = writeln!(
        text,
        "\nHalf of every core is planned to stay free; a replica has {REPLICA_CORES} cores. Costs were measured \
         on two\nshared cores, up to {} workflows a second in one database: {}.",
        counted(MOST_MEASURED),
        if load.workflows_per_second / installations > MOST_MEASURED {
            "this is extrapolated, so measure before you rely on it"
        } else {
            "leave room, and measure your own spans"
        }
    );
    text
}

/// Numbers of one installation, as computed: nothing is rounded.
fn as_json(load: Workload, sizing: &Sizing) -> serde_json::Value {
    let limit = |limit: &PartLimit| json!({ "part": limit.part, "times": limit.times });
    json!({
        "spans_per_second": load.spans_per_second,
        "slo_share": load.slo_share,
        "workflows_per_second": load.workflows_per_second,
        "slos": load.slos,
        "installations": sizing.installations,
        "of_each_installation": {
            "service_cores": sizing.service_cores,
            "replicas": sizing.replicas,
            "database_cores": sizing.database_cores,
            "connections": sizing.connections,
            "disk_bytes": sizing.disk_bytes,
        },
        "kafka_partitions": sizing.partitions,
        "limits": sizing.limits.iter().map(limit).collect::<Vec<_>>(),
    })
}

fn shared(installations: u32) -> String {
    match installations {
        1 => "One installation suffices.".to_owned(),
        number => format!(
            "{number} installations share the SLOs by `--slo-selector`; each scans all spans."
        ),
    }
}

fn cores(number: f64) -> String {
    format!("{:.1}", (number * 10.0).ceil() / 10.0)
}

fn counted(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    let whole = number.round() as i64;
    format::count(whole)
}

fn bytes(number: f64) -> String {
    match number {
        number if number >= 1e12 => format!("{:.1} TB", number / 1e12),
        number => format!("{:.1} GB", number / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        args: SizeArgs,
    }

    fn computed(arguments: &[&str]) -> (Workload, Sizing) {
        let given = std::iter::once("size").chain(arguments.iter().copied());
        let args = Parsed::parse_from(given).args;
        let load = args.load();
        let server = DatabaseServer {
            cores: args.database_cores,
            disk_bytes: args.database_disk * 1e12,
        };
        (load, size(load, server).unwrap())
    }

    fn sized(arguments: &[&str]) -> String {
        let (load, sizing) = computed(arguments);
        text(load, &sizing)
    }

    #[test]
    fn a_load_is_printed_with_what_it_needs() {
        insta::assert_snapshot!("twenty_thousand", sized(&["--spans", "20k"]));
        insta::assert_snapshot!("from_kafka", sized(&["--spans", "1M", "--kafka"]));
        let (load, sizing) = computed(&["--spans", "1M", "--kafka"]);
        insta::assert_snapshot!("as_json", format!("{:#}", as_json(load, &sizing)));
        insta::assert_snapshot!("ten_million", sized(&["--spans", "10M", "--slos", "1000"]));
    }

    #[test]
    fn numbers_may_be_short_and_shares_percentages() {
        assert_eq!(number("1.5M"), Ok(1_500_000.0));
        assert_eq!(number("20,000"), Ok(20_000.0));
        assert_eq!(share("0.5 %"), Ok(0.005));
        assert_eq!(share("0.01"), Ok(0.01));
        for text in ["", "many", "-1", "inf"] {
            assert!(number(text).is_err(), "{text}");
        }
        assert!(share("half").is_err());
    }
}
