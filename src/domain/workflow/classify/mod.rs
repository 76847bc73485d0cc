//! Classification: turns a span into evidence, by the SLOs that select it, its role, and its
//! workflow.

mod correlate;
mod discard_reason;
mod fan_out;
mod findings;
mod follow;
mod one_span;
mod pieces;
#[cfg(test)]
mod pieces_tests;
pub mod started_at;
#[cfg(test)]
mod sub_stages;
mod times;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use crate::domain::workflow::{message_key, trace_key};
pub(super) use correlate::{beginning_of_label, cut};
pub use correlate::{correlator_of, follows_links};
pub use discard_reason::DiscardReason;
pub use findings::ClassifiedBatch;
pub use follow::Linked;
pub use pieces::evidence_keys;
pub use times::{InvalidTimestamp, TimeLimits};

use self::{
    correlate::{Correlation, correlate, text},
    follow::Followed,
    pieces::StageEvidenceFinder,
};
use super::{Evidence, Fact, Judging, JudgingContext, Losses, Staging, stage_evidence::deliver_at};
use crate::domain::{
    model::{
        group::GroupValues,
        ids::{Name, Revision, SloId},
        sampling::EndSampling,
        span::{AttributeName, SpanView, Value},
        time::{TimeRange, Timestamp},
    },
    slo::{
        Catalog, Correlator, GroupBy, HiddenAttributes, Indicator, Slo, SloRevisions, SpanInstant,
        WorkflowIndicator,
    },
    traceql::{KeyFilter, Selector, SelectorContext, SelectorIndex},
};

/// All selectors of a catalog, indexed so that spans can be classified.
#[derive(Debug)]
pub struct Classifier {
    /// The newest set of definitions that it includes.
    set: Revision,
    /// The SLOs as they are currently declared.
    slos: Vec<(SloId, Arc<Slo>)>,
    revisions: BTreeMap<SloId, SloRevisions>,
    /// Every revision of every SLO.
    entries: Vec<DeclaredRevision>,
    index: SelectorIndex<(usize, Role)>,
    followed: Vec<Followed>,
    message_ids: BTreeSet<AttributeName>,
    pieces: StageEvidenceFinder,
    asked_keys: Arc<KeyFilter>,
    hidden: HiddenAttributes,
}

/// One revision of an SLO.
#[derive(Debug)]
struct DeclaredRevision {
    id: SloId,
    slo: Arc<Slo>,
    revision: Revision,
    /// True if it is active now. Reasons for discarding a span are counted only then: under each
    /// older revision the same span would be counted again.
    is_current: bool,
}

/// The role of a selector in its SLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Start,
    Opens,
    Finish,
    Fail,
    Cancel,
    Pause,
    Event,
}

impl Role {
    /// Returns the field of a definition that has the selector.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Opens => "opens",
            Self::Finish => "finish",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Event => "match",
        }
    }
}

impl Classifier {
    /// Makes a classifier of definitions that have always been the same. `ids` holds an id for
    /// every SLO of the catalog; an SLO without one is left out.
    pub fn new(catalog: &Catalog, ids: &BTreeMap<Name, SloId>) -> Self {
        let slos = catalog.slos.values();
        let constant = slos.filter_map(|slo| {
            let id = *ids.get(&slo.name)?;
            Some((id, SloRevisions::constant(Arc::clone(slo))))
        });
        Self::with_revisions(Revision::default(), constant.collect())
    }

    /// Makes a classifier of all sets of definitions up to `set`. SLOs that are no longer declared
    /// are left out.
    pub fn with_revisions(set: Revision, mut revisions: BTreeMap<SloId, SloRevisions>) -> Self {
        revisions.retain(|_, each| each.current().is_some());
        let current =
            |(id, each): (&SloId, &SloRevisions)| Some((*id, Arc::clone(each.current()?)));
        let slos: Vec<_> = revisions.iter().filter_map(current).collect();
        let mut entries = Vec::new();
        for (id, each) in &revisions {
            let newest = each.iter().next_back().map(|revision| revision.number);
            entries.extend(each.iter().filter_map(|revision| {
                Some(DeclaredRevision {
                    id: *id,
                    slo: Arc::clone(revision.slo.as_ref()?),
                    revision: revision.number,
                    is_current: Some(revision.number) == newest,
                })
            }));
        }
        let index = SelectorIndex::build(entries.iter().enumerate().flat_map(|(at, entry)| {
            let each = selectors(&entry.slo.indicator);
            each.map(move |(role, selector)| (selector, (at, role)))
        }));
        let pieces = StageEvidenceFinder::new(&slos);
        let asked_keys = index.asked_keys().chain(pieces.asked_keys());
        Self {
            set,
            asked_keys: Arc::new(KeyFilter::new(asked_keys)),
            followed: follow::followed(entries.iter().map(|entry| (entry.id, &*entry.slo))),
            message_ids: follow::message_ids(entries.iter().map(|entry| &*entry.slo)),
            pieces,
            hidden: HiddenAttributes::of(slos.iter().map(|(_, slo)| slo)),
            slos,
            revisions,
            entries,
            index,
        }
    }

