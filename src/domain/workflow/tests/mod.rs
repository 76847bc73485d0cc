//! The shapes of asynchronous work, S1 to S29, at the pure layer: spans in, one verdict out.
//! Missing numbers are shapes that are not supported yet.
//!
//! Seconds count from the true start of the workflow. Unless a test says otherwise, good means
//! finished within 60 s, with a grace of 120 s for late data.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::domain::{
    counting::{
        JudgedWorkflow,
        ledger::{AwaitedEnd, CountDelta, apply, apply_whole, silence, silence_of},
    },
    model::{
        counts::EventCounts,
        ids::{Name, Revision, SloId, SpanId, TraceId},
        sampling::Weighing,
        span::{AttributeName, AttributeScope, Event, Link, Span, SpanKind, SpanStatus},
        time::Timestamp,
    },
    slo::{
        CancelPolicy, Catalog, Completion, Correlator, FanOut, Indicator, LinkBatch, Slo,
        SloRevision, SpanIndicator, SpanInstant, StartedAt, TimeUnit, WorkflowIndicator,
    },
    traceql::Selector,
    workflow::{
        classify::{ClassifiedBatch, Classifier, DiscardReason, InvalidTimestamp, TimeLimits},
        gather,
    },
};

/// The time that senders may take after an outage.
const CATCH_UP: Duration = Duration::from_mins(5);

/// The true start of every workflow: an instant on a whole minute.
const T0: i64 = 1_795_328_280;

fn at(secs: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "a few days")]
    Timestamp::from_micros(T0 * 1_000_000 + (secs * 1e6).round() as i64)
}

fn nanos(secs: f64) -> u64 {
    u64::try_from(at(secs).as_micros()).unwrap() * 1_000
}

/// Makes a span: `span("a:1", "enqueue", [0.0, 0.1])` is span 1 of trace a.
fn span(id: &str, name: &str, [start, end]: [f64; 2]) -> Span {
    let (trace, number) = id.split_once(':').unwrap();
    Span {
        trace_id: TraceId::from_slice(&[trace.as_bytes()[0]; 16]).unwrap(),
        span_id: SpanId::from_slice(&[number.parse::<u8>().unwrap(); 8]).unwrap(),
        parent_span_id: None,
        name: name.to_owned(),
        kind: SpanKind::Consumer,
        status: SpanStatus::Unset,
        status_message: String::new(),
        start_unix_nano: nanos(start),
        end_unix_nano: nanos(end),
        trace_state: String::new(),
        attributes: Vec::new(),
        resource: Arc::default(),
        instrumentation: Arc::default(),
        events: Vec::new(),
        links: Vec::new(),
        dropped_links_count: 0,
        flags: 0,
    }
}

impl Span {
    fn with(mut self, key: &str, value: impl Into<crate::domain::model::span::OwnedValue>) -> Self {
        self.attributes.push((key.to_owned(), value.into()));
        self
    }

    fn failed(mut self) -> Self {
        self.status = SpanStatus::Error;
        self
    }

    fn of_kind(mut self, kind: SpanKind) -> Self {
        self.kind = kind;
        self
    }

