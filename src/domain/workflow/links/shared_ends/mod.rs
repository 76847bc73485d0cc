//! Workflows that went through one batch, judged by count.
//!
//! A span that receives ten messages publishes its results as its children, so every end after it
//! leads to all ten workflows and belongs to one of them. Which one is unknown, but how many ended
//! in time can be counted. Each workflow is assigned an end, so that as many as possible are good
//! and the counts are right, and a note says that the end may belong to another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::domain::{
    model::{
        ids::{SloId, TraceId},
        span::SpanRef,
        time::{TimeRange, Timestamp},
    },
    workflow::{Deadline, EventId, EventKey, SharedEnd, Workflow},
};

/// The limit of workflows in a group that are judged by count. In a larger group no end is
/// assigned, and its workflows are ambiguous.
pub const MAX_GROUP: usize = 1_000;

/// One workflow of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The range from its start, less the clock skew allowed, to its deadline; `None` while no
    /// start is known.
    pub in_time: Option<TimeRange>,
    /// True if it has an end of its own, so that it needs none of the group.
    pub has_ended: bool,
}

impl GroupMember {
    /// Makes a member from the evidence of a workflow, without the end that its group assigned.
    pub fn new(workflow: Option<&Workflow>, clock_skew: Duration) -> Self {
        let Some(workflow) = workflow else {
            return Self {
                in_time: None,
                has_ended: false,
            };
        };
        let ends = [workflow.success, workflow.failure, workflow.cancelled];
        let in_time = workflow.start.and_then(|start| match start.deadline {
            Deadline::Within(within) => {
                let deadline = workflow.details.deadline(start.at, within);
                Some(TimeRange::new(start.at - clock_skew, deadline))
            }
            Deadline::OneSpan => None,
        });
        Self {
            in_time,
            has_ended: ends.iter().any(Option::is_some) || !workflow.details.legs.is_empty(),
        }
    }
}

/// One span that received messages of several workflows, and the ends behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchDelivery {
    pub span: SpanRef,
    /// The workflows whose messages it received.
    pub workflow_keys: BTreeSet<EventKey>,
    /// Ends by the span through which the work left it: each ends one workflow.
    pub branches: BTreeMap<SpanRef, BranchEnd>,
}

/// The end of one branch, joined by precedence: a success, then the earlier end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BranchEnd {
    Succeeded(Timestamp, SpanRef),
    Failed(Timestamp, SpanRef),
    Cancelled(Timestamp, SpanRef),
}

impl BatchDelivery {
    /// Adds an end: of several behind one branch, the one with precedence is kept.
    pub fn take(&mut self, by: SpanRef, end: BranchEnd) {
        let known = self.branches.entry(by).or_insert(end);
        *known = end.min(*known);
    }
}

impl BranchEnd {
    /// Returns the end; `None` for evidence that ends nothing.
    pub fn of(evidence: &Workflow, span: SpanRef) -> Option<Self> {
        let success = evidence.success.map(|at| Self::Succeeded(at, span));
        let failure = evidence.failure.map(|at| Self::Failed(at, span));
        let cancelled = evidence.cancelled.map(|at| Self::Cancelled(at, span));
        success.or(failure).or(cancelled)
    }

    const fn at(self) -> (Timestamp, SpanRef) {
        match self {
            Self::Succeeded(at, span) | Self::Failed(at, span) | Self::Cancelled(at, span) => {
                (at, span)
            }
        }
    }

    const fn shared(self) -> SharedEnd {
        match self {
            Self::Succeeded(at, _) => SharedEnd::Succeeded(at),
            Self::Failed(at, _) => SharedEnd::Failed(at),
            Self::Cancelled(at, _) => SharedEnd::Cancelled(at),
        }
    }
}

/// Workflows that share batches, and the ends behind these batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchGroup {
    pub workflow_keys: BTreeSet<EventKey>,
    pub deliveries: Vec<BatchDelivery>,
}

impl BatchGroup {
    /// Forms groups of deliveries with ends. Two are in one group if they share a workflow,
    /// directly or through others; a delivery without ends connects nothing.
    pub fn of(deliveries: impl IntoIterator<Item = BatchDelivery>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        let with_ends = deliveries.into_iter();
        for delivery in with_ends.filter(|delivery| !delivery.branches.is_empty()) {
            let shares = |group: &Self| !group.workflow_keys.is_disjoint(&delivery.workflow_keys);
            let (touched, mut apart): (Vec<Self>, Vec<Self>) =
                std::mem::take(&mut groups).into_iter().partition(shares);
            let mut group = Self {
                workflow_keys: delivery.workflow_keys.clone(),
                deliveries: vec![delivery],
            };
            for other in touched {
                group.workflow_keys.extend(other.workflow_keys);
                group.deliveries.extend(other.deliveries);
            }
            apart.push(group);
            groups = apart;
        }
        groups
    }

