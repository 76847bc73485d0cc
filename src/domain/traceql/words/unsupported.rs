//! The parts of TraceQL that cannot be evaluated for a single span, each with its reason.

use std::ops::Range;

use crate::domain::traceql::SelectorError;

/// Rejects `word` if it is TraceQL that needs more than one span.
pub(in crate::domain::traceql) fn refuse_word(
    word: &str,
    span: Range<usize>,
) -> Result<(), SelectorError> {
    let (reason, help) = match word {
        "trace:duration" | "traceDuration" => (
            "how long a trace takes is known when all of it is, and a selector sees one span",
            Some(
                "use `duration` for the span or `workflow:duration` for the time since the workflow began",
            ),
        ),
        "rootName" | "rootServiceName" | "trace:rootName" | "trace:rootService" => (
            "the root of a trace may not have arrived yet, and a selector sees one span",
            Some(
                "select the root span itself with `span:parentID = nil`, or use `name` and `resource.service.name`",
            ),
        ),
        "parent" => (
            "the parent may not have arrived yet, and a selector sees one span",
            Some("use an attribute that the span itself carries"),
        ),
        "childCount" | "span:childCount" => (
            "children arrive before and after their parent, and a selector sees one span",
            None,
        ),
        "nestedSetParent" | "nestedSetLeft" | "nestedSetRight" => (
            "the shape of a trace is known when all of it is, and a selector sees one span",
            Some("a root span is `span:parentID = nil`"),
        ),
        _ => return Ok(()),
    };
    let error = SelectorError::new(span, format!("`{word}` is not supported: {reason}"));
    Err(match help {
        Some(help) => error.with_help(help),
        None => error,
    })
}

pub(in crate::domain::traceql) fn parent_attribute(span: Range<usize>) -> SelectorError {
    SelectorError::new(
        span,
        "attributes of the parent are not supported: it may not have arrived yet, and a selector sees one span",
    )
    .with_help("use an attribute that the span itself carries")
}

pub(in crate::domain::traceql) fn structural(span: Range<usize>) -> SelectorError {
    SelectorError::new(
        span,
        "structural operators are not supported: they relate two spans, and a selector sees one",
    )
    .with_help("write one filter `{ ... }`")
}

pub(in crate::domain::traceql) fn spanset_logic(span: Range<usize>) -> SelectorError {
    SelectorError::new(
        span,
        "spansets cannot be combined: each side may be another span, and a selector sees one",
    )
    .with_help("put both conditions into one pair of braces, as `{ a && b }`")
}

/// Makes the error for a pipeline. `stage` is the word after the pipe.
pub(in crate::domain::traceql) fn pipeline(stage: &str, span: Range<usize>) -> SelectorError {
    let reason = match stage {
        "select" => "`select` chooses columns of a result, and a selector only says yes or no",
        "rate"
        | "count_over_time"
        | "quantile_over_time"
        | "histogram_over_time"
        | "min_over_time"
        | "max_over_time"
        | "avg_over_time"
        | "sum_over_time"
        | "compare"
        | "topk"
        | "bottomk" => "metrics are not supported: counting what is selected is what the SLO does",
        _ => {
            "pipelines are not supported: they look at all spans of a trace, and a selector sees one"
        }
    };
    SelectorError::new(span, reason).with_help("end the selector after its `}`")
}
