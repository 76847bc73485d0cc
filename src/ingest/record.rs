//! Commits the evidence of requests, many requests in one transaction.
//!
//! Every request waits for the commit of its evidence, so a successful reply means committed. While
//! a transaction is in progress, further requests are collected; so a busy receiver writes few
//! large transactions and an idle one replies at once. A second transaction begins if the next one
//! is full or the first takes long. Sending the same evidence again changes nothing, so it is
//! always safe to ask a sender to retry.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{Unavailable, failure::CommitError};
use crate::{
    domain::workflow::{
        EvidenceByEvent,
        classify::ClassifiedBatch,
        gather,
        reservoir::{ReservoirFilter, ReservoirMinima},
    },
    recording::{Commit, CommitPart, Committer, RecordedWorkflows, StageKeeper},
    store::StoreError,
    telemetry::metrics::RecordingMetrics,
};

const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The limit of requests that wait for a commit; the senders of further ones are asked to retry, so
/// that memory is bounded.
const WAITING_REQUESTS: usize = 256;
/// The limit of requests in one transaction.
const REQUESTS_PER_COMMIT: usize = 64;
/// The amount of evidence in a full transaction. A larger request takes several: others would wait
/// long for it, and it might exceed the time limit of a commit.
const EVIDENCE_PER_COMMIT: usize = 8_192;
/// The time to wait for more requests when several senders are active: a transaction costs about as
/// much for many as for one. A single sender is answered at once.
const GATHER_FOR: Duration = Duration::from_millis(5);
/// The same while another transaction is in progress. It usually ends earlier, unless the database
/// is far away, and then concurrent transactions hide its latency.
const GATHER_FOR_ANOTHER: Duration = Duration::from_millis(20);

/// Passes classified batches to the recorder loop and waits for their commit. Clones share it.
#[derive(Clone, Debug)]
pub struct Recorder {
    requests: mpsc::Sender<Request>,
    filter: watch::Receiver<ReservoirFilter>,
    stages: StageKeeper,
}

#[derive(Debug)]
struct Request {
    findings: ClassifiedBatch,
    reply: oneshot::Sender<Result<(), CommitError>>,
}

/// The receiving end of a [`Recorder`]: commits until shutdown and an empty queue.
#[derive(Debug)]
pub struct RecorderLoop {
    lane: Arc<CommitLane>,
    requests: mpsc::Receiver<Request>,
    most_commits: usize,
}

impl Recorder {
    pub fn new(committer: Committer, metrics: RecordingMetrics) -> (Self, RecorderLoop) {
        let (sender, requests) = mpsc::channel(WAITING_REQUESTS);
        let (publisher, filter) = watch::channel(ReservoirFilter::default());
        // One connection is left for heartbeats.
        let stages = committer.stages.clone();
        let most_commits = committer.store.max_connections().saturating_sub(1).max(1);
        let committing = RecorderLoop {
            lane: Arc::new(CommitLane {
                committer,
                seen: Mutex::default(),
                filter: publisher,
                metrics,
            }),
            requests,
            most_commits: most_commits as usize,
        };
        let requests = sender;
        let recorder = Self {
            requests,
            filter,
            stages,
        };
        (recorder, committing)
    }

    /// Returns the filter of the events whose attributes still need to be read.
    pub fn filter(&self) -> ReservoirFilter {
        self.filter.borrow().clone()
    }

    /// Returns the keeper, which decides which stage evidence is recorded.
    pub const fn stages(&self) -> &StageKeeper {
        &self.stages
    }

    /// Returns when `findings` are committed.
    pub async fn record(&self, findings: ClassifiedBatch) -> Result<(), CommitError> {
        if findings.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.requests
            .try_send(Request { findings, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => unavailable("too many requests wait"),
                mpsc::error::TrySendError::Closed(_) => unavailable("shutting down"),
            })?;
        answer
            .await
            .unwrap_or_else(|_| Err(unavailable("shutting down").into()))
    }
}

impl RecorderLoop {
    /// Commits until `shutdown` is cancelled and the queue is empty.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut commits = JoinSet::new();
        let mut waiting = WaitingRequests::default();
        loop {
            let can_start = commits.len() < self.most_commits;
            let due_at = waiting.due_at(commits.len());
            if can_start && due_at.is_some_and(|at| at <= Instant::now()) {
                commits.spawn(Arc::clone(&self.lane).commit_and_reply(waiting.take()));
                continue;
            }
            if waiting.are_last && due_at.is_none() && commits.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                Some(_ended) = commits.join_next() => {}
                request = self.requests.recv(), if waiting.may_grow() => match request {
                    Some(request) => {
                        waiting.push(request);
                        waiting.extend(&mut self.requests);
                    }
                    None => waiting.are_last = true,
                },
                () = shutdown.cancelled(), if !self.requests.is_closed() => self.requests.close(),
                () = time::sleep_until(due_at.unwrap_or_else(Instant::now)),
                    if can_start && due_at.is_some() => {}
            }
        }
    }
}

/// Requests for the next transaction.
#[derive(Debug, Default)]
struct WaitingRequests {
    requests: Vec<Request>,
    evidence: usize,
    since: Option<Instant>,
    /// True if the last transaction had several requests.
    are_many_sending: bool,
    /// True if no more requests will come.
    are_last: bool,
}

impl WaitingRequests {
    fn push(&mut self, request: Request) {
        self.evidence += request.findings.evidence.len();
        self.since.get_or_insert_with(Instant::now);
        self.requests.push(request);
    }

