//! What a workflow is judged by besides its promise: its legs, what cancelling it means, and which
//! end of its last span counts.

use crate::domain::{
    model::span::AttributeName,
    slo::{
        CancelPolicy, Completion, FanOut, MAX_LEGS,
        definition::{
            check::{selector::attribute, values::required_ref},
            diagnostics::{Diagnostics, SourceSpan},
            file::{AtLeastFile, CancelledFile, LegsFile, WorkflowFile},
            read::{Field, TextOr},
        },
    },
};

/// The outer `None` is a mistake, the inner one a field left out.
#[expect(
    clippy::option_option,
    reason = "left out and wrong are different, and neither has a value"
)]
pub(crate) fn check(
    findings: &Diagnostics<'_>,
    field: Option<&Field<LegsFile>>,
) -> Option<Option<FanOut>> {
    let Some(field) = field else {
        return Some(None);
    };
    let (file, place) = field.valid()?;
    let expect = optional_attribute(findings, file.expect.as_ref());
    let by = optional_attribute(findings, file.by.as_ref());
    let complete = required_ref(findings, &file.complete, place, "complete")
        .and_then(|(file, place)| completion(findings, file, place));
    if complete == Some(Completion::All) && file.expect.is_none() {
        findings.error_with_help(
            place,
            "missing field `expect`: `all` needs to know how many legs there are",
            "name the attribute that tells, as in `expect: span.batch.size`; where a last span closes \
             the work, leave `legs` out and select that span as `finish`"
                .to_owned(),
        );
        return None;
    }
    Some(Some(FanOut {
        expect: expect?,
        by: by?,
        complete: complete?,
    }))
}

/// What a workflow is that was cancelled in time.
pub(crate) fn cancelled(findings: &Diagnostics<'_>, file: &WorkflowFile) -> Option<CancelPolicy> {
    let Some(field) = &file.cancelled else {
        return Some(CancelPolicy::default());
    };
    let (policy, place) = field.valid()?;
    if file.cancel.is_none() {
        findings.error_with_help(
            place,
            "`cancelled` has no effect: nothing is selected by `cancel`",
            "select the spans that cancel: `cancel: '{ name = \"order cancelled\" }'`".to_owned(),
        );
        return None;
    }
    Some(match policy {
        CancelledFile::Exclude => CancelPolicy::Exclude,
        CancelledFile::Good => CancelPolicy::Good,
        CancelledFile::Bad => CancelPolicy::Bad,
    })
}

#[expect(
    clippy::option_option,
    reason = "left out and wrong are different, and neither has a value"
)]
fn optional_attribute(
    findings: &Diagnostics<'_>,
    field: Option<&Field<String>>,
) -> Option<Option<AttributeName>> {
    let Some(field) = field else {
        return Some(None);
    };
    let (text, place) = field.valid()?;
    attribute(findings, text, place).map(Some)
}

fn completion(
    findings: &Diagnostics<'_>,
    file: &TextOr<AtLeastFile>,
    place: SourceSpan,
) -> Option<Completion> {
    match file {
        TextOr::Text(text) if text == "all" => Some(Completion::All),
        TextOr::Text(text) if text == "any" => Some(Completion::Any),
        TextOr::Text(text) => {
            findings.error_with_help(
                place,
                format!("`{text}` does not say how many legs must succeed"),
                "one of `all`, `any` and `{ atLeast: 2 }`".to_owned(),
            );
            None
        }
        TextOr::Shape(file) => {
            let (number, place) = required_ref(findings, &file.at_least, place, "atLeast")?;
            at_least(findings, *number, place)
        }
    }
}

fn at_least(findings: &Diagnostics<'_>, number: u64, place: SourceSpan) -> Option<Completion> {
    let most = MAX_LEGS;
    let fits = usize::try_from(number).is_ok_and(|number| (1..=most).contains(&number));
    if let (true, Ok(number)) = (fits, u32::try_from(number)) {
        return Some(Completion::AtLeast(number));
    }
    findings.error(
        place,
        format!("`atLeast` is {number}; it must be at least 1 and at most {most}"),
    );
    None
}
