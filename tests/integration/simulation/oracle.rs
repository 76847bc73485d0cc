//! Every verdict by the words of the contract, from all spans at once: slow, obvious, and without a
//! line of what it is compared with. Times are microseconds.

use std::collections::{BTreeMap, BTreeSet};

use throughline::domain::model::span::{Span, SpanStatus};

use super::{
    contract::{Cancelled, Contract, Grouping, Identity, Legs, Sampling},
    correlation::{WorkflowSpans, workflows},
    evidence::{self, end, end_is_kept, hides_ends, kept_one_of, number, role, text},
};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// Of which of its SLO's events it is besides all of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// The SLO does not group.
    All,
    /// What the workflow says of its kind, if anything.
    Of(Option<String>),
}

/// One verdict.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) slo: &'static str,
    pub(super) group: Group,
    pub(super) customer: Option<String>,
    /// As the columns of counts are called.
    pub(super) outcome: &'static str,
    pub(super) at: i64,
    /// How many events it stands for, if its spans say so.
    pub(super) stands_for: Option<i64>,
}

/// All verdicts of one SLO, of spans that were delivered until deadlines are held against `watermark`.
/// None of them is doubled.
pub(super) fn judge(contract: &Contract, spans: &[Span], watermark: i64) -> Vec<Event> {
    let losses = spans.iter().filter(|span| hides_ends(contract, span));
    let losses: BTreeSet<i64> = losses.map(|span| end(span).div_euclid(MINUTE)).collect();
    let event = |told: &WorkflowSpans<'_>| {
        let is_ambiguous = told.is_ambiguous;
        let told = &told.spans;
        let workflow = Workflow {
            contract,
            told,
            is_ambiguous,
            losses: &losses,
        };
        let (outcome, at) = match contract.identity {
            Identity::Span => workflow.one_span(),
            _ => workflow.verdict(watermark)?,
        };
        let (outcome, stands_for) = workflow.weighed(outcome);
        let smallest = |key| told.iter().filter_map(|span| text(span, key)).min();
        Some(Event {
            slo: contract.name,
            group: match contract.grouping {
                Grouping::None => Group::All,
                Grouping::Kind => Group::Of(smallest("kind")),
            },
            customer: smallest("customer"),
            outcome,
            at,
            stands_for,
        })
    };
    workflows(contract, spans)
        .iter()
        .filter_map(event)
        .collect()
}

type Verdict = (&'static str, i64);

/// All that was told of one workflow.
struct Workflow<'a> {
    contract: &'a Contract,
    told: &'a [&'a Span],
    is_ambiguous: bool,
    /// Minutes in which ends were lost.
    losses: &'a BTreeSet<i64>,
}

