//! Tests of what is stored, what waits and what is dropped.

use proptest::prelude::*;

use super::*;
use crate::domain::{
    model::{
        ids::{SpanId, TraceId},
        span::SpanRef,
        time::Timestamp,
    },
    workflow::stage_evidence::{StageEvidence, StageEvidenceKind},
};

fn key(workflow: u8) -> StageKey {
    StageKey::Trace(TraceId::from_slice(&[workflow + 1; 16]).unwrap())
}

fn found(workflow: u8, nth: u8) -> FoundStageEvidence {
    FoundStageEvidence {
        span: SpanRef {
            trace_id: TraceId::from_slice(&[workflow + 1; 16]).unwrap(),
            span_id: SpanId::from_slice(&[nth + 1; 8]).unwrap(),
        },
        key: key(workflow),
        slo: None,
        is_always_kept: false,
        wanted_by: [].into(),
        piece: StageEvidence {
            kind: StageEvidenceKind::Producer,
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::UNIX_EPOCH,
            name: String::new(),
            service: String::new(),
            deliver_at: None,
            trace_id: TraceId::from_slice(&[workflow + 1; 16]).unwrap(),
            is_error: false,
        },
    }
}

const ORDERS: SloId = SloId(1);
const MAILS: SloId = SloId(2);

/// The workflow of `slo` that is this trace. Its key begins with as many zeros as its number says.
fn of(slo: SloId, workflow: u8) -> StagedKey {
    StagedKey {
        key: key(workflow),
        slo,
        event: EventKey((u128::MAX >> workflow).to_be_bytes()),
    }
}

fn known(workflow: u8) -> StagedKey {
    of(ORDERS, workflow)
}

fn handles(workflows: &[u8], keeping: Keeping) -> KnownHandles {
    let slo = ORDERS;
    let handles = workflows.iter().map(|nth| key(*nth).handle());
    handles
        .map(|handle| (handle, KeptStages { slo, keeping }))
        .collect()
}

fn loaded(most: usize) -> StageBuffer {
    let mut buffer = StageBuffer::new(most);
    buffer.begin_loading();
    buffer.finish_loading(KnownHandles::default());
    buffer
}

/// One in 4 workflows of orders is in the sample.
fn sampled(most: usize) -> StageBuffer {
    let mut buffer = loaded(most);
    let sampling = StageSampling {
        all: SampleLevel(2),
        bad: SampleLevel::ALL,
    };
    buffer.set_sampling(BTreeMap::from([(ORDERS, sampling)]));
    buffer
}

fn sort(buffer: &mut StageBuffer, found: Vec<FoundStageEvidence>) -> Vec<FoundStageEvidence> {
    let sorted = buffer.sort(found.into_iter().map(CompactStageEvidence::from));
    assert_eq!(sorted.linked, []);
    sorted.known
}

#[test]
fn evidence_waits_until_the_workflows_are_loaded() {
    let mut buffer = StageBuffer::new(10);
    let all = vec![found(1, 1), found(2, 1), found(3, 1)];
    assert_eq!(sort(&mut buffer, all), []);
    buffer.begin_loading();
    assert_eq!(buffer.note([known(2)]), [found(2, 1)]);
    let loaded = buffer.finish_loading(handles(&[3], Keeping::Stored));
    assert_eq!(loaded, [found(3, 1)]);
    let all = vec![found(1, 2), found(2, 2), found(3, 2)];
    assert_eq!(sort(&mut buffer, all), [found(2, 2), found(3, 2)]);
    assert_eq!(buffer.note([known(1)]), [found(1, 1), found(1, 2)]);
}

#[test]
fn a_workflow_outside_of_the_sample_is_stored_whole_once_it_is_bad() {
    let mut buffer = sampled(10);
    sort(&mut buffer, vec![found(1, 1), found(2, 1)]);
    assert_eq!(buffer.note([known(1), known(2)]), [found(2, 1)]);
    let all = vec![found(1, 2), found(2, 2)];
    assert_eq!(sort(&mut buffer, all), [found(2, 2)]);
    let bad = handles(&[1], Keeping::StoredAsBad);
    assert_eq!(buffer.note_handles(&bad), [found(1, 1), found(1, 2)]);
    // Also after its next span, by which it would not be in the sample.
    assert_eq!(buffer.note([known(1)]), []);
    assert_eq!(sort(&mut buffer, vec![found(1, 3)]), [found(1, 3)]);
    let demand = StageDemand { all: 5, bad: 3 };
    assert_eq!(buffer.take_demand(), BTreeMap::from([(ORDERS, demand)]));
    assert_eq!(buffer.take_demand(), BTreeMap::new());
}

#[test]
fn a_workflow_of_two_slos_is_stored_for_the_one_that_has_room() {
    let mut buffer = sampled(10);
    buffer.note([known(1), of(MAILS, 1)]);
    buffer.note([of(MAILS, 0), known(0)]);
    let all = vec![found(0, 1), found(1, 1)];
    assert_eq!(sort(&mut buffer, all.clone()), all);
    let demand = StageDemand { all: 2, bad: 0 };
    assert_eq!(buffer.take_demand(), BTreeMap::from([(MAILS, demand)]));
}

