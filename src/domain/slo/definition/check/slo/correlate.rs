//! What makes spans belong to the same workflow.

use crate::domain::{
    model::span::{AttributeName, AttributeScope},
    slo::{
        Correlator, LinkBatch,
        definition::{
            check::{
                selector::{WorkflowDuration, attribute, selector},
                values::required_ref,
            },
            diagnostics::{Diagnostics, SourceSpan},
            file::{CorrelatorFile, LinkBatchFile, LinksFile},
            read::{Field, TextOr},
        },
    },
};

pub(crate) fn correlators(
    findings: &Diagnostics<'_>,
    field: &Field<Vec<Field<TextOr<CorrelatorFile>>>>,
    parent: SourceSpan,
) -> Option<Vec<Correlator>> {
    let (fields, place) = required_ref(findings, field, parent, "correlate")?;
    if fields.is_empty() {
        findings.error_with_help(
            place,
            "`correlate` is empty: nothing would tell which spans belong together",
            "write `[trace]`, or an attribute of all of them first: `[span.order.id, trace]`"
                .to_owned(),
        );
        return None;
    }
    let correlators: Vec<Option<(Correlator, SourceSpan)>> = fields
        .iter()
        .map(|field| {
            let (file, place) = field.valid()?;
            Some((correlator(findings, file, place)?, place))
        })
        .collect();
    let correlators: Vec<_> = correlators.into_iter().collect::<Option<_>>()?;
    each_can_decide(findings, &correlators)?;
    Some(correlators.into_iter().map(|(one, _)| one).collect())
}

/// Every span has a trace, so what follows it in order of trust is never asked; `links` beside it
/// only tells which trace is meant.
fn each_can_decide(
    findings: &Diagnostics<'_>,
    correlators: &[(Correlator, SourceSpan)],
) -> Option<()> {
    let (mut links, mut traces) = (0, 0);
    for (one, place) in correlators {
        match one {
            Correlator::Trace => traces += 1,
            Correlator::Links { .. } => links += 1,
            Correlator::Attribute { .. }
            | Correlator::Message { .. }
            | Correlator::TraceState { .. }
                if links + traces == 0 => {}
            Correlator::Attribute { .. }
            | Correlator::Message { .. }
            | Correlator::TraceState { .. } => {
                findings.error_with_help(
                    *place,
                    "this never decides: every span has a trace, and that comes before it",
                    "put `trace` and `links` last".to_owned(),
                );
                return None;
            }
        }
        if links > 1 || traces > 1 {
            findings.error_with_help(
                *place,
                "`trace` and `links` each stand once at most",
                "one selector may name several kinds of links: `{ link.a = 1 || link.b = 2 }`"
                    .to_owned(),
            );
            return None;
        }
    }
    Some(())
}

fn correlator(
    findings: &Diagnostics<'_>,
    file: &TextOr<CorrelatorFile>,
    place: SourceSpan,
) -> Option<Correlator> {
    match file {
        TextOr::Text(text) if text == "trace" => Some(Correlator::Trace),
        TextOr::Text(text) if text == "links" => Some(Correlator::Links {
            only: None,
            batch: LinkBatch::Each,
        }),
        TextOr::Text(text) if text == "tracestate" => {
            findings.error_with_help(
                place,
                "`tracestate` needs the key whose value tells the workflow",
                "write `{ tracestate: wf }`".to_owned(),
            );
            None
        }
        TextOr::Text(text) => Some(Correlator::Attribute {
            attribute: attribute(findings, text, place)?,
            run: None,
        }),
        TextOr::Shape(file) => of_shape(findings, file, place),
    }
}

fn of_shape(
    findings: &Diagnostics<'_>,
    file: &CorrelatorFile,
    place: SourceSpan,
) -> Option<Correlator> {
    if let (None, Some(run)) = (&file.attribute, &file.run) {
        let (_, place) = run.valid()?;
        findings.error(place, "`run` belongs to `attribute`, which is not there");
        return None;
    }
    if let (None, Some(count)) = (&file.message, &file.count) {
        let (_, place) = count.valid()?;
        findings.error(place, "`count` belongs to `message`, which is not there");
        return None;
    }
    match (
        &file.attribute,
        &file.message,
        &file.tracestate,
        &file.links,
    ) {
        (None, Some(field), None, None) => message(findings, field, file.count.as_ref()),
        (Some(field), None, None, None) => {
            let (text, place) = field.valid()?;
            let name = attribute(findings, text, place);
            let run = match &file.run {
                None => None,
                Some(field) => {
                    let (text, place) = field.valid()?;
                    Some(attribute(findings, text, place)?)
                }
            };
            Some(Correlator::Attribute {
                attribute: name?,
                run,
            })
        }
        (None, None, Some(field), None) => {
            let (key, place) = field.valid()?;
            trace_state_key(findings, key, place).map(|key| Correlator::TraceState { key })
        }
        (None, None, None, Some(field)) => {
            let (file, place) = field.valid()?;
            links(findings, file, place)
        }
        _ => {
            findings.error_with_help(
                place,
                "a correlator has exactly one of `attribute`, `message`, `tracestate` and `links`",
                "each one is an item of its own: `[{ tracestate: wf }, span.order.id, trace]`"
                    .to_owned(),
            );
            None
        }
    }
}

fn links(
    findings: &Diagnostics<'_>,
    file: &TextOr<LinksFile>,
    place: SourceSpan,
) -> Option<Correlator> {
    let only = |text: &str, place| selector(findings, text, place, WorkflowDuration::Unknown);
    match file {
        TextOr::Text(text) => Some(Correlator::Links {
            only: Some(only(text, place)?),
            batch: LinkBatch::Each,
        }),
        TextOr::Shape(file) => {
            let matches = match &file.matches {
                None => None,
                Some(field) => {
                    let (text, place) = field.valid()?;
                    Some(only(text, place)?)
                }
            };
            let batch = match &file.batch {
                None => LinkBatch::Each,
                Some(field) => match field.valid()?.0 {
                    LinkBatchFile::Each => LinkBatch::Each,
                    LinkBatchFile::Whole => LinkBatch::Whole,
                },
            };
            Some(Correlator::Links {
                only: matches,
                batch,
            })
        }
    }
}

fn message(
    findings: &Diagnostics<'_>,
    id: &Field<String>,
    count: Option<&Field<String>>,
) -> Option<Correlator> {
    let (text, place) = id.valid()?;
    let id = attribute(findings, text, place);
    let count = match count {
        None => Some(AttributeName {
            scope: AttributeScope::Span,
            key: "messaging.batch.message_count".to_owned(),
        }),
        Some(field) => {
            let (text, place) = field.valid()?;
            attribute(findings, text, place)
        }
    };
    Some(Correlator::Message {
        id: id?,
        count: count?,
    })
}

pub(crate) fn trace_state_key(
    findings: &Diagnostics<'_>,
    key: &str,
    place: SourceSpan,
) -> Option<String> {
    let is_key_char = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '*' | '/' | '@')
    };
    if !key.is_empty() && key.len() <= 256 && key.chars().all(is_key_char) {
        return Some(key.to_owned());
    }
    findings.error_with_help(
        place,
        format!("`{key}` is not a key of a W3C trace state"),
        "use a-z, 0-9, `_`, `-`, `*`, `/` and `@`".to_owned(),
    );
    None
}
