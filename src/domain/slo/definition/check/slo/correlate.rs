//! Reads the rules by which spans belong to the same workflow.

use crate::domain::{
    model::span::{AttributeName, AttributeScope},
    slo::{
        Correlator, LinkBatch,
        definition::{
            check::selector::{attribute, selector},
            diagnostics::SourceSpan,
            fields::Fields,
            shape::Shape,
            value::{Checked, YamlValue},
        },
    },
};

pub(crate) fn read(fields: &Fields<'_>) -> Checked<Vec<Correlator>> {
    let about = "What makes spans belong to the same workflow, in order of trust: attributes, keys of the \
                 trace state, message ids, `trace` and `links`.";
    fields.required("correlate", about, |value| {
        let correlators = value.list(|value| Ok((correlator(value)?, value.place())))?;
        if correlators.is_empty() {
            return Err(value.error_with_help(
                "`correlate` is empty: nothing would show which spans belong together",
                "write `[trace]`, or an attribute of all of them first: `[span.order.id, trace]`"
                    .to_owned(),
            ));
        }
        each_can_decide(value, &correlators)?;
        Ok(correlators.into_iter().map(|(one, _)| one).collect())
    })
}

/// Rejects correlators that are never used: every span has a trace, so those after `trace` are not
/// reached, and `links` with it only selects the trace.
fn each_can_decide(value: YamlValue<'_>, correlators: &[(Correlator, SourceSpan)]) -> Checked<()> {
    let (mut links, mut traces) = (0, 0);
    for (one, place) in correlators {
        match one {
            Correlator::Trace => traces += 1,
            Correlator::Links { .. } => links += 1,
            Correlator::Attribute { .. }
            | Correlator::Message { .. }
            | Correlator::TraceState { .. } => {
                if links + traces > 0 {
                    return Err(value.findings.error_with_help(
                        *place,
                        "this never decides: every span has a trace, and that comes before it",
                        "put `trace` and `links` last".to_owned(),
                    ));
                }
            }
        }
        if links > 1 || traces > 1 {
            return Err(value.findings.error_with_help(
                *place,
                "`trace` and `links` each stand once at most",
                "one selector may name several kinds of links: `{ link.a = 1 || link.b = 2 }`"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

fn correlator(value: YamlValue<'_>) -> Checked<Correlator> {
    value.text_or_group(word_or_attribute, |value| {
        let about = "Exactly one of `attribute`, `message`, `tracestate` and `links`.";
        value.group("Correlator", about, of_fields)
    })
}

fn word_or_attribute(value: YamlValue<'_>) -> Checked<Correlator> {
    let words = Shape::Words(vec!["trace", "links"]);
    match value.scalar(Shape::AnyOf(vec![words, Shape::Attribute]))? {
        "trace" => Ok(Correlator::Trace),
        "links" => Ok(Correlator::Links {
            only: None,
            batch: LinkBatch::Each,
        }),
        "tracestate" => Err(value.error_with_help(
            "`tracestate` needs the key whose value identifies the workflow",
            "write `{ tracestate: wf }`".to_owned(),
        )),
        _ => Ok(Correlator::Attribute {
            attribute: attribute(value)?,
            run: None,
        }),
    }
}

fn of_fields(fields: &Fields<'_>) -> Checked<Correlator> {
    let about = "Attribute that distinguishes runs with the same value of `attribute`.";
    let run = fields.optional("run", about, attribute);
    let about = "Attribute with the number of messages that a start span publishes. Defaults to \
                 span.messaging.batch.message_count; 1 where the span has none.";
    let count = fields.optional("count", about, attribute);
    fields.belongs_to("run", "attribute")?;
    fields.belongs_to("count", "message")?;
    fields.one_of(
        "a correlator",
        Some("each one is an item of its own: `[{ tracestate: wf }, span.order.id, trace]`"),
        &[
            ("attribute", "Attribute of the span, or else of its links.", &|value| {
                let attribute = attribute(value)?;
                let run = run.clone()?;
                Ok(Correlator::Attribute { attribute, run })
            }),
            (
                "message",
                "Attribute with the id of a message, on the consumer's span or its links, where several \
                 messages were published with one context.",
                &|value| {
                    let id = attribute(value)?;
                    let count = count.clone()?.unwrap_or_else(message_count);
                    Ok(Correlator::Message { id, count })
                },
            ),
            (
                "tracestate",
                "Key of the W3C trace state of the span, or else of its links.",
                &|value| trace_state_key(value).map(|key| Correlator::TraceState { key }),
            ),
            (
                "links",
                "Links to follow, where not all carry the workflow on: a selector of one link; or how \
                 they carry it on.",
                &|value| value.text_or_group(links_that_match, links),
            ),
        ],
    )
}

fn links_that_match(value: YamlValue<'_>) -> Checked<Correlator> {
    Ok(Correlator::Links {
        only: Some(selector(value)?),
        batch: LinkBatch::Each,
    })
}

fn links(value: YamlValue<'_>) -> Checked<Correlator> {
    let about = "How links carry workflows on.";
    value.group("Links", about, |fields| {
        let about = "Links to follow, where not all carry the workflow on: a selector of one link.";
        let only = fields.optional("match", about, selector);
        let about = "Where one span takes several messages: `each` ends by itself, or one end ends the \
                     `whole` batch. Defaults to each.";
        let words = [("each", LinkBatch::Each), ("whole", LinkBatch::Whole)];
        let batch = fields.optional("batch", about, |value| value.word(&words));
        Ok(Correlator::Links {
            only: only?,
            batch: batch?.unwrap_or(LinkBatch::Each),
        })
    })
}

fn message_count() -> AttributeName {
    AttributeName {
        scope: AttributeScope::Span,
        key: "messaging.batch.message_count".to_owned(),
    }
}

pub(crate) fn trace_state_key(value: YamlValue<'_>) -> Checked<String> {
    let key = value.text()?;
    let is_key_char = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '*' | '/' | '@')
    };
    if !key.is_empty() && key.len() <= 256 && key.chars().all(is_key_char) {
        return Ok(key.to_owned());
    }
    Err(value.error_with_help(
        format!("`{key}` is not a key of a W3C trace state"),
        "use a-z, 0-9, `_`, `-`, `*`, `/` and `@`".to_owned(),
    ))
}
