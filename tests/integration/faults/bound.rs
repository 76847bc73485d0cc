//! By when a page of the stall must have come.

use super::{CATCH_UP, FACTOR, Fault, GRACE, SLACK, STALL, WITHIN};

/// The windows of the rule, in seconds.
const LONG: f64 = 3_600.0;
const SHORT: f64 = 300.0;
/// Of fewer ends nothing is concluded that are only expected by chance.
const LEAST_EXPECTED: f64 = 50.0;
const DEVIATIONS: f64 = 5.0;

impl Fault {
    /// In seconds, of an SLO by which this share may be bad.
    ///
    /// The deadline of what stalls first has passed, and its grace over, by the clock of its producer. Where
    /// ends arrived late, their absence means nothing for the catch-up time after the last of them.
    pub(super) fn latest_page(&self, share: f64) -> u32 {
        let broken = STALL + self.ahead + WITHIN + GRACE + self.lifted_after(share);
        let told = self.delivery.last_late_end().map_or(0, whole) + CATCH_UP;
        broken.max(told) + SLACK
    }

    /// How long it takes until the stall alone lifts both windows over the factor.
    fn lifted_after(&self, share: f64) -> u32 {
        let healthy = f64::from(STALL) - self.delivery.begins();
        let is_lifted = |secs: &u32| {
            let stalled = f64::from(*secs);
            let before = SHORT - stalled;
            self.is_over(share, healthy.min(LONG), stalled)
                && self.is_over(share, before.max(0.0), stalled.min(SHORT))
        };
        (0..=STALL)
            .find(is_lifted)
            .expect("a stall lifts them at last")
    }

    /// Whether a window is over the factor that has so many seconds of either.
    fn is_over(&self, share: f64, healthy: f64, stalled: f64) -> bool {
        let all = healthy + stalled;
        let chance = self.sampled.chance_of_end();
        let starts = f64::from(self.per_second) * self.sampled.chance_of_start();
        let expected = all * starts * chance;
        let noise = DEVIATIONS * (expected * (1.0 - chance)).sqrt();
        let is_told = stalled * starts * chance > noise && expected >= LEAST_EXPECTED;
        stalled >= all * FACTOR * share && (is_told || chance >= 1.0)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a test"
)]
fn whole(secs: f64) -> u32 {
    secs.ceil() as u32
}
