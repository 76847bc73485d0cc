//! `throughline doctor`: checks the requirements of the service.

use std::{fmt::Write as _, process::ExitCode};

use serde_json::json;

use super::client::answer::{Answer, AnswerArgs};
use crate::{
    app::doctor::{Examined, examine},
    config::{DatabaseConfig, DefinitionsConfig, DeliveryConfig, KafkaConfig, TlsConfig},
    domain::health::diagnosis::{Diagnosis, DiagnosisResult},
};

/// Check database, Kafka, definitions, targets and the service, and give advice
///
/// Run it where the service runs, with the same settings. It changes nothing and sends nothing. Exit
/// codes: 0 fine or only warnings, 1 something does not work.
#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    output: AnswerArgs,
    #[command(flatten)]
    definitions: DefinitionsConfig,
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    kafka: KafkaConfig,
    #[command(flatten)]
    delivery: DeliveryConfig,
    #[command(flatten)]
    tls: TlsConfig,
}

pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let found = runtime.block_on(examine(Examined {
        definitions: &args.definitions,
        database: &args.database,
        kafka: &args.kafka,
        delivery: &args.delivery,
        tls: &args.tls,
    }));
    let works = found
        .iter()
        .all(|diagnosis| diagnosis.result != DiagnosisResult::Fail);
    args.output.print(&Answer {
        text: text(&found),
        json: json!({ "works": works, "checks": found }),
    })?;
    Ok(if works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(found: &[Diagnosis]) -> String {
    let width = found.iter().map(|diagnosis| diagnosis.check.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for Diagnosis {
        check,
        result,
        text: what,
        advice,
    } in found
    {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{:<4}  {check:<width$}  {what}", result.as_str());
        if let Some(advice) = advice {
            let _written = writeln!(text, "      {:<width$}  = help: {advice}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_and_advice_is_below_it() {
        let found = [
            Diagnosis::ok("database", "it answers"),
            Diagnosis::fail("clocks", "they differ", "use NTP"),
        ];
        assert_eq!(
            text(&found),
            "OK    database  it answers\n\
             FAIL  clocks    they differ\n\
             \u{20}               = help: use NTP\n"
        );
    }
}
