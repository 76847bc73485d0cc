//! Keeps stage evidence: stores it with workflows that are known, and holds it in memory for those
//! that are not known yet.
//!
//! Most messages belong to no workflow, so most stage evidence is never written. A replica learns
//! which workflows exist from its own recordings, from the database at its start, and every second
//! from other replicas. If the workflows of an SLO have too much of it, that of a sample is written:
//! what all replicas have counted decides how large it is.
//!
//! Evidence of SLOs that follow links does not wait: the trace of a message in the middle of a workflow
//! is known to be part of it only when the last link has come, which may be days later. So its limit is
//! another one, of what is seen and not of what concerns workflows, and no sample of whole workflows:
//! what exceeds it is counted for these SLOs as `too_many_stage_spans`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    domain::{
        counting::stages::{LINKED_SPANS_AN_HOUR, LinkedSpanQuota},
        model::{
            ids::{Revision, SloId},
            time::{Resolution, Timestamp},
        },
        workflow::{
            EvidenceByEvent,
            classify::{ClassifiedBatch, Classifier, DiscardReason},
            stage_buffer::{
                KnownHandles, STAGE_SPANS_AN_HOUR, SampledHour, SortedStages, StageBuffer,
                StageDemand, StageSampling, add_known, samples,
            },
            stage_evidence::FoundStageEvidence,
            watermark::ReplicaId,
        },
    },
    store::{HeardWorkflows, OpenStagesCursor, Store, StoreError, Tx},
};

/// The maximum number of waiting fragments: about 35 MiB.
const MOST_WAITING: usize = 262_144;
/// Within this time other replicas notice that they must notify this one of workflows.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);
/// The time for which rows of other replicas are read. A replica that has not read them in time
/// loads the workflows again.
const READ_WITHIN: Duration = Duration::from_secs(15);
/// Parts of the known workflows that one turn loads: 400,000 workflows at most.
const PARTS_A_TURN: usize = 20;
/// More rows than replicas write within that time.
const MOST_SEEN: usize = 20_000;

/// Decides which stage evidence is stored. Clones share everything.
#[derive(Clone, Debug)]
pub struct StageKeeper {
    store: Store,
    classifier: watch::Receiver<Arc<Classifier>>,
    replica: ReplicaId,
    shared: Arc<SharedStages>,
}

#[derive(Debug)]
struct SharedStages {
    buffer: Mutex<StageBuffer>,
    linked: LinkedSpanQuota,
    are_others_receiving: AtomicBool,
    turn: tokio::sync::Mutex<TurnState>,
}

/// The state that one turn passes on to the next.
#[derive(Debug, Default)]
struct TurnState {
    began_at: Option<Timestamp>,
    read_at: Option<Timestamp>,
    seen: BTreeSet<i64>,
    /// The definitions by which the workflows were loaded.
    set: Revision,
    loading: Option<Loading>,
    /// When the last complete loading began.
    loaded_at: Option<Timestamp>,
    /// What is recorded of evidence that was dropped from memory.
    dropped_until: Option<Timestamp>,
}

/// The known workflows that were loaded so far.
#[derive(Debug)]
struct Loading {
    classifier: Arc<Classifier>,
    began_at: Timestamp,
    from: OpenStagesCursor,
    handles: KnownHandles,
}

/// The stage evidence that is waiting, and the number that was dropped since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingStages {
    pub waiting: usize,
    pub dropped: u64,
}

