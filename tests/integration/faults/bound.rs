//! By when a page of the stall must have come.

use super::{CATCH_UP, FACTOR, Fault, GRACE, PROMISE, SLACK, STALL};

/// The windows of the rule, in seconds.
const LONG: f64 = 3_600.0;
const SHORT: f64 = 300.0;

impl Fault {
    /// In seconds, of an SLO by which this share may be bad.
    ///
    /// The promise of what stalls first is broken, and its grace over, by the clock of its producer. Where
    /// ends arrived late, their absence means nothing for the catch-up time after the last of them.
    pub(super) fn latest_page(&self, share: f64) -> u32 {
        let broken = STALL + self.ahead + PROMISE + GRACE + self.lifted_after(share);
        let told = self.delivery.last_late_end().map_or(0, whole) + CATCH_UP;
        broken.max(told) + SLACK
    }

    /// How long it takes until the stall alone lifts both windows over the factor.
    fn lifted_after(&self, share: f64) -> u32 {
        let limit = FACTOR * share;
        let healthy = f64::from(STALL) - self.delivery.begins();
        let long = healthy.min(LONG) * limit / (1.0 - limit);
        whole(long.max(SHORT * limit))
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
