//! Commits the evidence of many requests in one transaction.

use std::{borrow::Cow, collections::BTreeMap, ops::AddAssign, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{KnownLocks, KnownRows, LinkCheck, NewLinks, Recording, StageKeeper, check_links};
use crate::{
    clock::Clock,
    domain::{
        model::{ids::Revision, time::Timestamp},
        workflow::{
            EvidenceByEvent, JudgingContext,
            classify::{ClassifiedBatch, Classifier, DiscardReason},
            join,
            links::GroupsOfBatches,
            may_time_out,
        },
    },
    store::{LedgerState, SpanCounts, Store, StoreError, Tx, Writer},
};

/// The time limit of a commit. A slower one is aborted and its connection closed; its senders were
/// asked to retry long before.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);
/// The number of times a transaction starts again because another replica was first.
const CONFLICTS: usize = 10;

/// A check that is due, and by what it judges.
type DueCheck = (LinkCheck, JudgingContext);

/// Commits evidence. Clones share what it needs.
#[derive(Clone, Debug)]
pub struct Committer {
    pub store: Store,
    pub writer: Writer,
    pub clock: Clock,
    pub classifier: watch::Receiver<Arc<Classifier>>,
    pub watermark: watch::Receiver<Timestamp>,
    /// The time that senders may take to deliver what they buffered while they could not send.
    pub catch_up: Duration,
    pub stages: StageKeeper,
    pub locks: KnownLocks,
}

/// The evidence that is committed in one transaction.
#[derive(Debug)]
pub struct CommitPart<'a> {
    /// The classified requests without their evidence.
    pub findings: &'a [&'a ClassifiedBatch],
    pub evidence: EvidenceByEvent,
    /// The oldest revision by which any of it was classified.
    pub definitions: Revision,
}

/// The workflows that evidence came for, by what it changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedWorkflows {
    pub new: usize,
    pub changed: usize,
    /// All of the evidence was there.
    pub unchanged: usize,
    /// They are older than evidence may be.
    pub removed: usize,
    /// How often the transaction began again because another replica was first.
    pub conflicts: usize,
}

impl AddAssign for RecordedWorkflows {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.changed += other.changed;
        self.unchanged += other.unchanged;
        self.removed += other.removed;
        self.conflicts += other.conflicts;
    }
}

/// The result of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    Done(RecordedWorkflows),
    /// Nothing was written: some of the requests were classified by definitions older than this
    /// revision.
    Outdated(Revision),
}

impl Committer {
    /// Commits `part`, and starts again if another replica was first. Returns when what it says of
    /// links is compared with what others committed at the same time.
    pub async fn commit(&self, part: &CommitPart<'_>) -> Result<Commit, StoreError> {
        let mut known_rows = self.locks.next();
        let (committed, conflicts) = repeat(|conflicts| {
            if conflicts > 0 {
                known_rows = KnownRows::Locked;
                self.locks.note_conflict();
            }
            self.try_commit(part, known_rows)
        })
        .await?;
        let (mut recorded, check) = match committed {
            Ok(committed) => committed,
            Err(definitions) => return Ok(Commit::Outdated(definitions)),
        };
        recorded.conflicts = conflicts;
        if let Some((check, context)) = check {
            let classifier = Arc::clone(&self.classifier.borrow());
            let judging = |slo| classifier.judging(slo, &context);
            check_links(&self.store, self.writer, &judging, context.now, check).await?;
        }
        Ok(Commit::Done(recorded))
    }

    /// Returns what was recorded, and the check that is due; the definitions in force if they are
    /// newer than those of `part`.
    async fn try_commit(
        &self,
        part: &CommitPart<'_>,
        known_rows: KnownRows,
    ) -> Result<Result<(RecordedWorkflows, Option<DueCheck>), Revision>, StoreError> {
        let now = self.clock.now();
        let (mut tx, state) = self.store.begin_recording("record evidence").await?;
        if part.definitions < state.definitions {
            return Ok(Err(state.definitions));
        }
        let recorded = self.record((&mut tx, state), part, now, known_rows).await?;
        tx.commit().await?;
        Ok(Ok(recorded))
    }

