//! The spans of the work, and when they arrive.

use super::{Fault, MOMENTS, STALL};
use crate::support::span::{SpanBuilder, span};

/// Seconds until a span that is sent at once arrives.
const UNDER_WAY: f64 = 1.0;
/// Seconds for which workers that are restarted do nothing.
const RESTART: f64 = 30.0;
/// Seconds that collectors replay.
const BACKLOG: u32 = 720;
/// Of 2^56 random numbers, from here on they are a tenth: `ot=th:e666`.
const TENTH: u64 = 0xe666 << 40;

/// When spans arrive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Delivery {
    AtOnce,
    /// Two collectors could not send for twelve minutes, and now send so many seconds of it in a second,
    /// new spans after the old ones.
    Replay {
        starts: f64,
        ends: f64,
    },
}

/// Which of the spans are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    All,
    /// Each bears the threshold of its sampler.
    Tenth,
    SilentTenth,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sampled {
    starts: Share,
    ends: Share,
    /// Whether ends are in traces of their own, of which samplers know nothing of the others.
    is_apart: bool,
}

impl Sampled {
    pub(super) const NOT: Self = Self::together(Share::All, Share::All);

    /// Samplers decide by the trace, so that what is kept of starts and of ends belongs together.
    pub(super) const fn together(starts: Share, ends: Share) -> Self {
        Self {
            starts,
            ends,
            is_apart: false,
        }
    }

    pub(super) const fn apart(starts: Share, ends: Share) -> Self {
        Self {
            starts,
            ends,
            is_apart: true,
        }
    }

    /// Of the starts that are kept, how many have an end that is kept, where nobody can tell which.
    pub(super) fn chance_of_end(self) -> f64 {
        if self.is_apart {
            self.ends.chance()
        } else {
            1.0
        }
    }

    pub(super) fn chance_of_start(self) -> f64 {
        self.starts.chance()
    }
}

impl Share {
    fn chance(self) -> f64 {
        match self {
            Self::All => 1.0,
            Self::Tenth | Self::SilentTenth => 0.1,
        }
    }

    /// The span, if its sampler keeps what has this number.
    fn keep(self, number: u64, span: SpanBuilder) -> Option<SpanBuilder> {
        match self {
            Self::All => Some(span),
            Self::Tenth if number >= TENTH => Some(span.trace_state("ot=th:e666")),
            Self::SilentTenth if number >= TENTH => Some(span),
            Self::Tenth | Self::SilentTenth => None,
        }
    }
}

/// How a worker's attempt ends, and when.
enum Attempt {
    Done(f64),
    Failed(f64),
}

/// The steps of two series of numbers that are as independent as they are even.
const OF_STARTS: f64 = 0.754_877_666_246_692_7;
const OF_ENDS: f64 = 0.569_840_290_998_053_3;

/// Spread evenly, so that of any ten in a row about one is in the last tenth.
fn number(nth: u32, step: f64) -> u64 {
    let share = (f64::from(nth) * step).fract();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below 2^56"
    )]
    let number = (share * 72_057_594_037_927_936.0) as u64;
    number
}

impl Delivery {
    /// When the first span was made.
    pub(super) fn begins(self) -> f64 {
        match self {
            Self::AtOnce => 0.0,
            Self::Replay { .. } => -f64::from(BACKLOG),
        }
    }

    fn of_start(self, made_at: f64) -> f64 {
        match self {
            Self::AtOnce => made_at + UNDER_WAY,
            Self::Replay { starts, .. } => replayed_at(made_at, starts),
        }
    }

    fn of_end(self, made_at: f64) -> f64 {
        match self {
            Self::AtOnce => made_at + UNDER_WAY,
            Self::Replay { ends, .. } => replayed_at(made_at, ends),
        }
    }

    /// When the last end arrives that its sender has kept.
    pub(super) fn last_late_end(self) -> Option<f64> {
        match self {
            Self::AtOnce => None,
            Self::Replay { ends, .. } => Some(replayed_at(STALL.into(), ends)),
        }
    }
}

fn replayed_at(made_at: f64, speed: f64) -> f64 {
    let replayed = (made_at + f64::from(BACKLOG)) / speed;
    replayed.max(made_at + UNDER_WAY)
}

impl Fault {
    /// What arrives until then, in the order of arrival.
    pub(super) fn arrivals(&self, until: u32) -> Vec<(f64, SpanBuilder)> {
        let begins = self.delivery.begins();
        let mut arrivals = Vec::new();
        for nth in 0_u32.. {
            let at = begins + f64::from(nth) / f64::from(self.per_second);
            if at >= f64::from(until) {
                break;
            }
            arrivals.extend(self.start(nth, at));
            if at < f64::from(STALL) {
                arrivals.extend(self.ends(nth, at));
            }
        }
        arrivals.sort_by(|one, other| one.0.total_cmp(&other.0));
        arrivals
    }

    fn start(&self, nth: u32, at: f64) -> Option<(f64, SpanBuilder)> {
        let number = number(nth, OF_STARTS);
        let start = of_work("publish", nth, number).at(at + f64::from(self.ahead));
        let kept = self.sampled.starts.keep(number, start)?;
        Some((self.delivery.of_start(at), kept))
    }

    fn ends(&self, nth: u32, began: f64) -> Vec<(f64, SpanBuilder)> {
        let number = number(nth, self.step_of_ends());
        let took = 0.5 + f64::from(nth % 4) / 3.0 * (self.lasting - 0.5);
        let attempts = self.attempts(began, took).into_iter();
        attempts
            .filter_map(|attempt| {
                let end = of_work(self.finish(began), nth, number);
                let (ended, end) = match attempt {
                    Attempt::Done(at) => (at, end.at(at)),
                    Attempt::Failed(at) => (at, end.at(at).id(1).error()),
                };
                let kept = self.sampled.ends.keep(number, end)?;
                Some((self.delivery.of_end(ended), kept))
            })
            .collect()
    }

    fn step_of_ends(&self) -> f64 {
        if self.sampled.is_apart {
            OF_ENDS
        } else {
            OF_STARTS
        }
    }

    /// One, and before it one that failed if the workers were restarted meanwhile.
    fn attempts(&self, began: f64, took: f64) -> Vec<Attempt> {
        let restarts = MOMENTS.map(f64::from).into_iter();
        let mut during = restarts.filter(|restart| {
            self.is_deployed && began < restart + RESTART && began + took > *restart
        });
        match during.next() {
            None => vec![Attempt::Done(began + took)],
            Some(restart) if began >= restart => vec![Attempt::Done(restart + RESTART + took)],
            Some(restart) => vec![
                Attempt::Failed(restart),
                Attempt::Done(restart + RESTART + took),
            ],
        }
    }
}

/// A span of the trace that samplers decide about by this number.
fn of_work(name: &str, nth: u32, number: u64) -> SpanBuilder {
    let trace = u128::from(nth + 1) << 64 | u128::from(number);
    span(name)
        .trace_of(&trace.to_be_bytes())
        .attribute("order.id", format!("o{nth}"))
}
