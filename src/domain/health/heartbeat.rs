//! Decides whether to send the heartbeat: only a service that receives, evaluates and notifies is
//! healthy.

use std::time::Duration;

use super::HealthInputs;
use crate::domain::model::format;

/// A page is delivered within seconds, so one that has waited for a minute is not being delivered.
const PAGE_WAITS: Duration = Duration::from_mins(1);
/// A replica's heartbeat is written every second, and an interval of ten seconds without one is an
/// outage.
const WATERMARK_LAG: Duration = Duration::from_mins(2);

/// Returns the reasons to withhold the heartbeat, each a phrase; it is sent only if there are none.
pub fn why_withheld(signs: &HealthInputs) -> Vec<String> {
    let mut reasons = Vec::new();
    let late = signs.not_evaluated();
    if let [first, rest @ ..] = late.as_slice() {
        let others = match rest.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        reasons.push(format!("SLO `{}`{others} not evaluated", first.name));
    }
    let oldest = signs.now - (signs.catch_up + WATERMARK_LAG);
    match signs.watermark {
        Some(watermark) if watermark.up_to >= oldest => {}
        Some(watermark) => reasons.push(format!(
            "ingest is known to be healthy only until {}",
            format::date_time(watermark.up_to)
        )),
        None => reasons.push("no replica has written a heartbeat".to_owned()),
    }
    if let Some(since) = signs.oldest_page_at {
        let waits = signs.now.saturating_since(since);
        if waits >= PAGE_WAITS {
            reasons.push(format!("a page waits for {}", format::lasting(waits)));
        }
    }
    match signs.dead_letters.unseen {
        0 => {}
        unseen => reasons.push(format!(
            "{} failed permanently, and nobody was notified of that",
            format::counted(unseen, "notification")
        )),
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        health::{DeadLetters, SloSign},
        model::time::Timestamp,
        workflow::watermark::Watermark,
    };

    const NOW: Timestamp = Timestamp::from_secs(1_795_328_309);

    fn signs() -> HealthInputs {
        HealthInputs {
            slos: vec![evaluated(5)],
            ..HealthInputs::of_a_healthy_service(NOW, Duration::from_secs(5))
        }
    }

    fn evaluated(secs_ago: u64) -> SloSign {
        SloSign {
            name: "orders".parse().unwrap(),
            evaluated_at: Some(NOW - Duration::from_secs(secs_ago)),
            is_inconsistent: false,
        }
    }

    #[test]
    fn a_service_that_is_well_gives_a_sign_of_it() {
        assert_eq!(why_withheld(&signs()), Vec::<String>::new());
    }

    #[test]
    fn each_of_what_must_work_withholds_it_alone() {
        let ago = |secs| Some(NOW - Duration::from_secs(secs));
        let unseen = DeadLetters {
            count: 1,
            unseen: 1,
            targets: vec!["oncall".to_owned()],
        };
        let sick = [
            (
                HealthInputs {
                    slos: vec![evaluated(30)],
                    ..signs()
                },
                "not evaluated",
            ),
            (
                HealthInputs {
                    watermark: ago(7 * 60 + 1).map(Watermark::new),
                    ..signs()
                },
                "ingest is known",
            ),
            (
                HealthInputs {
                    watermark: None,
                    ..signs()
                },
                "no replica has written a heartbeat",
            ),
            (
                HealthInputs {
                    oldest_page_at: ago(60),
                    ..signs()
                },
                "a page waits for 1 min",
            ),
            (
                HealthInputs {
                    dead_letters: unseen,
                    ..signs()
                },
                "1 notification failed permanently",
            ),
        ];
        for (signs, expected) in sick {
            let reasons = why_withheld(&signs);
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            assert!(reasons[0].contains(expected), "{reasons:?}");
        }
    }

    #[test]
    fn what_is_seldom_evaluated_is_given_three_of_its_intervals() {
        let slow = |secs_ago| HealthInputs {
            interval: Duration::from_mins(1),
            slos: vec![evaluated(secs_ago)],
            ..signs()
        };
        assert_eq!(why_withheld(&slow(179)).len(), 0);
        assert_eq!(why_withheld(&slow(180)).len(), 1);
    }
}