    /// Adds the requests that have arrived, until a transaction is full.
    fn extend(&mut self, arrived: &mut mpsc::Receiver<Request>) {
        while !self.is_full()
            && let Ok(request) = arrived.try_recv()
        {
            self.push(request);
        }
    }

    fn may_grow(&self) -> bool {
        !self.are_last && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.requests.len() >= REQUESTS_PER_COMMIT || self.evidence >= EVIDENCE_PER_COMMIT
    }

    /// Returns when the next transaction should begin, while `under_way` others have not ended;
    /// `None` if no request waits.
    fn due_at(&self, under_way: usize) -> Option<Instant> {
        let since = self.since?;
        let patience = match (under_way, self.are_many_sending) {
            _ if !self.may_grow() => Duration::ZERO,
            (0, false) => Duration::ZERO,
            (0, true) => GATHER_FOR,
            _ => GATHER_FOR_ANOTHER,
        };
        Some(since + patience)
    }

    fn take(&mut self) -> Vec<Request> {
        let requests = std::mem::take(&mut self.requests);
        *self = Self {
            are_many_sending: requests.len() > 1,
            are_last: self.are_last,
            ..Self::default()
        };
        requests
    }
}

/// The shared state of concurrent transactions.
#[derive(Debug)]
struct CommitLane {
    committer: Committer,
    seen: Mutex<ReservoirMinima>,
    filter: watch::Sender<ReservoirFilter>,
    metrics: RecordingMetrics,
}

impl CommitLane {
    async fn commit_and_reply(self: Arc<Self>, requests: Vec<Request>) {
        // No one waits for these, not even a task that would give the result to a later copy of the
        // same request.
        let requests: Vec<_> = requests
            .into_iter()
            .filter(|r| !r.reply.is_closed())
            .collect();
        self.commit_and_reply_to(requests).await;
    }

    async fn commit_and_reply_to(&self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let all: Vec<&ClassifiedBatch> = requests.iter().map(|request| &request.findings).collect();
        let result = self.commit(&all).await;
        match result {
            // One request that cannot be stored must not fail the others.
            Err(error) if requests.len() > 1 && error.is_about_data() => {
                for request in requests {
                    Box::pin(self.commit_and_reply_to(vec![request])).await;
                }
            }
            Ok(Commit::Outdated(in_force)) => {
                let is_outdated = |request: &Request| request.findings.definitions < in_force;
                let (outdated, current) = requests.into_iter().partition(is_outdated);
                reply_to(outdated, &Err(CommitError::Outdated));
                Box::pin(self.commit_and_reply_to(current)).await;
            }
            Ok(Commit::Done(recorded)) => {
                self.count(recorded);
                reply_to(requests, &Ok(()));
            }
            Err(error) => reply_to(requests, &Err(Self::explain(&error))),
        }
    }

    async fn commit(&self, findings: &[&ClassifiedBatch]) -> Result<Commit, StoreError> {
        let mut evidence = gather(findings.iter().flat_map(|findings| &findings.evidence));
        for one in findings {
            one.sampling.add_to(&mut evidence);
        }
        let definitions = findings.iter().map(|one| one.definitions).min();
        let mut part = CommitPart {
            findings: &[],
            evidence,
            definitions: definitions.unwrap_or_default(),
        };
        // Evidence may be committed in any parts. The counts of spans are committed with the last
        // part, and so once.
        let mut all = RecordedWorkflows::default();
        while let Some(rest) = split_off(&mut part) {
            match self.committer.commit(&part).await? {
                Commit::Done(recorded) => all += recorded,
                outdated @ Commit::Outdated(_) => return Ok(outdated),
            }
            part.evidence = rest;
        }
        part.findings = findings;
        match self.committer.commit(&part).await? {
            Commit::Done(recorded) => all += recorded,
            outdated @ Commit::Outdated(_) => return Ok(outdated),
        }
        self.note_sampled(findings);
        Ok(Commit::Done(all))
    }

    fn count(&self, recorded: RecordedWorkflows) {
        for (result, workflows) in [
            ("new", recorded.new),
            ("changed", recorded.changed),
            ("unchanged", recorded.unchanged),
            ("removed", recorded.removed),
        ] {
            self.metrics.count(result, workflows as u64);
        }
        self.metrics.conflicts.inc_by(recorded.conflicts as u64);
    }

    fn note_sampled(&self, findings: &[&ClassifiedBatch]) {
        let now = self.committer.clock.now();
        let committed = findings.iter().map(|one| &one.sampling);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.note(committed, now);
        self.filter.send_replace(seen.filter());
    }

    fn explain(error: &StoreError) -> CommitError {
        tracing::warn!(error = %error.in_full(), "cannot commit spans; senders are asked to retry");
        let unavailable = unavailable("the database did not accept the spans");
        if error.is_about_data() {
            CommitError::Refused(unavailable)
        } else {
            unavailable.into()
        }
    }
}

/// Removes the evidence that exceeds one transaction.
fn split_off(part: &mut CommitPart<'_>) -> Option<EvidenceByEvent> {
    let first = part.evidence.keys().nth(EVIDENCE_PER_COMMIT).copied()?;
    Some(part.evidence.split_off(&first))
}

fn reply_to(requests: Vec<Request>, result: &Result<(), CommitError>) {
    for request in requests {
        let _gone = request.reply.send(result.clone());
    }
}

fn unavailable(reason: &str) -> Unavailable {
    Unavailable {
        reason: reason.to_owned(),
        retry_after: RETRY_AFTER,
    }
}