    /// Judges and counts the evidence, and stores the rest of what was found.
    async fn record(
        &self,
        (tx, state): (&mut Tx<'_>, LedgerState),
        part: &CommitPart<'_>,
        now: Timestamp,
        known_rows: KnownRows,
    ) -> Result<(RecordedWorkflows, Option<DueCheck>), StoreError> {
        let findings = part.findings;
        let new_links = NewLinks {
            linked: findings.iter().flat_map(|f| &f.linked).collect(),
            edges: findings.iter().flat_map(|f| &f.edges).collect(),
            batches: findings.iter().flat_map(|f| &f.batches).collect(),
        };
        let mut context = JudgingContext {
            now,
            watermark: *self.watermark.borrow(),
            catch_up: self.catch_up,
            observed: BTreeMap::new(),
        };
        // Links may move evidence of any workflow.
        if !new_links.is_empty() || may_time_out(&part.evidence, context.watermark) {
            context.observed = tx.end_observations(now).await?;
        }
        let classifier = Arc::clone(&self.classifier.borrow());
        let judging = |slo| classifier.judging(slo, &context);
        let mut recording = Recording::new(tx, state, &judging);
        if new_links.is_empty() {
            recording = recording.with_known(known_rows);
        }
        let mut spans = SpanCounts {
            heard: self.stages.heard(&part.evidence),
            ..span_counts(findings)
        };
        let (mut evidence, mut check) = (Cow::Borrowed(&part.evidence), None);
        if !new_links.is_empty() {
            let updates = recording.record_links(&new_links).await?;
            join(evidence.to_mut(), updates.gathered);
            add(&mut spans.discarded, &updates.discarded);
            check = updates.check;
        }
        recording
            .apply(&evidence, &GroupsOfBatches::default())
            .await?;
        let pieces: Vec<_> = findings.iter().flat_map(|f| &f.pieces).collect();
        if !pieces.is_empty() {
            recording.write_rows().await?;
        }
        for (slo, missed) in recording.tx.add_stage_spans(now, &pieces).await? {
            let reason = (slo, DiscardReason::TooMuchStageEvidence);
            *spans.discarded.entry(reason).or_default() += missed;
        }
        let recorded = recording.recorded;
        recording.write_counts(self.writer, now, &spans).await?;
        Ok((recorded, check.map(|check| (check, context))))
    }
}

/// Repeats a transaction while another replica is first; `attempt` takes how often it has begun again.
/// Returns its result, and how often it began again in all.
pub(super) async fn repeat<T, F>(
    mut attempt: impl FnMut(usize) -> F,
) -> Result<(T, usize), StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut conflicts = 0;
    loop {
        let result = tokio::time::timeout(COMMIT_WITHIN, attempt(conflicts)).await;
        match result.unwrap_or_else(|_| Err(StoreError::no_answer("record evidence"))) {
            Err(error) if error.is_conflict() && conflicts < CONFLICTS => conflicts += 1,
            result => return result.map(|done| (done, conflicts)),
        }
    }
}

/// Returns the counts of spans, which do not depend on verdicts.
fn span_counts(findings: &[&ClassifiedBatch]) -> SpanCounts {
    let losses = findings.iter().flat_map(|findings| &findings.losses);
    SpanCounts {
        discarded: sum(findings.iter().map(|findings| &findings.unusable)),
        losses: losses.copied().collect(),
        correlated: sum(findings.iter().map(|findings| &findings.correlated)),
        starts: sum(findings.iter().map(|findings| &findings.starts)),
        heard: None,
    }
}

fn sum<'a, K: Copy + Ord + 'a, V: Copy + Default + AddAssign + 'a>(
    counts: impl Iterator<Item = &'a BTreeMap<K, V>>,
) -> BTreeMap<K, V> {
    let mut sum = BTreeMap::new();
    for counts in counts {
        add(&mut sum, counts);
    }
    sum
}

fn add<K: Copy + Ord, V: Copy + Default + AddAssign>(
    sum: &mut BTreeMap<K, V>,
    counts: &BTreeMap<K, V>,
) {
    for (key, count) in counts {
        *sum.entry(*key).or_default() += *count;
    }
}