    /// Returns the keys of the attributes that [`classify`](Self::classify) asks every span for,
    /// whether or not an SLO selects it.
    pub const fn asked_keys(&self) -> &Arc<KeyFilter> {
        &self.asked_keys
    }

    pub fn slos(&self) -> &[(SloId, Arc<Slo>)] {
        &self.slos
    }

    /// Returns the attributes whose values are not stored with samples of spans.
    pub const fn hidden(&self) -> &HiddenAttributes {
        &self.hidden
    }

    pub const fn set(&self) -> Revision {
        self.set
    }

    pub const fn revisions(&self) -> &BTreeMap<SloId, SloRevisions> {
        &self.revisions
    }

    /// Returns whether a fact that starts a workflow occurred while `entry` was active; any other
    /// fact may be evidence of a workflow that started then.
    fn may_start(&self, entry: &DeclaredRevision, fact: &Fact) -> bool {
        let Some(at) = fact.start() else {
            return true;
        };
        let revisions = self.revisions.get(&entry.id);
        revisions.and_then(|all| all.at(at)) == Some(entry.revision)
    }

    /// Returns the rules by which workflows of this SLO are judged; the defaults if it is no longer
    /// declared.
    pub fn judging(&self, id: SloId, context: &JudgingContext) -> Judging {
        // In the order of their ids, as they come from a map.
        let place = self.slos.binary_search_by_key(&id, |(known, _)| *known);
        let slo = place.ok().and_then(|at| self.slos.get(at));
        let slo = slo.map(|(_, slo)| slo);
        let observed = context.observed.get(&id);
        let observed = observed.map_or_else(EndSampling::default, |seen| seen.sampling);
        let revisions = self.revisions.get(&id);
        Judging {
            oldest_revision: revisions.and_then(SloRevisions::oldest).unwrap_or_default(),
            is_watched: slo.is_some(),
            grace: slo.map_or(Slo::DEFAULT_GRACE, |slo| slo.grace),
            watermark: context.watermark_of(id),
            now: context.now,
            catch_up: context.catch_up,
            skew_tolerance: slo.map_or(Slo::LEAST_CLOCK_SKEW, |slo| slo.clock_skew),
            ends: slo.map_or(observed, |slo| slo.weighing.ends(observed)),
            losses: Losses::NoneKnown,
            is_by_trace: slo.is_some_and(|slo| is_by_trace(&slo.indicator)),
            staging: match slo.and_then(|slo| slo.staged()) {
                Some(_) => Staging::Staged,
                None => Staging::None,
            },
        }
    }

    /// Adds the evidence of `span` to `findings`. `horizon` is the earliest event time that may
    /// still be counted.
    pub fn classify(
        &self,
        span: &dyn SpanView,
        horizon: Timestamp,
        findings: &mut ClassifiedBatch,
    ) {
        self.pieces
            .find(span, horizon, &mut findings.unsorted_pieces);
        let mut older = None::<ClassifiedBatch>;
        self.index.candidates(span, |(at, role)| {
            let Some(entry) = self.entries.get(at) else {
                return;
            };
            let found = match &entry.slo.indicator {
                Indicator::Workflow(workflow) => of_workflow(workflow, role, span, horizon),
                Indicator::Span(event) => one_span::read(event, span, horizon),
            };
            match found {
                Some(Err(why)) if entry.is_current => findings.discard(entry.id, role, why),
                None | Some(Err(_)) => {}
                Some(Ok((_, fact))) if !self.may_start(entry, &fact) => {}
                Some(Ok((correlation, fact))) if entry.is_current => {
                    add(correlation, fact, entry, span, findings);
                }
                Some(Ok((correlation, fact))) => {
                    let findings = older.get_or_insert_default();
                    add(correlation, fact, entry, span, findings);
                }
            }
        });
        if let Some(older) = older {
            findings.add_evidence_of(older);
        }
        for followed in &self.followed {
            findings.add_edges(followed, span);
        }
        for id in &self.message_ids {
            findings.edges.extend(follow::message_links(id, span));
        }
    }
}