    /// Returns the end of each of its workflows, by their evidence. If there are too many
    /// workflows, none has a certain end.
    pub fn judge(
        &self,
        members: &BTreeMap<EventKey, GroupMember>,
    ) -> BTreeMap<EventKey, SharedEnd> {
        if self.workflow_keys.len() > MAX_GROUP {
            let open = members.iter().filter(|(_, member)| !member.has_ended);
            return open
                .map(|(key, _)| (*key, SharedEnd::TooManyWorkflows))
                .collect();
        }
        judge_by_count(members, &self.deliveries)
    }

    /// Returns the trace of the earliest such end, for a workflow that is known by nothing else.
    pub fn trace_of(&self, end: SharedEnd) -> Option<TraceId> {
        let branches = self.deliveries.iter().flat_map(|one| one.branches.values());
        let same = branches.filter(|branch| branch.shared() == end);
        same.map(|branch| branch.at().1.trace_id).min()
    }
}

/// Groups of workflows that must be judged by count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsOfBatches {
    pub groups: Vec<(SloId, BatchGroup)>,
    /// Workflows that have changed and that are in none of the groups.
    pub alone: BTreeSet<EventId>,
}

impl GroupsOfBatches {
    /// Returns all workflows that may have changed.
    pub fn ids(&self) -> impl Iterator<Item = EventId> + '_ {
        let in_groups = self.groups.iter().flat_map(|(slo, group)| {
            let keys = group.workflow_keys.iter();
            keys.map(|key| (*slo, *key))
        });
        in_groups.chain(self.alone.iter().copied())
    }
}

/// Assigns the ends of `deliveries` to `members`.
///
/// Workflows are taken in the order of deadline and key, ends in the order of time and span id:
///
/// 1. Each workflow takes the earliest success in time, which makes as many good as possible.
/// 2. Each remaining failure and cancellation takes the workflow with the latest deadline.
/// 3. Each remaining workflow takes the earliest remaining success, which is late for it.
/// 4. The remaining ends belong to workflows whose start is not known.
///
/// Of several deliveries of the same messages, as when a batch is delivered again, the one with
/// most ends in time counts.
pub fn judge_by_count(
    members: &BTreeMap<EventKey, GroupMember>,
    deliveries: &[BatchDelivery],
) -> BTreeMap<EventKey, SharedEnd> {
    let ends = ends_that_count(members, deliveries);
    let mut shares: BTreeMap<EventKey, SharedEnd> = members
        .iter()
        .filter(|(_, member)| !member.has_ended)
        .map(|(key, _)| (*key, SharedEnd::None))
        .collect();
    let surplus = ends.len().saturating_sub(members.len());
    if ends.len() == 1 && members.len() > 1 {
        // The end may have ended all of them.
        for share in shares.values_mut() {
            *share = SharedEnd::OneEndForAll;
        }
    }
    let mut matching = Matching::new(members, ends);
    matching.take_successes_in_time();
    let in_time: Vec<EventKey> = matching.taken.iter().map(|(key, _)| *key).collect();
    matching.take_failures();
    matching.take_late_successes();
    matching.leave_the_rest(members);
    shares.extend(matching.taken);
    // Some workflow may have two of the ends, so that one without an end appears good: as many as
    // there are surplus ends become ambiguous, the last ones.
    for key in in_time.iter().rev().take(surplus) {
        shares.insert(*key, SharedEnd::MoreEndsThanWorkflows);
    }
    shares
}

/// Notes in the result of [`judge_by_count`] that its workflows are counted in several groups: which
/// of them those without an end are is unknown, unless none has an end.
pub fn note_several_groups(shares: &mut BTreeMap<EventKey, SharedEnd>) {
    if shares.values().any(|share| share.at().is_some()) {
        let without_end = shares
            .values_mut()
            .filter(|share| **share == SharedEnd::None);
        without_end.for_each(|share| *share = SharedEnd::NoneOfSeveralGroups);
    }
}

