//! The replies of both protocols: the same message, and the same code for the same failure.

use std::fmt;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use serde_json::json;
use tonic::Code;

use super::{Rejection, failure::Failure};

/// The number of rejected spans of a request, and the reasons, as reported to its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rejections {
    count: usize,
    /// The first reasons with the number of spans for each, in order of appearance.
    reasons: Vec<(String, usize)>,
    /// Set if the request contains something other than traces.
    pub(super) other_content: Option<OtherContent>,
}

/// Content of a request that is valid but not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OtherContent {
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

    pub(super) fn add(&mut self, refusal: &Rejection) {
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

    pub(super) const fn count(&self) -> usize {
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

/// Makes the reply to an accepted request. `partial_success` is unset if everything was accepted;
/// senders never retry the spans that it counts. With a message and no spans it is a warning.
pub(super) fn accepted(refusals: &Rejections) -> ExportTraceServiceResponse {
    let partial_success = refusals.message().map(|message| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(refusals.count()).unwrap_or(i64::MAX),
        error_message: message,
    });
    ExportTraceServiceResponse { partial_success }
}

pub(super) fn accepted_json(refusals: &Rejections) -> serde_json::Value {
    let Some(message) = refusals.message() else {
        return json!({});
    };
    json!({"partialSuccess": {
        // 64-bit numbers are strings in proto3's JSON.
        "rejectedSpans": refusals.count().to_string(),
        "errorMessage": message,
    }})
}

/// Returns the gRPC code. `ResourceExhausted` is worth a retry if it says when.
pub(super) const fn code(failure: &Failure) -> Code {
    match failure {
        Failure::TooLarge { .. } | Failure::Blocked(_) => Code::ResourceExhausted,
        Failure::UnknownEncoding(_)
        | Failure::MediaType
        | Failure::NoSuchPath
        | Failure::NotPost => Code::Unimplemented,
        Failure::NotCompressed(_)
        | Failure::BrokenOff(_)
        | Failure::BadFrame(_)
        | Failure::Malformed(_) => Code::InvalidArgument,
        Failure::Unavailable(_) => Code::Unavailable,
        Failure::Unauthenticated(_) => Code::Unauthenticated,
        Failure::Panicked => Code::Internal,
    }
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