#[test]
fn evidence_of_nobody_does_not_replace_that_of_known_workflows() {
    let second = |secs| Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(secs);
    let mut buffer = sampled(2);
    buffer.note([known(0), known(1)]);
    buffer.set_time(second(1));
    sort(&mut buffer, vec![found(0, 1), found(0, 2)]);
    sort(&mut buffer, vec![found(7, 1), found(8, 1), found(9, 1)]);
    assert_eq!((buffer.dropped(), buffer.dropped_until()), (1, None));
    buffer.set_time(second(2));
    sort(&mut buffer, vec![found(1, 1)]);
    // That is no loss, since it was not in the sample, but it cannot be stored any more.
    assert_eq!(
        (buffer.dropped(), buffer.dropped_until()),
        (1, Some(second(1)))
    );
    let bad = handles(&[0, 1], Keeping::StoredAsBad);
    assert_eq!(buffer.note_handles(&bad), [found(1, 1)]);
}

#[test]
fn the_oldest_workflow_is_dropped_whole() {
    let mut buffer = loaded(3);
    sort(&mut buffer, vec![found(1, 1), found(1, 2), found(2, 1)]);
    sort(&mut buffer, vec![found(3, 1)]);
    assert_eq!((buffer.waiting(), buffer.dropped()), (2, 2));
    assert_eq!(buffer.note([known(1), known(2)]), [found(2, 1)]);
}

#[test]
fn what_may_belong_to_workflows_of_links_does_not_wait() {
    let mut buffer = sampled(10);
    let linked = |workflow| FoundStageEvidence {
        is_always_kept: true,
        ..found(workflow, 1)
    };
    // 0 is unknown, 1 outside of the sample, and 2 in it.
    buffer.note([known(1), known(2)]);
    let all = [linked(0), linked(1), linked(2)].map(CompactStageEvidence::from);
    let sorted = buffer.sort(all);
    assert_eq!(sorted.linked, [linked(0), linked(1)]);
    assert_eq!(sorted.known, [linked(2)]);
}

#[test]
fn a_workflow_that_another_replica_knows_is_known_by_its_handle() {
    let mut buffer = loaded(3);
    sort(&mut buffer, vec![found(1, 1), found(2, 1)]);
    let heard = handles(&[1], Keeping::Stored);
    assert_eq!(buffer.note_handles(&heard), [found(1, 1)]);
    assert_eq!(sort(&mut buffer, vec![found(1, 2)]), [found(1, 2)]);
}

proptest! {
    /// In any order, the evidence of workflows that become known is stored once, unless too
    /// much waits.
    #[test]
    fn no_evidence_of_a_known_workflow_stays(
        steps in prop::collection::vec((0_u8..4, prop::option::of(0_u8..8)), 0..64),
    ) {
        let mut buffer = loaded(1_000);
        let (mut stored, mut sent, mut noted) = (Vec::new(), Vec::new(), Vec::new());
        for (workflow, span) in steps {
            if let Some(nth) = span {
                sent.push(found(workflow, nth));
                stored.extend(sort(&mut buffer, vec![found(workflow, nth)]));
            } else {
                noted.push(key(workflow));
                stored.extend(buffer.note([known(workflow)]));
            }
        }
        sent.retain(|one| noted.contains(&one.key));
        let sorted = |mut all: Vec<FoundStageEvidence>| {
            all.sort_by_key(|one| (one.key, one.span.span_id.as_bytes().to_vec()));
            all
        };
        prop_assert_eq!(sorted(stored), sorted(sent));
    }

    /// What waits, what is returned and what is dropped is the same as with plain lists.
    #[test]
    fn slots_hold_the_same_as_lists(
        most in 0_usize..8,
        steps in prop::collection::vec((0_u8..6, prop::collection::vec(0_u8..8, 0..4)), 0..64),
    ) {
        let (mut slots, mut lists) = (WaitingEvidence::new(), WaitingLists::default());
        for (workflow, spans) in steps {
            if spans.is_empty() {
                let mut taken = Vec::new();
                slots.take(key(workflow), &mut |one| taken.push(one.into_found()));
                prop_assert_eq!(taken, lists.take(key(workflow)));
            }
            for nth in spans {
                slots.push(found(workflow, nth).into());
                lists.push(found(workflow, nth));
            }
            prop_assert_eq!(slots.shrink_to(most), lists.shrink_to(most));
            prop_assert_eq!(slots.len(), lists.len());
        }
        for workflow in 0..6 {
            let mut taken = Vec::new();
            slots.take(key(workflow), &mut |one| taken.push(one.into_found()));
            prop_assert_eq!(taken, lists.take(key(workflow)));
        }
    }
}

/// The workflows, oldest first; what was taken leaves an empty place.
#[derive(Default)]
struct WaitingLists(Vec<Option<(StageKey, Vec<FoundStageEvidence>)>>);

impl WaitingLists {
    fn push(&mut self, one: FoundStageEvidence) {
        let mut known = self.0.iter_mut().flatten();
        match known.find(|(key, _)| *key == one.key) {
            Some((_, all)) => all.push(one),
            None => self.0.push(Some((one.key, vec![one]))),
        }
    }

    fn take(&mut self, key: StageKey) -> Vec<FoundStageEvidence> {
        let is_wanted = |place: &&mut Option<(StageKey, Vec<FoundStageEvidence>)>| {
            place.as_ref().is_some_and(|(known, _)| *known == key)
        };
        let wanted = self.0.iter_mut().find(is_wanted);
        wanted
            .and_then(Option::take)
            .map_or_else(Vec::new, |(_, all)| all)
    }

    fn shrink_to(&mut self, most: usize) -> u64 {
        let before = self.len();
        while self.len() > most || self.0.len() > most {
            self.0.remove(0);
        }
        (before - self.len()) as u64
    }

    fn len(&self) -> usize {
        self.0.iter().flatten().map(|(_, all)| all.len()).sum()
    }
}
