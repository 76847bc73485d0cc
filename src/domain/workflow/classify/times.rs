//! Plausibility checks of a span's times.

use std::time::Duration;

use crate::domain::model::{span::SpanView, time::Timestamp};

/// 2010-01-01: no tracing system that exports OTLP is older, so an earlier start is treated as
/// missing.
const EARLIEST_START: Timestamp = Timestamp::from_secs(1_262_304_000);

/// Returns the start of `span`; `None` if it is 0 or before 2010.
pub(super) fn start_of(span: &dyn SpanView) -> Option<Timestamp> {
    let nanos = span.start_unix_nano();
    is_start(nanos.into()).then(|| Timestamp::from_unix_nanos(nanos))
}

/// Returns whether a start in nanoseconds since 1970 is plausible.
pub(super) fn is_start(nanos: i128) -> bool {
    nanos >= i128::from(EARLIEST_START.as_micros()) * 1_000
}

/// The reason why a span's times are impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidTimestamp {
    NoEnd,
    StartsAfterItEnds,
    InTheFuture(Duration),
    BeforeTheHorizon(Duration),
}

/// The limits of a span's times, beyond which it is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// A span may end this much after the current time, since the clocks of hosts disagree.
    pub future: Duration,
    /// A span may have ended this long ago.
    pub horizon: Duration,
    /// A span may end this much before it starts.
    pub skew: Duration,
}

impl TimeLimits {
    pub fn check(&self, span: &dyn SpanView, now: Timestamp) -> Result<(), InvalidTimestamp> {
        if span.end_unix_nano() == 0 {
            return Err(InvalidTimestamp::NoEnd);
        }
        let start = Timestamp::from_unix_nanos(span.start_unix_nano());
        let end = Timestamp::from_unix_nanos(span.end_unix_nano());
        if end > now + self.future {
            return Err(InvalidTimestamp::InTheFuture(end.saturating_since(now)));
        }
        if end < now - self.horizon {
            return Err(InvalidTimestamp::BeforeTheHorizon(
                now.saturating_since(end),
            ));
        }
        if start > end + self.skew {
            return Err(InvalidTimestamp::StartsAfterItEnds);
        }
        Ok(())
    }
}