    fn with_trace_state(mut self, trace_state: &str) -> Self {
        self.trace_state = trace_state.to_owned();
        self
    }
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

fn attribute(key: &str) -> AttributeName {
    AttributeName {
        scope: AttributeScope::Span,
        key: key.to_owned(),
    }
}

fn by_attribute(key: &str) -> Vec<Correlator> {
    vec![Correlator::Attribute {
        attribute: attribute(key),
        run: None,
    }]
}

/// Returns an SLI with start `enqueue`, finish `finish` without error, fail `dead letter`, cancel
/// `cancel`, within 60 s, by trace.
fn workflow_slo() -> WorkflowIndicator {
    WorkflowIndicator {
        fail: Some(selector(r#"{ name = "dead letter" }"#)),
        cancel: Some(selector(r#"{ name = "cancel" }"#)),
        ..WorkflowIndicator::new(
            selector(r#"{ name = "enqueue" }"#),
            selector(r#"{ name = "finish" && status != error }"#),
            Duration::from_mins(1),
            vec![Correlator::Trace],
        )
    }
}

fn span_slo(started_at: Option<StartedAt>) -> SpanIndicator {
    SpanIndicator {
        started_at,
        ..SpanIndicator::new(
            selector(r#"{ name = "finish" }"#),
            selector("{ status != error && workflow:duration <= 60s }"),
        )
    }
}

fn classifier(weighing: &Weighing, indicators: impl IntoIterator<Item = Indicator>) -> Classifier {
    let mut catalog = Catalog::default();
    let mut ids = BTreeMap::new();
    for (number, indicator) in (1..).zip(indicators) {
        let name: Name = format!("slo-{number}").parse().unwrap();
        let objective = "99.5%".parse().unwrap();
        let slo = Slo {
            customer: Some(attribute("customer.id")),
            weighing: weighing.clone(),
            ..Slo::new(
                name.clone(),
                objective,
                Duration::from_hours(720),
                indicator,
            )
        };
        ids.insert(name.clone(), SloId(number));
        catalog.slos.insert(name, Arc::new(slo));
    }
    Classifier::new(&catalog, &ids)
}

/// One or several SLOs, and all evidence that they have received.
struct SloUnderTest {
    classifier: Classifier,
    known: BTreeMap<(SloId, EventKey), JudgedWorkflow>,
    moves: Vec<CountDelta>,
    unusable: BTreeMap<DiscardReason, i64>,
    watermark: Timestamp,
    observed: BTreeMap<SloId, EndObservations>,
    losses: BTreeSet<(SloId, Timestamp)>,
    links: correlate::kept_evidence::KeptEvidence,
}

impl SloUnderTest {
    fn new(indicator: Indicator) -> Self {
        Self::several([indicator])
    }

    /// Makes several SLOs, numbered from 1.
    fn several(indicators: impl IntoIterator<Item = Indicator>) -> Self {
        Self::of(classifier(&Weighing::default(), indicators))
    }

    fn weighing(weighing: &Weighing, indicator: Indicator) -> Self {
        Self::of(classifier(weighing, [indicator]))
    }

    fn of(classifier: Classifier) -> Self {
        Self {
            classifier,
            known: BTreeMap::new(),
            moves: Vec::new(),
            unusable: BTreeMap::new(),
            watermark: at(0.0),
            observed: BTreeMap::new(),
            losses: BTreeSet::new(),
            links: correlate::kept_evidence::KeptEvidence::default(),
        }
    }

    /// Changes the definition at this second; the evidence stays.
    fn redefined(self, secs: f64, indicator: WorkflowIndicator) -> Self {
        let changed = classifier(&Weighing::default(), [Indicator::Workflow(indicator)]);
        self.redefined_as(secs, &changed)
    }

    fn redefined_as(mut self, secs: f64, changed: &Classifier) -> Self {
        let mut revisions = self.classifier.revisions().clone();
        for (id, slo) in changed.slos() {
            let of_slo = revisions.entry(*id).or_default();
            let newest = of_slo
                .iter()
                .next_back()
                .map_or(0, |newest| newest.number.0);
            of_slo.push(SloRevision {
                number: Revision(newest + 1),
                in_force_from: at(secs),
                slo: Some(Arc::clone(slo)),
            });
        }
        self.classifier = Classifier::with_revisions(Revision::default(), revisions);
        self
    }

    fn workflow(indicator: WorkflowIndicator) -> Self {
        Self::new(Indicator::Workflow(indicator))
    }

    fn event(indicator: SpanIndicator) -> Self {
        Self::new(Indicator::Span(indicator))
    }

    fn judging(&self, slo: SloId) -> Judging {
        let context = JudgingContext {
            catch_up: CATCH_UP,
            observed: self.observed.clone(),
            ..JudgingContext::healthy(self.watermark)
        };
        self.classifier.judging(slo, &context)
    }

    /// Receives one request with these spans.
    fn receive(mut self, spans: &[Span]) -> Self {
        let mut findings = ClassifiedBatch::default();
        for span in spans {
            self.classifier
                .classify(span, at(-7.0 * 86_400.0), &mut findings);
        }
        for ((_, why), count) in &findings.unusable {
            *self.unusable.entry(*why).or_default() += count;
        }
        for ((slo, key), workflow) in gather(&findings.evidence) {
            self.judge_one(slo, key, &workflow);
        }
        self.follow(&findings);
        self.losses.extend(findings.losses);
        self.doubt_timeouts()
    }

    /// Judges timeouts again that were judged before a loss was known.
    fn doubt_timeouts(mut self) -> Self {
        let timeouts = self.known.iter().filter_map(|(id, judged)| {
            let is_timeout = judged.verdict.outcome == Outcome::Timeout;
            is_timeout.then(|| (*id, judged.workflow.clone()))
        });
        for ((slo, key), workflow) in timeouts.collect::<Vec<_>>() {
            self.judge_one(slo, key, &workflow);
        }
        self
    }

    /// Returns the rules for a workflow whose verdict depends on the absence of its end.
    fn judging_in(&self, slo: SloId, awaited: Option<AwaitedEnd>) -> Judging {
        let mut losses = self.losses.iter().filter(|loss| loss.0 == slo);
        let is_lost = awaited.is_some_and(|end| losses.any(|loss| end.in_time.contains(loss.1)));
        Judging {
            losses: if is_lost {
                Losses::Possible
            } else {
                Losses::NoneKnown
            },
            ..self.judging(slo)
        }
    }

    /// Moves the watermark to this second, and judges what is due.
    fn until(mut self, secs: f64) -> Self {
        self.watermark = at(secs);
        let due: Vec<_> = self
            .known
            .iter()
            .filter(|(_, judged)| judged.verdict.due.is_some_and(|due| due <= self.watermark))
            .map(|(id, judged)| (*id, judged.workflow.clone()))
            .collect();
        for ((slo, key), workflow) in due {
            self.judge_one(slo, key, &workflow);
        }
        self
    }

    fn judge_one(&mut self, slo: SloId, key: EventKey, workflow: &Workflow) {
        let mut moves = CountDelta::default();
        let known = self.known.get(&(slo, key));
        let judging = self.judging_in(slo, silence(known, workflow, &self.judging(slo)));
        let judged = apply(slo, known, workflow, &judging, &mut moves);
        self.note_judged((slo, key), judged, moves);
    }

    /// Judges a workflow with all its evidence.
    fn judge_whole(&mut self, slo: SloId, key: EventKey, workflow: Workflow) {
        let mut moves = CountDelta::default();
        let known = self.known.get(&(slo, key));
        let silence = silence_of(known, &workflow, &self.judging(slo));
        let judging = self.judging_in(slo, silence);
        let judged = apply_whole(slo, known, workflow, &judging, &mut moves);
        self.note_judged((slo, key), judged, moves);
    }

    fn note_judged(&mut self, id: EventId, judged: Option<JudgedWorkflow>, moves: CountDelta) {
        self.known.extend(judged.map(|judged| (id, judged)));
        for (slo, ends) in &moves.ends {
            let seen = self.observed.entry(*slo).or_default();
            seen.sampling = seen.sampling.join(*ends);
        }
        for (slo, newest) in &moves.delayed_ends {
            let seen = self.observed.entry(*slo).or_default();
            let known = seen.delayed.map(|delayed| delayed.newest_end_at);
            seen.delayed = Some(DelayedEnds {
                newest_end_at: known.map_or(*newest, |known| known.max(*newest)),
                last_arrived_at: self.watermark,
            });
        }
        self.moves.push(moves);
    }

    /// Returns every verdict and its time, in seconds, ordered by time.
    fn verdicts(&self) -> Vec<(Outcome, Option<f64>)> {
        let mut verdicts: Vec<_> = self.known.values().map(verdict_of).collect();
        verdicts.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap());
        verdicts
    }

    /// Returns the verdicts of one SLO.
    fn verdicts_of(&self, slo: i32) -> Vec<(Outcome, Option<f64>)> {
        let of_slo = self.known.iter().filter(|((id, _), _)| id.0 == slo);
        let mut verdicts: Vec<_> = of_slo.map(|(_, judged)| verdict_of(judged)).collect();
        verdicts.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap());
        verdicts
    }

    /// Returns how often something was noted.
    fn noted(&self, notice: WorkflowNote) -> i64 {
        let noted = self.moves.iter().flat_map(|moves| &moves.noted);
        noted
            .filter(|((_, noted), _)| *noted == notice)
            .map(|(_, count)| count)
            .sum()
    }

    #[track_caller]
    fn has(self, outcome: Outcome, secs: f64) -> Self {
        assert_eq!(self.verdicts(), [(outcome, Some(secs))]);
        self.adds_up()
    }

    #[track_caller]
    fn stays_open(self) -> Self {
        assert_eq!(self.verdicts(), [(Outcome::Open, None)]);
        self.adds_up()
    }

    #[track_caller]
    fn has_none(self) -> Self {
        assert_eq!(self.verdicts(), []);
        self
    }

    /// Asserts that the differences add up to a count of the verdicts.
    #[track_caller]
    fn adds_up(self) -> Self {
        let mut moved: BTreeMap<_, EventCounts> = BTreeMap::new();
        for moves in &self.moves {
            for (bucket, counts) in moves.by_bucket() {
                *moved.entry(bucket).or_default() += counts;
            }
        }
        moved.retain(|_, counts| !counts.is_zero());
        let mut counted: BTreeMap<_, EventCounts> = BTreeMap::new();
        for ((slo, _), judged) in &self.known {
            let Some(at) = judged.verdict.at else {
                continue;
            };
            for resolution in crate::domain::model::time::Resolution::ALL {
                *counted
                    .entry((*slo, resolution, at.floor_to(resolution.length())))
                    .or_default() += judged.verdict.outcome.counts().standing_for(judged.weight);
            }
        }
        assert_eq!(moved, counted);
        self
    }
}

fn verdict_of(judged: &JudgedWorkflow) -> (Outcome, Option<f64>) {
    #[expect(clippy::cast_precision_loss, reason = "a few days")]
    let secs = |time: Timestamp| time.micros_since(at(0.0)) as f64 / 1e6;
    (judged.verdict.outcome, judged.verdict.at.map(secs))
}

mod cancelled;
mod cases;
mod contradictions;
mod correlate;
mod definitions;
mod discover;
mod explain;
mod fan_out;
mod kin;
mod laws;
mod opens;
mod oracle;
mod pauses;
mod sampling;
mod shapes;
mod templates;
