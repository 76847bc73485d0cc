//! What is recorded: evidence of events that no one has heard of, or of workflows whose starts and
//! ends come far apart, told by what stands on the spans or by their links alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use throughline::domain::{
    model::{
        group::GroupValues,
        ids::{Revision, SloId, SpanId, TraceId},
        span::SpanRef,
        time::Timestamp,
    },
    slo::LinkBatch,
    workflow::{
        EventKey, Evidence, Fact, SpanOutcome, Workflow,
        classify::Linked,
        links::{Edges, LinkFilter},
        stage_evidence::{FoundStageEvidence, StageEvidence, StageEvidenceKind, StageKey},
    },
};

const SLO: SloId = SloId(1);
const WITHIN: Duration = Duration::from_hours(1);

/// Makes batches of evidence, one after the other.
pub(super) struct Load {
    now: Timestamp,
    shape: Shape,
    /// Raised for each event; the first differs by connection, so no two make the same.
    next: u64,
    /// Started and not finished.
    open: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// Workflows that are open while others begin and end.
    pub(super) in_flight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One span decides: an event each.
    Events,
    /// Half of the spans begin a workflow; once enough are open, the others end one of them.
    Workflows,
    /// The same, and every span is that of a message, which tells where the time goes.
    Stages,
    /// The same without messages, where an end is in a trace of its own that links to the start.
    Links,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Events, Self::Workflows, Self::Stages, Self::Links];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Workflows => "workflows",
            Self::Stages => "stages",
            Self::Links => "links",
        }
    }

    /// The share of the plain `INSERT` that is meant to be reached.
    pub(super) const fn goal(self) -> Option<f64> {
        match self {
            Self::Events => Some(0.6),
            Self::Workflows => Some(0.4),
            Self::Stages => None,
            Self::Links => Some(0.12),
        }
    }
}

/// What one transaction records.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) evidence: Vec<Evidence>,
    pub(super) pieces: Vec<FoundStageEvidence>,
    pub(super) linked: Vec<Linked>,
    pub(super) edges: Vec<Edges>,
}

impl Load {
    pub(super) fn new(shape: Shape, connection: u32, now: Timestamp) -> Self {
        Self {
            now,
            shape,
            next: u64::from(connection) << 32,
            open: Vec::new(),
        }
    }

    pub(super) const fn is_filling(&self) -> bool {
        self.open.len() < self.shape.in_flight
    }

    /// How many events or finished workflows a batch of `spans` makes.
    pub(super) fn yields(&self, spans: usize) -> usize {
        match self.shape.kind {
            Kind::Events => spans,
            Kind::Workflows | Kind::Stages | Kind::Links => spans / 2,
        }
    }

    /// Makes a batch of starts.
    pub(super) fn starts(&mut self, spans: usize) -> Batch {
        let mut batch = Batch::default();
        (0..spans).for_each(|_| self.start(&mut batch));
        batch
    }

    /// Makes a batch of finishes of workflows that are open.
    pub(super) fn finishes(&mut self, spans: usize) -> Batch {
        let mut batch = Batch::default();
        (0..spans).for_each(|_| self.finish(&mut batch));
        batch
    }

    pub(super) fn batch(&mut self, spans: usize) -> Batch {
        let is_filling = self.is_filling();
        let mut batch = Batch::default();
        for number in 0..spans {
            if self.shape.kind == Kind::Events {
                let event = self.event();
                batch.evidence.push(event);
            } else if is_filling || number % 2 == 0 {
                self.start(&mut batch);
            } else {
                self.finish(&mut batch);
            }
        }
        batch
    }

    fn event(&mut self) -> Evidence {
        let number = self.take_number();
        let fact = Fact::Decided {
            started: self.now,
            at: self.now,
            outcome: SpanOutcome::Good,
        };
        evidence(number, fact)
    }

    fn start(&mut self, batch: &mut Batch) {
        let number = self.take_number();
        self.open.push(number);
        let (at, within) = (self.now, WITHIN);
        let start = evidence(number, Fact::Started { at, within });
        self.say(batch, (start, StageEvidenceKind::Producer), span_of(number));
    }

    fn finish(&mut self, batch: &mut Batch) {
        let place = usize::try_from(mix(self.next)).unwrap() % self.open.len();
        let number = self.open.swap_remove(place);
        let end = evidence(number, Fact::Succeeded { at: self.now });
        if self.shape.kind == Kind::Links {
            let start = span_of(number);
            let span = span_of(!number);
            batch.edges.push(Edges {
                filter: LinkFilter::ALL,
                span,
                parent: None,
                links: BTreeSet::from([start]),
                is_cut: false,
            });
            self.say(batch, (end, StageEvidenceKind::Consumer), span);
        } else {
            self.say(batch, (end, StageEvidenceKind::Consumer), span_of(number));
        }
    }

    fn say(
        &self,
        batch: &mut Batch,
        (evidence, kind): (Evidence, StageEvidenceKind),
        span: SpanRef,
    ) {
        match self.shape.kind {
            Kind::Links => batch.linked.push(Linked {
                slo: SLO,
                filter: LinkFilter::ALL,
                span,
                message: None,
                batch: LinkBatch::Each,
                piece: Workflow::from(&evidence),
            }),
            Kind::Stages => {
                batch.pieces.push(self.piece(evidence.key, kind));
                batch.evidence.push(evidence);
            }
            Kind::Events | Kind::Workflows => batch.evidence.push(evidence),
        }
    }

    fn piece(&self, key: EventKey, kind: StageEvidenceKind) -> FoundStageEvidence {
        FoundStageEvidence {
            span: span_of(1),
            key: StageKey::Event(key),
            slo: None,
            is_always_kept: false,
            wanted_by: Arc::from([SLO]),
            piece: StageEvidence {
                kind,
                from: self.now,
                to: self.now,
                name: "orders".to_owned(),
                service: "shop".to_owned(),
                deliver_at: None,
                trace_id: TraceId::from_slice(&key.0).unwrap(),
                is_error: false,
            },
        }
    }

    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn span_of(number: u64) -> SpanRef {
    let trace = key(number);
    SpanRef {
        trace_id: TraceId::from_slice(&trace).unwrap(),
        span_id: SpanId::from_slice(&trace[..8]).unwrap(),
    }
}

fn evidence(number: u64, fact: Fact) -> Evidence {
    let key = key(number);
    Evidence {
        revision: Revision::default(),
        slo: SLO,
        key: EventKey(key),
        label: format!("order-{number:012}"),
        fact,
        trace_id: TraceId::from_slice(&key).unwrap(),
        customer: Some(format!("customer-{}", number % 1_000)),
        sample: None,
        group: GroupValues::default(),
    }
}

/// As random as a hash.
pub(super) fn key(number: u64) -> [u8; 16] {
    (u128::from(mix(number)) << 64 | u128::from(mix(!number))).to_be_bytes()
}

/// The finalizer of splitmix64.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
