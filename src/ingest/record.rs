//! Commits the evidence of requests, many requests in one transaction.
//!
//! Every request waits for the commit of its evidence, so a successful reply means committed. While
//! one transaction is in progress, further requests are collected; so a busy receiver writes few
//! large transactions and an idle one replies at once. Sending the same evidence again changes
//! nothing, so it is always safe to tell a sender to retry.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Unavailable, consumer::CommitError};
use crate::{
    domain::workflow::{
        EvidenceByEvent,
        classify::ClassifiedBatch,
        gather,
        reservoir::{ReservoirFilter, ReservoirMinima},
    },
    recording::{Commit, CommitPart, Committer},
    store::StoreError,
};

const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The limit of requests that wait for a commit; further ones are told to retry, so that memory is
/// bounded.
const WAITING_REQUESTS: usize = 256;
/// The limit of requests in one transaction.
const REQUESTS_PER_COMMIT: usize = 64;
/// With so much evidence a transaction is full, and a larger request takes several: others would wait long
/// for it, and it might take longer than a commit may.
const EVIDENCE_PER_COMMIT: usize = 8_192;
/// How long more requests are waited for when several senders are at work: a transaction costs about
/// as much for many as for one. A sender on its own is answered at once.
const GATHER_FOR: Duration = Duration::from_millis(5);

/// Passes classified batches to the recorder loop and waits for their commit. Clones share it.
#[derive(Clone, Debug)]
pub struct Recorder {
    requests: mpsc::Sender<Request>,
    gate: watch::Receiver<ReservoirFilter>,
}

#[derive(Debug)]
struct Request {
    findings: ClassifiedBatch,
    reply: oneshot::Sender<Result<(), CommitError>>,
}

/// The receiving end of a [`Recorder`]: commits until shutdown, when nothing waits any more.
#[derive(Debug)]
pub struct RecorderLoop {
    committer: Committer,
    requests: mpsc::Receiver<Request>,
    seen: ReservoirMinima,
    gate: watch::Sender<ReservoirFilter>,
}

impl Recorder {
    pub fn new(committer: Committer) -> (Self, RecorderLoop) {
        let (sender, requests) = mpsc::channel(WAITING_REQUESTS);
        let (publisher, gate) = watch::channel(ReservoirFilter::default());
        let committing = RecorderLoop {
            committer,
            requests,
            seen: ReservoirMinima::default(),
            gate: publisher,
        };
        let requests = sender;
        (Self { requests, gate }, committing)
    }

    /// Returns the filter of the events whose attributes are still worth reading.
    pub fn gate(&self) -> ReservoirFilter {
        self.gate.borrow().clone()
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
        let mut are_many_sending = false;
        loop {
            let first = tokio::select! {
                biased;
                request = self.requests.recv() => request,
                () = shutdown.cancelled() => {
                    self.requests.close();
                    self.requests.recv().await
                }
            };
            let Some(first) = first else { return };
            let mut waiting = vec![first];
            let patience = if are_many_sending {
                GATHER_FOR
            } else {
                Duration::ZERO
            };
            // Requests collected before the time-out stay in `waiting`.
            let _elapsed = tokio::time::timeout(patience, self.gather(&mut waiting)).await;
            are_many_sending = waiting.len() > 1;
            self.commit_and_reply(waiting).await;
        }
    }

    /// Collects requests that wait, and further ones that arrive, until a transaction is full.
    async fn gather(&mut self, waiting: &mut Vec<Request>) {
        let mut evidence: usize = waiting.iter().map(|one| one.findings.evidence.len()).sum();
        while waiting.len() < REQUESTS_PER_COMMIT && evidence < EVIDENCE_PER_COMMIT {
            let Some(request) = self.requests.recv().await else {
                return;
            };
            evidence += request.findings.evidence.len();
            waiting.push(request);
        }
    }

    async fn commit_and_reply(&mut self, requests: Vec<Request>) {
        // Nobody waits for these, not even a task that would tell a later copy of the same request.
        let requests: Vec<_> = requests
            .into_iter()
            .filter(|r| !r.reply.is_closed())
            .collect();
        self.commit_and_reply_to(requests).await;
    }

    async fn commit_and_reply_to(&mut self, requests: Vec<Request>) {
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
            Ok(Commit::Done) => reply_to(requests, &Ok(())),
            Err(error) => reply_to(requests, &Err(Self::explain(&error).into())),
        }
    }

    async fn commit(&mut self, findings: &[&ClassifiedBatch]) -> Result<Commit, StoreError> {
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
        // Evidence may come in any parts. What is counted as it comes goes with the last, and so once.
        while let Some(rest) = split_off(&mut part) {
            match self.committer.commit(&part).await? {
                Commit::Done => part.evidence = rest,
                outdated @ Commit::Outdated(_) => return Ok(outdated),
            }
        }
        part.findings = findings;
        let commit = self.committer.commit(&part).await?;
        if commit == Commit::Done {
            self.note_sampled(findings);
        }
        Ok(commit)
    }

    fn note_sampled(&mut self, findings: &[&ClassifiedBatch]) {
        let now = self.committer.clock.now();
        let committed = findings.iter().map(|one| &one.sampling);
        self.seen.note(committed, now);
        self.gate.send_replace(self.seen.gate());
    }

    fn explain(error: &StoreError) -> Unavailable {
        tracing::warn!(error = %error.in_full(), "cannot commit spans; senders are told to retry");
        unavailable("the database did not accept the spans")
    }
}

/// Takes the evidence that is too much for one transaction.
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
