//! Facts about the legs of a workflow, and about the terms of its verdict.

use sha2::{Digest as _, Sha256};

use super::{
    correlate::{Identity, id_of},
    discard_reason::DiscardReason,
};
use crate::domain::{
    model::{
        span::{SpanView, Value},
        time::Timestamp,
    },
    slo::{FanOut, WorkflowIndicator},
    workflow::{Fact, JudgingTerms, LegId},
};

/// Converts a fact about the end of a workflow to one about a leg, if the workflow has legs.
pub(super) fn of_leg(
    legs: Option<&FanOut>,
    fact: Fact,
    span: &dyn SpanView,
) -> Result<Fact, DiscardReason> {
    let Some(legs) = legs else { return Ok(fact) };
    if let Fact::Succeeded { at } = fact {
        let leg = leg(legs, span)?;
        return Ok(Fact::LegSucceeded { leg, at });
    }
    if let Fact::Failed { at } = fact {
        let leg = leg(legs, span)?;
        return Ok(Fact::LegFailed { leg, at });
    }
    Ok(fact)
}

/// Returns whether the fact ends a workflow or a leg.
pub(super) const fn is_end(fact: &Fact) -> bool {
    match fact {
        Fact::Succeeded { .. }
        | Fact::Failed { .. }
        | Fact::LegSucceeded { .. }
        | Fact::LegFailed { .. } => true,
        Fact::Started { .. }
        | Fact::Opened { .. }
        | Fact::Cancelled { .. }
        | Fact::Paused(_)
        | Fact::ExpectsLegs(_)
        | Fact::HasTerms(_)
        | Fact::StartsAs(_)
        | Fact::Decided { .. } => false,
    }
}

/// Returns the time of an end without which the workflow would count as a timeout. A failure is not
/// one, since the event is bad with or without it.
pub(super) const fn spared_a_timeout(fact: &Fact) -> Option<Timestamp> {
    match fact {
        Fact::Succeeded { at } | Fact::LegSucceeded { at, .. } | Fact::Cancelled { at } => {
            Some(*at)
        }
        Fact::Started { .. }
        | Fact::Opened { .. }
        | Fact::Failed { .. }
        | Fact::LegFailed { .. }
        | Fact::Paused(_)
        | Fact::ExpectsLegs(_)
        | Fact::HasTerms(_)
        | Fact::StartsAs(_)
        | Fact::Decided { .. } => None,
    }
}

/// Returns the other facts of a span, in addition to `fact`.
pub(super) fn besides(
    workflow: &WorkflowIndicator,
    fact: &Fact,
    span: &dyn SpanView,
) -> [Option<Result<Fact, DiscardReason>>; 2] {
    let terms = if let Fact::Started { at, .. } | Fact::Opened { at, .. } = fact {
        let complete = workflow.legs.as_ref().map(|legs| legs.complete);
        JudgingTerms::new(*at, complete, workflow.cancelled)
    } else {
        None
    };
    let expect = workflow.legs.as_ref().and_then(|legs| legs.expect.as_ref());
    let number = expect
        .and_then(|expect| span.attribute(expect.scope, &expect.key))
        .map(|value| {
            number(value)
                .map(Fact::ExpectsLegs)
                .ok_or(DiscardReason::NoNumber)
        });
    [terms.map(|terms| Ok(Fact::HasTerms(terms))), number]
}

fn number(value: Value<'_>) -> Option<u32> {
    match value {
        Value::Int(number) => u32::try_from(number).ok(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Double(_) | Value::Bool(_) | Value::Array(_) => None,
    }
}

/// Identifies the leg of a span. Without an attribute that identifies legs each span is one, so
/// that a copy of a span is the same leg, and a repetition of a leg is another.
fn leg(legs: &FanOut, span: &dyn SpanView) -> Result<LegId, DiscardReason> {
    let Some(by) = &legs.by else {
        let key = Identity::of_span(span).key;
        return Ok(first_8_bytes(&key.0));
    };
    let text = id_of(by, span).ok_or(DiscardReason::NoLeg)?;
    Ok(first_8_bytes(&Sha256::digest(text.as_bytes())))
}

fn first_8_bytes(hash: &[u8]) -> LegId {
    let bytes = hash.first_chunk().copied().unwrap_or_default();
    LegId(i64::from_be_bytes(bytes))
}
