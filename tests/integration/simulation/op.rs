//! What happens to the replicas, step by step.

use throughline::domain::model::{span::Span, time::Timestamp};

pub(super) const REPLICAS: usize = 3;

/// All of this happens at once, at one time by the clock.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) now: Timestamp,
    pub(super) requests: Vec<Request>,
    /// Replicas that beat, judge what is overdue and place what waits.
    pub(super) turns: Vec<usize>,
    pub(super) kills: Vec<Kill>,
}

/// Sent again, to the next replica, until it is answered.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) replica: usize,
    pub(super) spans: Vec<Span>,
}

/// A replica takes so many more breaths: it ends in the middle of whatever it waits for then, and
/// another one starts in its place that remembers nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) replica: usize,
    pub(super) breaths: i64,
}
