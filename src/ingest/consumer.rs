//! The interface between the two servers and the consumer of spans.

use std::{fmt, future::Future, sync::Arc};

use super::{Rejection, Unavailable, failure::Failure, unreadable::SpansWithFaults};
use crate::domain::{model::span::SpanView, traceql::KeyFilter};

/// Takes spans and commits them. The product has one, [`Ingest`](super::Ingest); the one in tests
/// remembers spans and fails on command.
pub trait TraceConsumer: Clone + Send + Sync + 'static {
    type Batch: Send + 'static;

    /// Makes an empty batch, for the spans of one request.
    fn begin(&self) -> Self::Batch;

    /// Returns the keys of the attributes that every span of the batch will be asked for: a hint, by
    /// which they are found faster. None by default.
    fn asked_keys(&self, _batch: &Self::Batch) -> Arc<KeyFilter> {
        Arc::default()
    }

    /// Adds `span` to `batch`. `Err` rejects this span alone.
    fn take(&self, span: &dyn SpanView, batch: &mut Self::Batch) -> Result<(), Rejection>;

    /// Called for every span of the request that was rejected, by `take` or by the decoder.
    fn refuse(&self, refusal: &Rejection, batch: &mut Self::Batch);

    /// Called with the number of spans of a request with unreadable values.
    fn note_faults(&self, with_faults: SpansWithFaults, batch: &mut Self::Batch);

    /// Commits the batch. After `Ok` its effects are durable. The future may be dropped before it
    /// ends.
    fn commit(&self, batch: Self::Batch) -> impl Future<Output = Result<(), CommitError>> + Send;
}

/// The reason why a batch was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The database rejects the data, so a retry would fail as well.
    #[error("{0}")]
    Refused(Unavailable),
    /// Other definitions were activated since the batch was begun. They are loaded by now: the same
    /// spans must be classified again.
    #[error("the definitions have changed")]
    Outdated,
}

/// The number of rejected spans of a request, and the reasons, as reported to its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    count: usize,
    /// The first reasons with the number of spans for each, in order of appearance.
    reasons: Vec<(String, usize)>,
    /// Set if the request contains something other than traces.
    pub(super) other_content: Option<OtherContent>,
}

/// Content of a request that is valid but not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtherContent {
    #[error(
        "`resource_spans` is not OTLP/JSON: write `resourceSpans`, and all other names like it"
    )]
    SnakeCase,
    #[error(
        "`instrumentationLibrarySpans` is no longer OTLP: write `scopeSpans`, or update the sender"
    )]
    InstrumentationLibrary,
    #[error("these look like logs: only traces are accepted here")]
    Logs,
    #[error("these look like metrics: only traces are accepted here")]
    Metrics,
}

impl Rejections {
    /// The maximum number of listed reasons, so that a reply stays small.
    const MAX_REASONS: usize = 5;
    /// The length at which a reason is truncated, since it may quote the request.
    const MAX_REASON_CHARS: usize = 200;

    pub fn add(&mut self, refusal: &Rejection) {
        self.count += 1;
        let mut reason = refusal.to_string();
        if let Some((end, _)) = reason.char_indices().nth(Self::MAX_REASON_CHARS) {
            reason.truncate(end);
        }
        if let Some((_, times)) = self.reasons.iter_mut().find(|(known, _)| *known == reason) {
            *times += 1;
        } else if self.reasons.len() < Self::MAX_REASONS {
            self.reasons.push((reason, 1));
        }
    }

    pub const fn count(&self) -> usize {
        self.count
    }

    /// Returns the message to the sender; `None` if everything was accepted.
    pub(super) fn message(&self) -> Option<String> {
        match self.other_content {
            Some(content) if self.count == 0 => Some(content.to_string()),
            Some(content) => Some(format!("{content}; {self}")),
            None => (self.count > 0).then(|| self.to_string()),
        }
    }

    /// Returns the label of the result in metrics.
    pub(super) const fn result(&self) -> &'static str {
        match self.other_content {
            Some(_) => Failure::WITHOUT_TRACES,
            None => Failure::COMMITTED,
        }
    }
}

impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused", spans(self.count))?;
        let mut separator = ": ";
        let mut unlisted = self.count;
        for (reason, times) in &self.reasons {
            write!(f, "{separator}{reason} ({})", spans(*times))?;
            separator = "; ";
            unlisted -= times;
        }
        if unlisted > 0 {
            write!(f, "; other reasons ({})", spans(unlisted))?;
        }
        Ok(())
    }
}

fn spans(count: usize) -> String {
    let mut text = format!("{count} span");
    if count != 1 {
        text.push('s');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reasons_are_counted_and_only_the_first_are_listed() {
        let mut refusals = Rejections::default();
        refusals.add(&Rejection::TraceId);
        refusals.add(&Rejection::SpanId);
        refusals.add(&Rejection::TraceId);
        assert_eq!(
            refusals.to_string(),
            "3 spans refused: trace id is not 16 bytes with a bit set (2 spans); \
             span id is not 8 bytes with a bit set (1 span)"
        );
        for secs in 0..100 {
            refusals.add(&Rejection::TooLate(Duration::from_secs(secs)));
        }
        assert_eq!(refusals.count(), 103);
        assert!(refusals.to_string().ends_with("; other reasons (97 spans)"));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut refusals = Rejections::default();
        refusals.add(&Rejection::Malformed("é".repeat(100_000)));
        assert!(refusals.to_string().len() < 1_000);
    }
}
