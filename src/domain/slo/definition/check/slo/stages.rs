//! Reads the stages into which a workflow's time is divided.

use std::{cell::RefCell, collections::BTreeSet};

use crate::domain::slo::{
    DeclaredStage, Edge, Extent, Stages,
    definition::{
        check::selector::selector,
        diagnostics::Reported,
        fields::Fields,
        shape::Shape,
        suggest,
        value::{Checked, YamlValue},
    },
};

/// The limit of stages: a page shows no more, and every stage takes rows.
const MOST: usize = 20;
const LONGEST_NAME: usize = 60;

pub(crate) fn read(fields: &Fields<'_>) -> Checked<Stages> {
    let about =
        "Where the time goes: `auto` (by queues and services), `none`, or stages of your own.";
    fields.or("stages", "auto", about, |value| {
        value.text_or_list(word, declared)
    })
}

fn word(value: YamlValue<'_>) -> Checked<Stages> {
    match value.text_as(Shape::Words(vec!["auto", "none"]))? {
        "auto" => Ok(Stages::Auto),
        "none" => Ok(Stages::None),
        text => {
            let help = suggest::did_you_mean(text, ["auto", "none"])
                .unwrap_or_else(|| "write `auto`, `none`, or a list of stages".to_owned());
            let message = format!("`{text}` is no way to divide the time");
            Err(value.error_with_help(message, help))
        }
    }
}

fn declared(value: YamlValue<'_>) -> Checked<Stages> {
    let names = RefCell::new(BTreeSet::new());
    let stages = value.list(|value| {
        let about = "A part of the way: either `span`, or `from` and `to`.";
        value.group("Stage", about, |fields| stage(fields, &names))
    })?;
    match stages.len() {
        0 => Err(value.error_with_help(
            "`stages` is empty",
            "write `auto`, `none`, or a stage: `- { name: deploying, span: '{ name = \"deploy\" }' }`"
                .to_owned(),
        )),
        1..=MOST => Ok(Stages::Declared(stages)),
        many => Err(value.error(format!(
            "there are {many} stages, and at most {MOST} are supported"
        ))),
    }
}

fn stage(fields: &Fields<'_>, names: &RefCell<BTreeSet<String>>) -> Checked<DeclaredStage> {
    let name = fields.required("name", "Unique within the SLO.", |value| name(value, names));
    let extent = extent(fields);
    Ok(DeclaredStage {
        name: name?,
        extent: extent?,
    })
}

fn name(value: YamlValue<'_>, names: &RefCell<BTreeSet<String>>) -> Checked<String> {
    let name = value.text()?;
    if name.trim().is_empty() || name.len() > LONGEST_NAME {
        return Err(value.error(format!(
            "a stage is called by 1 to {LONGEST_NAME} characters"
        )));
    }
    if !names.borrow_mut().insert(name.to_owned()) {
        return Err(value.error_with_help(
            format!("there are two stages `{name}`"),
            "rename one of them".to_owned(),
        ));
    }
    Ok(name.to_owned())
}

fn extent(fields: &Fields<'_>) -> Checked<Extent> {
    let (has_span, has_from, has_to) = (fields.has("span"), fields.has("from"), fields.has("to"));
    let span = fields.optional("span", "The stage is as long as these spans.", selector);
    let about = "Where the stage begins: `start`, or the end of a span.";
    let from = fields.optional("from", about, |value| edge(value, "start"));
    let about = "Where the stage ends: `finish`, or the start of a span.";
    let to = fields.optional("to", about, |value| edge(value, "finish"));
    if (has_span, has_from, has_to) != (true, false, false)
        && (has_span, has_from, has_to) != (false, true, true)
    {
        return Err(fields.findings.error_with_help(
            fields.place,
            "a stage has either `span`, or `from` and `to`",
            "`span` selects the spans that it lasts as long as; `from` is `start` or a selector, `to` is \
             `finish` or a selector"
                .to_owned(),
        ));
    }
    match (span?, from?, to?) {
        (Some(span), _, _) => Ok(Extent::Span(span)),
        (None, Some(from), Some(to)) => Ok(Extent::Between { from, to }),
        (None, ..) => Err(Reported),
    }
}

/// Reads the edge of a stage. `word` means the workflow's own start or end.
fn edge(value: YamlValue<'_>, word: &'static str) -> Checked<Edge> {
    let text = value.text_as(Shape::AnyOf(vec![Shape::Constant(word), Shape::Selector]))?;
    if text == word {
        return Ok(Edge::OfWorkflow);
    }
    if !text.trim_start().starts_with('{') {
        return Err(value.error_with_help(
            format!("`{text}` is neither `{word}` nor a selector"),
            format!("write `{word}`, or a selector: `'{{ name = \"deploy\" }}'`"),
        ));
    }
    selector(value).map(Edge::Span)
}
