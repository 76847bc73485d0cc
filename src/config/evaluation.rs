//! Settings of evaluations and alerts.

use std::time::Duration;

use clap::Args;

use super::duration;
use crate::domain::alerting::trace_link::TraceViewer;

/// Incidents are kept for a calendar year plus some weeks, so that the report of a month can be compared
/// with that of a year before.
pub const ALERT_RETENTION: Duration = Duration::from_hours(400 * 24);
/// The report of a month is made after its end.
const SHORTEST_ALERT_RETENTION: Duration = Duration::from_hours(35 * 24);

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Evaluation and alerts")]
pub struct EvaluationConfig {
    /// How often SLOs are evaluated
    #[arg(long, env = "THROUGHLINE_EVALUATION_INTERVAL", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub evaluation_interval: Duration,
    /// Address at which people reach the pages. Links in notifications begin with it
    #[arg(long, env = "THROUGHLINE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Show a chart in messages. It is fetched from a signed address below `--public-url`, which works
    /// without a login for a day
    #[arg(long, env = "THROUGHLINE_MESSAGE_CHARTS", requires = "public_url")]
    pub message_charts: bool,
    /// Trace viewer to link to, as `Jaeger=https://jaeger.example/trace/{trace_id}`. Separate several
    /// by spaces. `{workflow}`, `{from_s}`, `{from_ms}`, `{to_s}` and `{to_ms}` are replaced too
    #[arg(
        long = "trace-url",
        env = "THROUGHLINE_TRACE_URL",
        value_name = "NAME=URL",
        value_delimiter = ' '
    )]
    pub trace_viewers: Vec<TraceViewer>,
    /// How long incidents are kept after their end, with their deliveries, and change events. Reports of
    /// earlier months have none
    #[arg(long, env = "THROUGHLINE_ALERT_RETENTION", value_name = "DURATION", default_value = "400d", value_parser = alert_retention)]
    pub alert_retention: Duration,
}

fn alert_retention(text: &str) -> Result<Duration, String> {
    let kept = duration(text)?;
    if kept < SHORTEST_ALERT_RETENTION {
        return Err("must be 35d at least, so that the report of a month has all of it".to_owned());
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incidents_are_kept_until_the_report_of_their_month() {
        assert_eq!(alert_retention("400d"), Ok(ALERT_RETENTION));
        assert!(alert_retention("35d").is_ok());
        for bad in ["34d", "1h", "soon"] {
            assert!(alert_retention(bad).is_err(), "{bad}");
        }
    }
}