impl Workflow<'_> {
    fn of(&self, wanted: &'static str) -> impl Iterator<Item = &Span> {
        let spans = self.told.iter().copied();
        spans.filter(move |span| role(self.contract, span) == Some(wanted))
    }

    fn first_end(&self, wanted: &'static str) -> Option<i64> {
        self.of(wanted).map(end).min()
    }

    fn verdict(&self, watermark: i64) -> Option<Verdict> {
        let grace = self.contract.grace * SECOND;
        let starts = self.of("start").chain(self.of("step"));
        let Some(start) = starts.map(evidence::start).min() else {
            let ends = ["finish", "dead letter", "cancel", "pause"];
            let first = ends
                .into_iter()
                .filter_map(|role| self.first_end(role))
                .min()?;
            let outcome = if self.is_ambiguous {
                "ambiguous"
            } else {
                "orphan"
            };
            return (watermark >= first + grace).then_some((outcome, first));
        };
        let pauses = self.of("pause");
        let clock = Clock {
            start,
            within: self.contract.within * SECOND,
            pauses: pauses
                .map(|span| (evidence::start(span), end(span)))
                .collect(),
        };
        let deadline = clock.deadline();
        let fate = self.fate(start);
        let ended = match fate {
            WorkEnd::Completed(at) if clock.net(at) <= clock.within => Some(("good", at)),
            WorkEnd::Completed(_) => Some(("late", deadline)),
            WorkEnd::Failed(at) => self.stopped(Some(at), deadline),
            WorkEnd::Silent | WorkEnd::Untold => self.stopped(None, deadline),
        };
        // S31: clocks differ by up to a tenth of the time limit.
        let clock_skew = (clock.within / 10).clamp(SECOND, MINUTE);
        match ended {
            Some((_, at)) if at < start - clock_skew => Some(("invalid", at)),
            Some((outcome, at)) => Some((outcome, at.max(start))),
            None if watermark < deadline + grace => None,
            None if matches!(fate, WorkEnd::Untold) => Some(("invalid", deadline)),
            None if self.may_have_ended(start, deadline) => Some(("evidence_lost", deadline)),
            None => Some(("timeout", deadline)),
        }
    }

    fn may_have_ended(&self, start: i64, deadline: i64) -> bool {
        let minutes = start.div_euclid(MINUTE)..=deadline.div_euclid(MINUTE);
        self.losses.range(minutes).next().is_some()
    }

    /// It failed or was cancelled, whichever came first.
    fn stopped(&self, failure: Option<i64>, deadline: i64) -> Option<Verdict> {
        let failure = failure.map(|at| ("failed", at.min(deadline)));
        let cancellation = self.first_end("cancel").map(|at| {
            if at > deadline {
                return ("late", deadline);
            }
            match self.contract.cancelled {
                Cancelled::Excluded => ("cancelled", at),
                Cancelled::Good => ("good", at),
                Cancelled::Bad => ("failed", at),
            }
        });
        match (failure, cancellation) {
            (Some(failure), Some(cancellation)) if cancellation.1 < failure.1 => Some(cancellation),
            _ => failure.or(cancellation),
        }
    }

    fn fate(&self, start: i64) -> WorkEnd {
        let Some(legs) = self.contract.legs else {
            return match (self.first_end("finish"), self.first_end("dead letter")) {
                (Some(at), _) => WorkEnd::Completed(at),
                (None, Some(at)) => WorkEnd::Failed(at),
                (None, None) => WorkEnd::Silent,
            };
        };
        let done = self.first_ends_by_leg("finish");
        let mut lost = self.first_ends_by_leg("dead letter");
        lost.retain(|leg, _| !done.contains_key(leg));
        let sorted = |ends: BTreeMap<String, i64>| {
            let mut ends: Vec<i64> = ends.into_values().collect();
            ends.sort_unstable();
            ends
        };
        let (done, lost) = (sorted(done), sorted(lost));
        let expected = self
            .told
            .iter()
            .filter_map(|span| number(span, "legs"))
            .max();
        let needed = match (legs, expected) {
            (Legs::Any, _) => 1,
            (Legs::AtLeast(legs), _) => legs,
            (Legs::All, Some(expected)) => expected,
            (Legs::All, None) => {
                return match (done.is_empty(), lost.first()) {
                    (_, Some(at)) => WorkEnd::Failed(*at),
                    (true, None) => WorkEnd::Silent,
                    (false, None) => WorkEnd::Untold,
                };
            }
        };
        if done.len() >= needed {
            return WorkEnd::Completed(match legs {
                Legs::All => done.last().copied().unwrap_or(start),
                Legs::Any | Legs::AtLeast(_) => done[needed - 1],
            });
        }
        // The first failure that leaves too few.
        let hopeless = lost
            .iter()
            .enumerate()
            .find(|(before, _)| expected.is_some_and(|expected| expected < needed + before + 1));
        hopeless.map_or(WorkEnd::Silent, |(_, at)| WorkEnd::Failed(*at))
    }

    fn first_ends_by_leg(&self, wanted: &'static str) -> BTreeMap<String, i64> {
        let mut ends: BTreeMap<String, i64> = BTreeMap::new();
        for span in self.of(wanted) {
            let Some(leg) = text(span, "leg") else {
                continue;
            };
            let first = ends.entry(leg).or_insert(i64::MAX);
            *first = end(span).min(*first);
        }
        ends
    }

    /// Copies of one span may disagree: the worst counts.
    fn one_span(&self) -> Verdict {
        let is_late =
            |span: &Span| end(span) - evidence::start(span) > self.contract.within * SECOND;
        let first = |wanted: &dyn Fn(&Span) -> bool| {
            let spans = self.told.iter().filter(|span| wanted(span));
            spans.map(|span| end(span)).min()
        };
        let has_failed = |span: &Span| span.status == SpanStatus::Error;
        let failed = first(&has_failed).map(|at| ("failed", at));
        let late = first(&|span| !has_failed(span) && is_late(span)).map(|at| ("late", at));
        let good = first(&|_| true).map(|at| ("good", at));
        failed.or(late).or(good).unwrap()
    }

    /// What the verdict is worth by what was kept of the workflow. Silence says nothing where the end
    /// would not have been kept.
    fn weighed(&self, outcome: &'static str) -> (&'static str, Option<i64>) {
        if self.contract.sampling == Sampling::None {
            return (outcome, None);
        }
        let decide = self
            .told
            .iter()
            .filter(|span| role(self.contract, span) != Some("pause"));
        let of_spans = decide.filter_map(|span| kept_one_of(span)).max();
        match outcome {
            "timeout" if self.told.iter().any(|span| end_is_kept(span)) => ("timeout", Some(4)),
            "timeout" => ("unobservable", None),
            "good" | "late" | "failed" => (outcome, of_spans),
            _ => (outcome, None),
        }
    }
}

/// What became of the work itself.
enum WorkEnd {
    Completed(i64),
    Failed(i64),
    Silent,
    /// Legs have succeeded, of nobody knows how many.
    Untold,
}

/// The time limit of one workflow, which does not run while it is paused.
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

    /// The last instant up to which no more counts than the time limit.
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
