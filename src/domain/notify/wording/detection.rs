//! The time from the beginning of a problem to its alert, in words.

use super::noun;
use crate::domain::{alerting::snapshot::AlertSnapshot, model::format};

/// Returns the time from the beginning to the alert, and the reason for it; `None` if the beginning
/// is unknown.
///
/// `26 min after it began: at this traffic 67 bad of 1,000 in 1 h make a burn rate of 13.4×`.
pub fn detection(facts: &AlertSnapshot) -> Option<String> {
    let fired_at = facts.fired_at.unwrap_or(facts.evaluated_at);
    let began_at = facts.began_at?;
    let noun = noun(facts);
    let delay = format::lasting(fired_at.saturating_since(began_at));
    let why = match &facts.limit {
        Some(limit) => limit.sentence(),
        None => needed(facts, noun),
    };
    Some(format!("{delay} after it began: {why}"))
}

/// Formats the number of bad events that is needed. At the same traffic a burn rate is proportional
/// to it, with either formula.
fn needed(facts: &AlertSnapshot, noun: &str) -> String {
    let counts = facts.long.counts;
    let window = facts.long.text();
    let factor = format::factor(facts.factor);
    let short = facts.short.text();
    let rate = facts.long.burn_rate.filter(|rate| *rate > 0.0);
    let Some(rate) = rate else {
        return format!("the burn rate must reach {factor} in {window} and in {short}");
    };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "counts stay far below 2^53"
    )]
    let bad = (facts.factor / rate * counts.bad() as f64 - 1e-6).ceil() as i64;
    format!(
        "at this traffic, {} bad of {} {noun} in {window} give a burn rate of {factor}, and {short} must reach it too",
        format::count(bad.clamp(0, counts.total())),
        format::count(counts.total()),
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
            "6 min after it began: at this traffic, 672 bad of 9,310 workflows in 1 h give a burn rate of 14.4×, and 5 min must reach it too"
        );
        let unknown = AlertSnapshot {
            began_at: None,
            ..sample::firing()
        };
        assert_eq!(detection(&unknown), None);
    }
}
