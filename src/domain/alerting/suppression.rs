//! The reason why a recorded transition was not notified.

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    model::{format, time::Timestamp},
    slo::Severity,
};

/// Stored with the transition, so that "why was I not notified?" has an answer. An end whose
/// beginning was notified is never suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Suppression {
    /// Another alert is firing: one of the same SLO or, for a group, of its SLO.
    Inhibited { by: Severity },
    /// A silence suppresses it until then.
    Silenced { silence: Uuid, until: Timestamp },
}

impl Suppression {
    /// Formats `inhibited by the page`, `silenced until 06:00 UTC`.
    pub fn text(self) -> String {
        match self {
            Self::Inhibited { by } => format!("inhibited by the {}", by.as_str()),
            Self::Silenced { until, .. } => {
                format!("silenced until {}", format::time_of_day(until, Tz::UTC))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_says_what_held_it_back_and_survives_its_json() {
        let until = Timestamp::parse_rfc3339("2026-11-22T06:00:00Z").unwrap();
        let silence = Uuid::from_u128(5);
        for (suppression, text) in [
            (
                Suppression::Inhibited { by: Severity::Page },
                "inhibited by the page",
            ),
            (
                Suppression::Silenced { silence, until },
                "silenced until 06:00 UTC",
            ),
        ] {
            assert_eq!(suppression.text(), text);
            let json = serde_json::to_string(&suppression).unwrap();
            let again: Suppression = serde_json::from_str(&json).unwrap();
            assert_eq!(again, suppression);
        }
    }
}
