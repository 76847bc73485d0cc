//! Reads the legs of a workflow, and the outcome of a cancellation.

use crate::domain::slo::{
    CancelPolicy, Completion, FanOut, MAX_LEGS,
    definition::{
        check::selector::attribute,
        fields::Fields,
        shape::Shape,
        value::{Checked, YamlValue},
    },
};

pub(crate) fn read(fields: &Fields<'_>) -> Checked<Option<FanOut>> {
    let about = "How a workflow fans out: each finish span is one leg of several.";
    fields.optional("legs", about, |value| value.group("Legs", about, legs))
}

fn legs(fields: &Fields<'_>) -> Checked<FanOut> {
    let about = "Attribute with the number of legs, such as span.batch.size.";
    let expect = fields.optional("expect", about, attribute);
    let about = "Attribute that distinguishes the legs, such as span.item.id; without it each span is a leg.";
    let by = fields.optional("by", about, attribute);
    let about = "How many legs must succeed: `all`, `any` or { atLeast: 2 }.";
    let complete = fields.required("complete", about, completion);
    if complete == Ok(Completion::All) && !fields.has("expect") {
        return Err(fields.findings.error_with_help(
            fields.place,
            "missing field `expect`: `all` needs to know how many legs there are",
            "name the attribute with the number, as in `expect: span.batch.size`; where a last span closes \
             the work, leave `legs` out and select that span as `finish`"
                .to_owned(),
        ));
    }
    Ok(FanOut {
        expect: expect?,
        by: by?,
        complete: complete?,
    })
}

/// Reads the outcome of a workflow that was cancelled in time.
pub(crate) fn cancelled(fields: &Fields<'_>) -> Checked<CancelPolicy> {
    let about =
        "What a workflow is that is cancelled in time: `exclude` (no event), `good` or `bad`.";
    let policy = fields.or("cancelled", "exclude", about, |value| {
        value.word(&[
            ("exclude", CancelPolicy::Exclude),
            ("good", CancelPolicy::Good),
            ("bad", CancelPolicy::Bad),
        ])
    })?;
    if fields.has("cancelled") && !fields.has("cancel") {
        return Err(fields.error_with_help(
            "cancelled",
            "`cancelled` has no effect: nothing is selected by `cancel`",
            "select the spans that cancel: `cancel: '{ name = \"order cancelled\" }'`",
        ));
    }
    Ok(policy)
}

fn completion(value: YamlValue<'_>) -> Checked<Completion> {
    value.text_or_group(
        |value| match value.scalar(Shape::Words(vec!["all", "any"]))? {
            "all" => Ok(Completion::All),
            "any" => Ok(Completion::Any),
            text => Err(value.error_with_help(
                format!("`{text}` does not say how many legs must succeed"),
                "one of `all`, `any` and `{ atLeast: 2 }`".to_owned(),
            )),
        },
        |value| {
            let about = "A part of the legs.";
            value.group("AtLeast", about, |fields| {
                fields.required("atLeast", "So many legs.", at_least)
            })
        },
    )
}

fn at_least(value: YamlValue<'_>) -> Checked<Completion> {
    let number = value.whole()?;
    let most = MAX_LEGS;
    let fits = usize::try_from(number).is_ok_and(|number| (1..=most).contains(&number));
    if let (true, Ok(number)) = (fits, u32::try_from(number)) {
        return Ok(Completion::AtLeast(number));
    }
    let message = format!("`atLeast` is {number}; it must be at least 1 and at most {most}");
    Err(value.error(message))
}