/// Returns the ends of each batch, by the delivery of it with most of them in time.
fn ends_that_count(
    members: &BTreeMap<EventKey, GroupMember>,
    deliveries: &[BatchDelivery],
) -> Vec<BranchEnd> {
    let mut chosen: BTreeMap<&BTreeSet<EventKey>, (usize, &BatchDelivery)> = BTreeMap::new();
    for delivery in deliveries {
        let ranges = delivery.workflow_keys.iter();
        let ranges = ranges.filter_map(|key| members.get(key)?.in_time);
        let ranges: Vec<TimeRange> = ranges.collect();
        let in_time = delivery.branches.values().filter(|end| match end {
            BranchEnd::Succeeded(at, _) => ranges.iter().any(|range| is_within(*range, *at)),
            BranchEnd::Failed(..) | BranchEnd::Cancelled(..) => false,
        });
        let rank = |(in_time, delivery): &(usize, &BatchDelivery)| {
            (
                *in_time,
                delivery.branches.len(),
                std::cmp::Reverse(delivery.span),
            )
        };
        let this = (in_time.count(), delivery);
        let best = chosen.entry(&delivery.workflow_keys).or_insert(this);
        if rank(&this) > rank(best) {
            *best = this;
        }
    }
    let ends = chosen.into_iter().flat_map(|(keys, (_, delivery))| {
        let mut ends: Vec<BranchEnd> = delivery.branches.values().copied().collect();
        if keys.len() == 1 {
            // Every end after it ended this one workflow.
            ends.sort();
            ends.truncate(1);
        }
        ends
    });
    ends.collect()
}

/// Returns whether a time is in time; the deadline itself is.
fn is_within(range: TimeRange, at: Timestamp) -> bool {
    range.from <= at && at <= range.to
}

/// Assigns ends to workflows one by one.
struct Matching {
    /// Workflows that have started and have no end, by deadline and key.
    open: BTreeMap<(Timestamp, EventKey), TimeRange>,
    /// By time, and by their index in the list of ends: one span may end several branches.
    successes: BTreeSet<(Timestamp, usize)>,
    /// Failures and cancellations.
    others: Vec<BranchEnd>,
    /// In the order of assignment.
    taken: Vec<(EventKey, SharedEnd)>,
}

impl Matching {
    fn new(members: &BTreeMap<EventKey, GroupMember>, ends: Vec<BranchEnd>) -> Self {
        let open = members.iter().filter(|(_, member)| !member.has_ended);
        let open = open.filter_map(|(key, member)| {
            let range = member.in_time?;
            Some(((range.to, *key), range))
        });
        let is_success = |end: &BranchEnd| matches!(end, BranchEnd::Succeeded(..));
        let (mut successes, mut others): (Vec<_>, Vec<_>) = ends.into_iter().partition(is_success);
        successes.sort_by_key(|end| end.at());
        others.sort_by_key(|end| end.at());
        let numbered = (0..).zip(successes);
        Self {
            open: open.collect(),
            successes: numbered.map(|(nth, end)| (end.at().0, nth)).collect(),
            others,
            taken: Vec::new(),
        }
    }

    fn take_successes_in_time(&mut self) {
        let open = std::mem::take(&mut self.open);
        for ((deadline, key), range) in open {
            let next = self.successes.range((range.from, 0)..).next().copied();
            match next.filter(|(at, _)| *at <= deadline) {
                Some(end) => self.give_success(key, end),
                None => drop(self.open.insert((deadline, key), range)),
            }
        }
    }

    fn take_failures(&mut self) {
        for end in std::mem::take(&mut self.others) {
            let (at, _) = end.at();
            // An end cannot belong to a workflow that had not started.
            let latest = self.open.iter().rev().find(|(_, range)| range.from <= at);
            match latest.map(|(id, _)| *id) {
                Some(id) => {
                    self.open.remove(&id);
                    self.taken.push((id.1, end.shared()));
                }
                None => self.others.push(end),
            }
        }
    }

    fn take_late_successes(&mut self) {
        let open = std::mem::take(&mut self.open);
        for ((deadline, key), range) in open {
            let late = self
                .successes
                .iter()
                .find(|(at, _)| *at > deadline)
                .copied();
            match late {
                Some(end) => self.give_success(key, end),
                None => drop(self.open.insert((deadline, key), range)),
            }
        }
    }

    /// Assigns the remaining ends to workflows without a start; each is then an orphan, as
    /// everywhere.
    fn leave_the_rest(&mut self, members: &BTreeMap<EventKey, GroupMember>) {
        let not_started = members
            .iter()
            .filter(|(_, member)| member.in_time.is_none() && !member.has_ended);
        let successes = std::mem::take(&mut self.successes).into_iter();
        let successes = successes.map(|(at, _)| SharedEnd::Succeeded(at));
        let others = self.others.drain(..).map(BranchEnd::shared);
        let rest: Vec<SharedEnd> = successes.chain(others).collect();
        let given = not_started.zip(rest).map(|((key, _), end)| (*key, end));
        self.taken.extend(given);
    }

    fn give_success(&mut self, key: EventKey, end: (Timestamp, usize)) {
        self.successes.remove(&end);
        self.taken.push((key, SharedEnd::Succeeded(end.0)));
    }
}

#[cfg(test)]
mod tests;