fn is_by_trace(indicator: &Indicator) -> bool {
    match indicator {
        Indicator::Workflow(workflow) => workflow.correlate == [Correlator::Trace],
        Indicator::Span(_) => false,
    }
}

/// Adds the evidence of a span, unless its sampling rules that out.
fn add(
    correlation: Correlation,
    fact: Fact,
    entry: &DeclaredRevision,
    span: &dyn SpanView,
    findings: &mut ClassifiedBatch,
) {
    let (id, slo) = (entry.id, &*entry.slo);
    let Some(sample) = findings.weigh(id, slo, &fact, span) else {
        return;
    };
    let group_by = slo.group_by.as_ref();
    let evidence = Evidence {
        slo: id,
        revision: entry.revision,
        key: trace_key(span.trace_id()),
        label: span.trace_id().to_string(),
        fact,
        trace_id: span.trace_id(),
        customer: customer(id, slo, span, findings),
        sample,
        group: group_by.map_or_else(GroupValues::default, |by| group(by, id, span, findings)),
    };
    findings.add(correlation, evidence, &slo.indicator, span);
}

/// Returns the selectors of an indicator that decide which spans are evidence.
pub fn selectors(indicator: &Indicator) -> impl Iterator<Item = (Role, &Selector)> {
    let found = match indicator {
        Indicator::Workflow(workflow) => [
            Some((Role::Start, &workflow.start)),
            workflow.opens.as_ref().map(|opens| (Role::Opens, opens)),
            Some((Role::Finish, &workflow.finish)),
            workflow.fail.as_ref().map(|fail| (Role::Fail, fail)),
            workflow
                .cancel
                .as_ref()
                .map(|cancel| (Role::Cancel, cancel)),
            workflow.pause.as_ref().map(|pause| (Role::Pause, pause)),
        ],
        Indicator::Span(event) => [
            Some((Role::Event, &event.matches)),
            None,
            None,
            None,
            None,
            None,
        ],
    };
    found.into_iter().flatten()
}

type Found = Option<Result<(Correlation, Fact), DiscardReason>>;

fn of_workflow(
    workflow: &WorkflowIndicator,
    role: Role,
    span: &dyn SpanView,
    horizon: Timestamp,
) -> Found {
    let known_start = times::start_of(span);
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    let start = known_start.unwrap_or(end);
    let (selector, fact, counted_from) = match role {
        Role::Start | Role::Opens => return begun(workflow, role, span, horizon),
        Role::Finish => {
            let at = match workflow.finish_at {
                SpanInstant::Start => start,
                SpanInstant::End => end,
            };
            (&workflow.finish, Fact::Succeeded { at }, at)
        }
        Role::Fail => (workflow.fail.as_ref()?, Fact::Failed { at: end }, end),
        Role::Cancel => (workflow.cancel.as_ref()?, Fact::Cancelled { at: end }, end),
        Role::Pause => {
            let range = TimeRange::new(start, end);
            // A pause without length changes nothing.
            let is_pause = known_start.is_none() || !range.is_empty();
            let pause = workflow.pause.as_ref().filter(|_| is_pause)?;
            (pause, Fact::Paused(range), end)
        }
        Role::Event => return None,
    };
    if !selector.matches(span, SelectorContext::default()) {
        return None;
    }
    if known_start.is_none() && needs_start(workflow, role) {
        return Some(Err(DiscardReason::NoStartTime));
    }
    let fact = Countable {
        fact,
        is_late: counted_from < horizon,
    };
    Some(fact.of(workflow, role, span))
}

