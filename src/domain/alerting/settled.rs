//! The second look of rules on burn rates: at windows that end where the timeouts are counted.
//!
//! A timeout belongs to the moment of its deadline and is counted at least `grace` later. A window
//! that ends now therefore lacks the timeouts of its last moments, although it contains the good
//! events of the same moments.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{end_shortfall::EndShortfall, rule_status::CountsByLength};
use crate::domain::{
    model::time::{Resolution, Timestamp},
    slo::Slo,
};

/// Events of the windows of burn-rate rules, each of which ends at `up_to`.
#[derive(Clone, Debug, PartialEq)]
pub struct SettledCounts {
    /// A whole minute.
    pub up_to: Timestamp,
    /// By [`settled_lengths`]; includes the timeouts that `ends_missing` represents.
    pub counts: CountsByLength,
    /// Windows in which fewer ends arrived than expected.
    pub ends_missing: BTreeMap<Duration, EndShortfall>,
}

impl SettledCounts {
    /// Makes it without any events.
    pub const fn new(up_to: Timestamp) -> Self {
        Self {
            up_to,
            counts: BTreeMap::new(),
            ends_missing: BTreeMap::new(),
        }
    }
}

/// The delay with which the timeouts of an SLO are counted, if its senders or this service have a
/// backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutDelay {
    /// The longest time, beyond `grace`, between a deadline and the moment its timeout was counted.
    pub behind: Duration,
    /// The time at which such a timeout was last counted.
    pub last_counted_at: Timestamp,
}

/// Returns the lengths of the windows of the burn-rate rules of `slo`. Other rules look at hours, of
/// which `grace` is a small part, or at numbers that grow as timeouts are counted.
pub fn settled_lengths(slo: &Slo) -> BTreeSet<Duration> {
    let rules = slo.alerting.rules.iter();
    rules.flat_map(|rule| [rule.long, rule.short]).collect()
}

/// Returns the time until which the timeouts of `slo` are counted, in whole minutes as events are.
///
/// `watermark` is the time until which ingest is known to have been healthy, at most `now`. A delay
/// counts as long as its timeouts lie in the shortest window.
pub fn settled_until(
    slo: &Slo,
    watermark: Timestamp,
    now: Timestamp,
    delay: Option<TimeoutDelay>,
) -> Timestamp {
    let shortest = settled_lengths(slo).first().copied().unwrap_or_default();
    let behind = delay
        .filter(|delay| now < delay.last_counted_at + shortest)
        .map_or(Duration::ZERO, |delay| delay.behind);
    (watermark - slo.grace - behind).floor_to(Resolution::Minute.length())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        slo::{AlertRule, Alerting, Indicator, Severity, SpanIndicator},
        traceql::Selector,
    };

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn slo(grace: Duration) -> Slo {
        let selector = Selector::parse("{ name = \"order\" }").unwrap();
        let indicator = Indicator::Span(SpanIndicator::new(selector.clone(), selector));
        let rule = AlertRule {
            name: "fast-burn".parse().unwrap(),
            severity: Severity::Page,
            factor: 14.4,
            long: MINUTE * 60,
            short: MINUTE * 5,
            pending_for: Duration::ZERO,
        };
        Slo {
            grace,
            alerting: Alerting {
                rules: vec![rule],
                ..Alerting::default()
            },
            ..Slo::new(
                "orders".parse().unwrap(),
                "99%".parse().unwrap(),
                MINUTE * 60 * 24 * 30,
                indicator,
            )
        }
    }

    #[test]
    fn timeouts_are_counted_a_grace_after_their_deadline() {
        let slo = slo(MINUTE);
        assert_eq!(settled_until(&slo, at(600), at(600), None), at(540));
        assert_eq!(settled_until(&slo, at(659), at(659), None), at(540));
        // Ingest was not healthy since.
        assert_eq!(settled_until(&slo, at(360), at(659), None), at(300));
    }

    #[test]
    fn late_timeouts_move_it_while_they_lie_in_the_shortest_window() {
        let slo = slo(MINUTE);
        let delay = TimeoutDelay {
            behind: MINUTE * 10,
            last_counted_at: at(6_000),
        };
        let settled = |now| settled_until(&slo, at(now), at(now), Some(delay));
        assert_eq!(settled(6_000), at(5_340));
        assert_eq!(settled(6_299), at(5_580));
        assert_eq!(settled(6_300), at(6_240));
    }
}