impl StageKeeper {
    /// Makes a keeper that knows no workflows until its first turn.
    pub fn new(
        store: Store,
        classifier: watch::Receiver<Arc<Classifier>>,
        replica: ReplicaId,
    ) -> Self {
        Self {
            store,
            classifier,
            replica,
            shared: Arc::new(SharedStages {
                buffer: Mutex::new(StageBuffer::new(MOST_WAITING)),
                linked: LinkedSpanQuota::new(LINKED_SPANS_AN_HOUR),
                are_others_receiving: AtomicBool::new(true),
                turn: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Leaves in `findings` only the stage evidence that is to be stored, and adds the evidence that
    /// waited for its workflows, which is also returned.
    pub fn sort(&self, findings: &mut ClassifiedBatch, now: Timestamp) -> Vec<FoundStageEvidence> {
        let evidence = findings.evidence.iter();
        let workflows = evidence.map(|one| ((one.slo, one.key), one.trace_id));
        let keys = self.classifier.borrow().stage_keys(workflows);
        let mut buffer = self.buffer();
        buffer.set_time(now);
        let waited = buffer.note(keys);
        let SortedStages { known, linked } =
            buffer.sort(std::mem::take(&mut findings.unsorted_pieces));
        drop(buffer);
        findings.pieces = known;
        findings.pieces.extend(waited.iter().cloned());
        if !linked.is_empty() {
            let room = self.shared.linked.take(now, linked.len());
            findings.add_linked_stages(linked, room);
        }
        waited
    }

    /// Takes back evidence that was not stored with its workflows, for when they are sent again.
    pub fn give_back(&self, waited: Vec<FoundStageEvidence>) {
        self.buffer().keep(waited);
    }

    /// Returns what other replicas must know about `evidence`; `None` if there are no others.
    pub(super) fn heard(&self, evidence: &EvidenceByEvent) -> Option<HeardWorkflows> {
        if !self.shared.are_others_receiving.load(Ordering::Relaxed) {
            return None;
        }
        let workflows = evidence.iter();
        let workflows = workflows.map(|(id, workflow)| (*id, workflow.trace.trace_id()));
        let keys = self.classifier.borrow().stage_keys(workflows);
        let mut handles = KnownHandles::default();
        let buffer = self.buffer();
        for workflow in keys {
            let kept = buffer.keeping(&workflow);
            add_known(&mut handles, workflow.key.handle(), kept);
        }
        Some(HeardWorkflows {
            replica: self.replica,
            handles,
        })
    }

    /// Updates the known workflows, and stores the evidence that waited for them.
    pub async fn tick(&self, now: Timestamp) -> Result<WaitingStages, StoreError> {
        let mut turn = self.shared.turn.lock().await;
        if turn.read_at.is_some_and(|at| now > at + READ_WITHIN) {
            self.buffer().forget_known();
            *turn = TurnState::default();
        }
        let began_at = *turn.began_at.get_or_insert(now);
        self.follow_samples(&mut turn, now).await?;
        let found = self.read_others(&mut turn, now).await?;
        self.store_found(found, now).await?;
        let (is_loaded, has_grown) = {
            let buffer = self.buffer();
            (buffer.is_loaded(), buffer.has_grown())
        };
        let is_changed = self.classifier.borrow().set() != turn.set;
        let noticed_at = began_at + NOTICED_WITHIN;
        let is_complete = now < noticed_at || turn.loaded_at.is_some_and(|at| at >= noticed_at);
        let is_known = is_loaded && is_complete && !has_grown && !is_changed;
        if turn.loading.is_some() || !is_known {
            let found = self.load(&mut turn, now).await?;
            self.store_found(found, now).await?;
        }
        let buffer = self.buffer();
        Ok(WaitingStages {
            waiting: buffer.waiting(),
            dropped: buffer.dropped(),
        })
    }

    /// Reads the workflows that other replicas have received. Returns the evidence that waited for
    /// them.
    async fn read_others(
        &self,
        turn: &mut TurnState,
        now: Timestamp,
    ) -> Result<Vec<FoundStageEvidence>, StoreError> {
        let mut tx = self.store.begin("read the known workflows").await?;
        let are_others = tx.are_others_receiving(self.replica).await?;
        let heard = tx.heard_by_others(self.replica, &turn.seen).await?;
        tx.commit().await?;
        let shared = &self.shared.are_others_receiving;
        shared.store(are_others, Ordering::Relaxed);
        turn.read_at = Some(now);
        let mut found = Vec::new();
        let mut buffer = self.buffer();
        for (id, handles) in heard {
            turn.seen.insert(id);
            found.extend(buffer.note_handles(&handles));
        }
        // Row numbers grow, and older rows are not read again.
        while turn.seen.len() > MOST_SEEN {
            turn.seen.pop_first();
        }
        Ok(found)
    }

    /// Records how much evidence has come, and reads which workflows are in the sample of their SLO.
    async fn follow_samples(&self, turn: &mut TurnState, now: Timestamp) -> Result<(), StoreError> {
        let (demand, dropped_until) = {
            let mut buffer = self.buffer();
            buffer.set_time(now);
            (buffer.take_demand(), buffer.dropped_until())
        };
        // Before it began it had nothing in memory.
        let dropped_until = dropped_until.max(turn.began_at);
        let sampling = self.samples(&demand, (turn.dropped_until, dropped_until), now);
        match sampling.await {
            Ok(sampling) => {
                turn.dropped_until = dropped_until;
                self.buffer().set_sampling(sampling);
                Ok(())
            }
            Err(error) => {
                self.buffer().give_back_demand(demand);
                Err(error)
            }
        }
    }

    /// Returns the samples of this hour, and records what has changed: `demand` has come, and evidence was
    /// dropped from memory until another time than before.
    async fn samples(
        &self,
        demand: &BTreeMap<SloId, StageDemand>,
        (dropped_before, dropped_until): (Option<Timestamp>, Option<Timestamp>),
        now: Timestamp,
    ) -> Result<BTreeMap<SloId, StageSampling>, StoreError> {
        let hour = now.floor_to(Resolution::Hour.length());
        let mut tx = self.store.begin("choose whose stages are stored").await?;
        let mut hours = tx.sampled_hours(now).await?;
        let mut changes: BTreeMap<SloId, SampledHour> = BTreeMap::new();
        for (slo, own) in demand {
            let current = hours.entry(*slo).or_default().0.entry(hour).or_default();
            let demand = StageDemand {
                bad: current.sampling.bad.represented_by(own.bad),
                ..*own
            };
            current.demand += demand;
            changes.entry(*slo).or_default().demand = demand;
        }
        let sampling = samples(STAGE_SPANS_AN_HOUR, &hours, now);
        for (slo, own) in &sampling {
            let recorded = hours.get(slo).and_then(|hours| hours.0.get(&hour));
            let is_recorded = recorded.is_some_and(|recorded| recorded.sampling == *own);
            if !is_recorded || dropped_before != dropped_until || changes.contains_key(slo) {
                let change = changes.entry(*slo).or_default();
                change.sampling = *own;
                change.dropped_until = dropped_until;
            }
        }
        tx.add_sampled_hours(hour, &changes).await?;
        tx.commit().await?;
        Ok(sampling)
    }

    async fn store_found(
        &self,
        found: Vec<FoundStageEvidence>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if found.is_empty() {
            return Ok(());
        }
        let stored = async {
            let mut tx = self.store.begin("store evidence of stages").await?;
            store_stages(&mut tx, now, &found.iter().collect::<Vec<_>>()).await?;
            tx.commit().await
        };
        let stored = stored.await;
        if stored.is_err() {
            self.give_back(found);
        }
        stored
    }

    /// Loads known workflows, and returns the evidence of them to store. Many of them take several
    /// turns, since other replicas must be read meanwhile.
    async fn load(
        &self,
        turn: &mut TurnState,
        now: Timestamp,
    ) -> Result<Vec<FoundStageEvidence>, StoreError> {
        let loading = turn.loading.get_or_insert_with(|| {
            self.buffer().begin_loading();
            Loading {
                classifier: Arc::clone(&self.classifier.borrow()),
                began_at: now,
                from: OpenStagesCursor::START,
                handles: KnownHandles::default(),
            }
        });
        let classifier = Arc::clone(&loading.classifier);
        let slos: Vec<SloId> = classifier.slos().iter().map(|(id, _)| *id).collect();
        for _ in 0..PARTS_A_TURN {
            let mut tx = self.store.begin("load the known workflows").await?;
            let (workflows, next) = tx.workflows_with_open_stages(&slos, loading.from).await?;
            tx.commit().await?;
            let keys = classifier.stage_keys(workflows);
            let mut buffer = self.buffer();
            for workflow in keys {
                let kept = buffer.keeping(&workflow);
                add_known(&mut loading.handles, workflow.key.handle(), kept);
            }
            let Some(next) = next else {
                let found = buffer.finish_loading(std::mem::take(&mut loading.handles));
                turn.loaded_at = Some(loading.began_at);
                turn.loading = None;
                turn.set = classifier.set();
                return Ok(found);
            };
            loading.from = next;
        }
        Ok(Vec::new())
    }

    fn buffer(&self) -> MutexGuard<'_, StageBuffer> {
        let buffer = self.shared.buffer.lock();
        buffer.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores evidence of stages, and counts what exceeds the limit of its workflow.
async fn store_stages(
    tx: &mut Tx<'_>,
    now: Timestamp,
    found: &[&FoundStageEvidence],
) -> Result<(), StoreError> {
    let missed = tx.add_stage_spans(now, found).await?.into_iter();
    let missed = missed.map(|(slo, count)| ((slo, DiscardReason::TooMuchStageEvidence), count));
    tx.count_discarded(now, &missed.collect()).await
}
