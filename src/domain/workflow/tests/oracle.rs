//! Computes the verdict directly from the specification and the whole set of spans. Slow and
//! obvious; it shares no code with the tested functions. All evidence has arrived and every
//! deadline has passed.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each question is about one or two of the pieces"
)]

use super::{CancelPolicy, Completion, Outcome};

/// The clock skew allowed in seconds: a tenth of the time limit.
const SKEW: u32 = 6;

/// A span of the workflow, as its role and its end in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum OracleSpan {
    Start(u16),
    /// Shows that the work exists.
    Opens(u16),
    /// With the number of legs.
    StartExpecting(u16, u8),
    /// With the leg, which some shapes lack.
    Finish(u16, u8),
    FailedAttempt(u16),
    DeadLetter(u16, u8),
    Cancel(u16),
    Pause(u16, u16),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OracleShape {
    pub(super) complete: Option<Completion>,
    pub(super) cancelled: CancelPolicy,
}

pub(super) fn oracle(shape: OracleShape, pieces: &[OracleSpan]) -> (Outcome, u32) {
    let Some(start) = starts(pieces).min() else {
        return (Outcome::Orphan, ends(pieces).min().unwrap());
    };
    let deadline = deadline(start, pieces);
    let cancelled = of(pieces, |p| {
        if let OracleSpan::Cancel(s) = p {
            Some(s)
        } else {
            None
        }
    })
    .min();
    match completion(shape.complete, start, pieces) {
        ExpectedEnd::Completed(end) if end + SKEW < start => (Outcome::Invalid, end),
        ExpectedEnd::Completed(end) if end > deadline => (Outcome::Late, deadline),
        ExpectedEnd::Completed(end) => (Outcome::Good, end.max(start)),
        ExpectedEnd::Failed(at) => {
            without_completion(shape, (start, deadline), Some(at), cancelled)
        }
        ExpectedEnd::Untold if cancelled.is_none() => (Outcome::Invalid, deadline),
        ExpectedEnd::Silent | ExpectedEnd::Untold => {
            without_completion(shape, (start, deadline), None, cancelled)
        }
    }
}

enum ExpectedEnd {
    Completed(u32),
    Failed(u32),
    Silent,
    /// Legs have succeeded, but the total number is unknown.
    Untold,
}

fn completion(complete: Option<Completion>, start: u32, pieces: &[OracleSpan]) -> ExpectedEnd {
    let finishes = |leg: Option<u8>| {
        of(pieces, move |p| match p {
            OracleSpan::Finish(s, of) if leg.is_none_or(|leg| leg == of) => Some(s),
            _ => None,
        })
        .min()
    };
    let failures = |leg: Option<u8>| {
        of(pieces, move |p| match p {
            OracleSpan::DeadLetter(s, of) if leg.is_none_or(|leg| leg == of) => Some(s),
            _ => None,
        })
        .min()
    };
    let Some(complete) = complete else {
        return match (finishes(None), failures(None)) {
            (Some(end), _) => ExpectedEnd::Completed(end),
            (None, Some(end)) => ExpectedEnd::Failed(end),
            (None, None) => ExpectedEnd::Silent,
        };
    };
    let legs = 0..3_u8;
    let mut done: Vec<u32> = legs.clone().filter_map(|leg| finishes(Some(leg))).collect();
    let mut lost: Vec<u32> = legs
        .filter(|leg| finishes(Some(*leg)).is_none())
        .filter_map(|leg| failures(Some(leg)))
        .collect();
    done.sort_unstable();
    lost.sort_unstable();
    let expected = of(pieces, |p| match p {
        OracleSpan::StartExpecting(_, legs) => Some(u16::from(legs)),
        _ => None,
    })
    .max()
    .map(|legs| legs as usize);
    let needed = match (complete, expected) {
        (Completion::Any, _) => 1,
        (Completion::AtLeast(legs), _) => legs as usize,
        (Completion::All, Some(legs)) => legs,
        (Completion::All, None) if !lost.is_empty() => return ExpectedEnd::Failed(lost[0]),
        (Completion::All, None) if done.is_empty() => return ExpectedEnd::Silent,
        (Completion::All, None) => return ExpectedEnd::Untold,
    };
    if done.len() >= needed {
        return ExpectedEnd::Completed(match complete {
            Completion::All => done.last().copied().unwrap_or(start),
            Completion::Any | Completion::AtLeast(_) => done[needed - 1],
        });
    }
    // The first failure after which too few are left.
    let hopeless = (0..lost.len())
        .find(|nth| expected.is_some_and(|legs| legs.saturating_sub(nth + 1) < needed));
    hopeless.map_or(ExpectedEnd::Silent, |nth| ExpectedEnd::Failed(lost[nth]))
}

fn without_completion(
    shape: OracleShape,
    (start, deadline): (u32, u32),
    fail: Option<u32>,
    cancel: Option<u32>,
) -> (Outcome, u32) {
    let cancelled_first = match (fail, cancel) {
        (None, None) => return (Outcome::Timeout, deadline),
        (Some(fail), Some(cancel)) => cancel.min(deadline) < fail.min(deadline),
        (fail, _) => fail.is_none(),
    };
    let in_time = match shape.cancelled {
        CancelPolicy::Exclude => Outcome::Cancelled,
        CancelPolicy::Good => Outcome::Good,
        CancelPolicy::Bad => Outcome::Failed,
    };
    let (outcome, at) = match cancel {
        Some(cancel) if cancelled_first && cancel > deadline => (Outcome::Late, deadline),
        Some(cancel) if cancelled_first => (in_time, cancel),
        _ => (Outcome::Failed, fail.unwrap().min(deadline)),
    };
    if at + SKEW < start {
        (Outcome::Invalid, at)
    } else {
        (outcome, at.max(start))
    }
}

/// Counts second by second until 60 of them have passed outside every pause.
fn deadline(start: u32, pieces: &[OracleSpan]) -> u32 {
    let is_paused = |second: u32| {
        pieces.iter().any(|piece| match piece {
            OracleSpan::Pause(from, to) => (u32::from(*from)..u32::from(*to)).contains(&second),
            _ => false,
        })
    };
    let mut left = 60;
    let mut now = start;
    while left > 0 || is_paused(now) {
        left -= u32::from(!is_paused(now));
        now += 1;
    }
    now
}

fn starts(pieces: &[OracleSpan]) -> impl Iterator<Item = u32> {
    of(pieces, |p| match p {
        OracleSpan::Start(s) | OracleSpan::Opens(s) | OracleSpan::StartExpecting(s, _) => Some(s),
        _ => None,
    })
}

fn ends(pieces: &[OracleSpan]) -> impl Iterator<Item = u32> {
    of(pieces, |p| match p {
        OracleSpan::Finish(s, _)
        | OracleSpan::DeadLetter(s, _)
        | OracleSpan::Cancel(s)
        | OracleSpan::Pause(_, s) => Some(s),
        OracleSpan::Start(_)
        | OracleSpan::Opens(_)
        | OracleSpan::StartExpecting(..)
        | OracleSpan::FailedAttempt(_) => None,
    })
}

fn of(
    pieces: &[OracleSpan],
    pick: impl Fn(OracleSpan) -> Option<u16>,
) -> impl Iterator<Item = u32> {
    pieces.iter().filter_map(move |p| pick(*p)).map(u32::from)
}