/// Returns the fact of a start span, or of one that only shows that the work exists.
fn begun(
    workflow: &WorkflowIndicator,
    role: Role,
    span: &dyn SpanView,
    horizon: Timestamp,
) -> Found {
    let opens = (role == Role::Opens).then_some(workflow.opens.as_ref());
    let selector = opens.unwrap_or(Some(&workflow.start))?;
    if !selector.matches(span, SelectorContext::default()) {
        return None;
    }
    let Some(at) = begins(workflow, span) else {
        return Some(Err(DiscardReason::NoStartTime));
    };
    let within = workflow.within;
    let fact = if role == Role::Opens {
        Fact::Opened { at, within }
    } else {
        Fact::Started { at, within }
    };
    let fact = Countable {
        fact,
        is_late: at + within < horizon,
    };
    Some(fact.of(workflow, role, span))
}

/// Returns the time since which the work exists: from the field that the definition names, if the
/// span has it, otherwise from the span's own times. `None` if that is not a time, or later than
/// the span itself, which means that its unit is wrong.
fn begins(workflow: &WorkflowIndicator, span: &dyn SpanView) -> Option<Timestamp> {
    let end = Timestamp::from_unix_nanos(span.end_unix_nano());
    let source = workflow.started_at.as_ref();
    if let Some(nanos) = source.and_then(|source| started_at::read(source, span)) {
        let at = i64::try_from(nanos / 1_000)
            .ok()
            .map(Timestamp::from_micros)?;
        return (times::is_start(nanos) && at <= end + Slo::MOST_CLOCK_SKEW).then_some(at);
    }
    match workflow.start_at {
        SpanInstant::Start => times::start_of(span),
        // A message with a future delivery time does not wait until then.
        SpanInstant::End => Some(deliver_at(span).map_or(end, |at| at.max(end))),
    }
}

/// A fact, and whether its time is before the horizon.
struct Countable {
    fact: Fact,
    is_late: bool,
}

impl Countable {
    /// Adds the workflows that the fact belongs to.
    fn of(
        self,
        workflow: &WorkflowIndicator,
        role: Role,
        span: &dyn SpanView,
    ) -> Result<(Correlation, Fact), DiscardReason> {
        if self.is_late {
            return Err(DiscardReason::TooLate);
        }
        match correlate(&workflow.correlate, role, span) {
            Correlation::Absent => Err(DiscardReason::Uncorrelated),
            Correlation::TooLong => Err(DiscardReason::KeyTooLong),
            correlation @ (Correlation::Of { .. }
            | Correlation::Origin { .. }
            | Correlation::Published { .. }
            | Correlation::Received { .. }
            | Correlation::ReceivedByParent { .. }) => {
                let fact = fan_out::of_leg(workflow.legs.as_ref(), self.fact, span)?;
                Ok((correlation, fact))
            }
        }
    }
}

/// Returns whether the meaning of a span in `role` depends on its start.
const fn needs_start(workflow: &WorkflowIndicator, role: Role) -> bool {
    match role {
        Role::Finish => matches!(workflow.finish_at, SpanInstant::Start),
        Role::Pause => true,
        // Their time may come from another field.
        Role::Start | Role::Opens | Role::Fail | Role::Cancel | Role::Event => false,
    }
}

fn customer(
    id: SloId,
    slo: &Slo,
    span: &dyn SpanView,
    findings: &mut ClassifiedBatch,
) -> Option<String> {
    let whole = one_value(slo.customer.as_ref()?, id, span, findings)?;
    let length = whole.len();
    let customer = cut(whole);
    if customer.len() < length {
        findings.note(id, DiscardReason::CustomerCut);
    }
    Some(customer)
}

fn group(
    by: &GroupBy,
    id: SloId,
    span: &dyn SpanView,
    findings: &mut ClassifiedBatch,
) -> GroupValues {
    let value = |attribute: &AttributeName| {
        let value = one_value(attribute, id, span, findings).map(cut);
        (attribute.to_string(), value)
    };
    by.attributes.iter().map(value).collect()
}

/// Returns the attribute as text. An array of several values is discarded, and that is counted.
fn one_value(
    attribute: &AttributeName,
    id: SloId,
    span: &dyn SpanView,
    findings: &mut ClassifiedBatch,
) -> Option<String> {
    let value = span.attribute(attribute.scope, &attribute.key)?;
    if let Value::Array(_) = value {
        findings.note(id, DiscardReason::SeveralValues);
    }
    text(&value)
}
