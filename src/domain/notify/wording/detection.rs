//! How long it took from the first bad event to the alert, in words.

use super::noun;
use crate::domain::{alerting::snapshot::AlertSnapshot, model::format};

/// How long it took from the first bad event to the alert, and why; `None` where no first one is known.
///
/// `26 min after the first bad workflow: at this traffic, 67 bad of 1,000 in 1 h make a burn rate of
/// 13.4×`.
pub fn detection(facts: &AlertSnapshot) -> Option<String> {
    let fired_at = facts.fired_at.unwrap_or(facts.evaluated_at);
    let first_bad_at = facts.first_bad_at?;
    let noun = noun(facts);
    let delay = format::lasting(fired_at.saturating_since(first_bad_at));
    let why = match &facts.limit {
        Some(limit) => limit.sentence(),
        None => needed(facts, noun),
    };
    let one = noun.strip_suffix('s').unwrap_or(noun);
    Some(format!("{delay} after the first bad {one}: {why}"))
}

fn needed(facts: &AlertSnapshot, noun: &str) -> String {
    let total = facts.long.counts.total();
    let window = facts.long.text();
    let factor = format::factor(facts.factor);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "counts stay far below 2^53"
    )]
    let bad = (facts.factor * (1.0 - facts.objective) * total as f64).ceil() as i64;
    format!(
        "at this traffic {} bad of {} {noun} in {window} make a burn rate of {factor}, and {} must burn as well",
        format::count(bad.clamp(0, total)),
        format::count(total),
        facts.short.text()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notify::sample;

    #[test]
    fn the_delay_is_told_with_what_the_rule_had_to_wait_for() {
        assert_eq!(
            detection(&sample::firing()).unwrap(),
            "6 min after the first bad workflow: at this traffic 671 bad of 9,310 workflows in 1 h \
             make a burn rate of 14.4×, and 5 min must burn as well"
        );
        let unknown = AlertSnapshot {
            first_bad_at: None,
            ..sample::firing()
        };
        assert_eq!(detection(&unknown), None);
    }
}
