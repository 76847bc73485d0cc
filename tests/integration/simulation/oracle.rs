//! Every verdict by the words of the contract, from all spans at once: slow, obvious, and without a
//! line of what it is compared with. Times are microseconds.

use std::collections::{BTreeMap, BTreeSet};

use throughline::domain::span::{OwnedValue, Span, SpanStatus};

use super::contract::{Cancelled, Contract, Identity};

const SECOND: i64 = 1_000_000;
/// Clocks of hosts disagree by so much.
const TOLERANCE: i64 = SECOND;

/// One verdict.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) slo: &'static str,
    /// Of SLOs that group: what the workflow says of its kind.
    pub(super) group: Option<Option<String>>,
    pub(super) customer: Option<String>,
    /// As the columns of counts are called.
    pub(super) outcome: &'static str,
    pub(super) at: i64,
}

/// All verdicts of one SLO, of spans that were delivered until deadlines are held against `watermark`.
pub(super) fn judge(contract: &Contract, spans: &[Span], watermark: i64) -> Vec<Event> {
    let mut workflows: BTreeMap<String, Vec<&Span>> = BTreeMap::new();
    for span in spans.iter().filter(|span| role(contract, span).is_some()) {
        for key in keys(contract, span) {
            workflows.entry(key).or_default().push(span);
        }
    }
    let event = |told: &Vec<&Span>| {
        let (outcome, at) = verdict(contract, told, watermark)?;
        let smallest = |key| told.iter().filter_map(|span| text(span, key)).min();
        Some(Event {
            slo: contract.name,
            group: contract.is_grouped.then(|| smallest("kind")),
            customer: smallest("customer"),
            outcome,
            at,
        })
    };
    workflows.values().filter_map(event).collect()
}

/// The workflows that a span speaks of.
fn keys(contract: &Contract, span: &Span) -> BTreeSet<String> {
    let key = match contract.identity {
        Identity::Order => text(span, "order.id"),
        Identity::Trace => Some(span.trace_id.to_string()),
    };
    key.into_iter().collect()
}

fn verdict(contract: &Contract, told: &[&Span], watermark: i64) -> Option<(&'static str, i64)> {
    let of = |wanted: &'static str| {
        let spans = told.iter().copied();
        spans.filter(move |span| role(contract, span) == Some(wanted))
    };
    let first_end = |wanted| of(wanted).map(end).min();
    let grace = contract.grace * SECOND;
    let Some(start) = of("start").map(start).min() else {
        let first = ["finish", "dead letter", "cancel", "pause"].map(first_end);
        let first = first.into_iter().flatten().min()?;
        return (watermark >= first + grace).then_some(("orphan", first));
    };
    let clock = Clock {
        start,
        within: contract.within * SECOND,
        pauses: of("pause")
            .map(|span| (self::start(span), end(span)))
            .collect(),
    };
    let deadline = clock.deadline();
    let completion = first_end("finish");
    let failure = first_end("dead letter").map(|at| ("failed", at.min(deadline)));
    let cancellation = first_end("cancel").map(|at| {
        if at > deadline {
            return ("late", deadline);
        }
        match contract.cancelled {
            Cancelled::Excluded => ("cancelled", at),
            Cancelled::Good => ("good", at),
            Cancelled::Bad => ("failed", at),
        }
    });
    let ended = match (completion, failure, cancellation) {
        (Some(at), ..) if clock.net(at) <= clock.within => Some(("good", at)),
        (Some(_), ..) => Some(("late", deadline)),
        (None, Some(failure), Some(cancellation)) if cancellation.1 < failure.1 => {
            Some(cancellation)
        }
        (None, failure, cancellation) => failure.or(cancellation),
    };
    match ended {
        Some((_, at)) if at < start - TOLERANCE => Some(("invalid", at)),
        Some((outcome, at)) => Some((outcome, at.max(start))),
        None => (watermark >= deadline + grace).then_some(("timeout", deadline)),
    }
}

/// The promise of one workflow, which does not run while it is paused.
struct Clock {
    start: i64,
    within: i64,
    pauses: Vec<(i64, i64)>,
}

impl Clock {
    /// What of the time from the start to `until` counts.
    fn net(&self, until: i64) -> i64 {
        let mut cuts: Vec<i64> = self.pauses.iter().flat_map(|(a, b)| [*a, *b]).collect();
        cuts.extend([self.start, until]);
        cuts.retain(|cut| (self.start..=until).contains(cut));
        cuts.sort_unstable();
        let counted = |stretch: &[i64]| match self.pause_at(stretch[0]) {
            None => stretch[1] - stretch[0],
            Some(_) => 0,
        };
        cuts.windows(2).map(counted).sum()
    }

    /// The last instant up to which no more counts than was promised.
    fn deadline(&self) -> i64 {
        let mut at = self.start;
        loop {
            let left = self.within - self.net(at);
            match self.pause_at(at) {
                Some(end) => at = end,
                None if left > 0 => at += left.min(self.until_next_pause(at)),
                None => return at,
            }
        }
    }

    /// The end of a pause that `at` lies in.
    fn pause_at(&self, at: i64) -> Option<i64> {
        let mut here = self.pauses.iter().filter(|(a, b)| (*a..*b).contains(&at));
        here.next().map(|(_, end)| *end)
    }

    fn until_next_pause(&self, at: i64) -> i64 {
        let starts = self.pauses.iter().map(|(a, _)| *a).filter(|a| *a > at);
        starts.min().map_or(i64::MAX, |next| next - at)
    }
}

fn role<'a>(contract: &Contract, span: &'a Span) -> Option<&'a str> {
    let role = span.name.strip_prefix(contract.name)?.strip_prefix(' ')?;
    (role != "finish" || span.status != SpanStatus::Error).then_some(role)
}

fn start(span: &Span) -> i64 {
    i64::try_from(span.start_unix_nano / 1_000).unwrap()
}

fn end(span: &Span) -> i64 {
    i64::try_from(span.end_unix_nano / 1_000).unwrap()
}

fn text(span: &Span, key: &str) -> Option<String> {
    span.attributes
        .iter()
        .find_map(|(name, value)| match value {
            OwnedValue::String(text) if name == key => Some(text.clone()),
            _ => None,
        })
}
