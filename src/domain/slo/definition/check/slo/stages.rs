//! Which parts a workflow's time is divided into.

use std::collections::BTreeSet;

use crate::domain::slo::{
    DeclaredStage, Edge, Extent, Stages,
    definition::{
        check::{
            selector::{WorkflowDuration, selector},
            values::{optional, required_ref},
        },
        diagnostics::{Diagnostics, SourceSpan},
        file::StageFile,
        read::{Field, TextOr, TextOrList},
        suggest,
    },
};

/// A page shows no more, and every stage costs rows.
const MOST: usize = 20;
const LONGEST_NAME: usize = 60;

/// `auto` where it is left out.
pub(crate) fn check(
    findings: &Diagnostics<'_>,
    field: Option<&Field<TextOrList<StageFile>>>,
) -> Option<Stages> {
    let Some(field) = field else {
        return Some(Stages::Auto);
    };
    let (TextOrList(value), place) = field.valid()?;
    match value {
        TextOr::Text(text) => word(findings, text, place),
        TextOr::Shape(files) if files.is_empty() => {
            findings.error_with_help(
                place,
                "`stages` is empty",
                "write `auto`, `none`, or a stage: `- { name: deploying, span: '{ name = \"deploy\" }' }`"
                    .to_owned(),
            );
            None
        }
        TextOr::Shape(files) if files.len() > MOST => {
            findings.error(
                place,
                format!(
                    "there are {} stages, and at most {MOST} are told apart",
                    files.len()
                ),
            );
            None
        }
        TextOr::Shape(files) => declared(findings, files).map(Stages::Declared),
    }
}

fn word(findings: &Diagnostics<'_>, text: &str, place: SourceSpan) -> Option<Stages> {
    match text {
        "auto" => Some(Stages::Auto),
        "none" => Some(Stages::None),
        _ => {
            let help = suggest::did_you_mean(text, ["auto", "none"])
                .unwrap_or_else(|| "write `auto`, `none`, or a list of stages".to_owned());
            findings.error_with_help(
                place,
                format!("`{text}` is no way to tell stages apart"),
                help,
            );
            None
        }
    }
}

fn declared(findings: &Diagnostics<'_>, files: &[Field<StageFile>]) -> Option<Vec<DeclaredStage>> {
    let mut names = BTreeSet::new();
    let stages: Vec<Option<DeclaredStage>> = files
        .iter()
        .map(|field| {
            let (file, place) = field.valid()?;
            let name = name(findings, file, place, &mut names);
            let extent = extent(findings, file, place);
            Some(DeclaredStage {
                name: name?,
                extent: extent?,
            })
        })
        .collect();
    stages.into_iter().collect()
}

fn name<'f>(
    findings: &Diagnostics<'_>,
    file: &'f StageFile,
    parent: SourceSpan,
    names: &mut BTreeSet<&'f str>,
) -> Option<String> {
    let (name, place) = required_ref(findings, &file.name, parent, "name")?;
    if name.trim().is_empty() || name.len() > LONGEST_NAME {
        findings.error(
            place,
            format!("a stage is called by 1 to {LONGEST_NAME} characters"),
        );
        return None;
    }
    if !names.insert(name) {
        findings.error_with_help(
            place,
            format!("there are two stages `{name}`"),
            "rename one of them".to_owned(),
        );
        return None;
    }
    Some(name.clone())
}

fn extent(findings: &Diagnostics<'_>, file: &StageFile, place: SourceSpan) -> Option<Extent> {
    match (&file.span, &file.from, &file.to) {
        (Some(field), None, None) => {
            let (text, place) = field.valid()?;
            selector(findings, text, place, WorkflowDuration::Unknown).map(Extent::Span)
        }
        (None, Some(from), Some(to)) => {
            let from = edge(findings, from, "start");
            let to = edge(findings, to, "finish");
            Some(Extent::Between {
                from: from?,
                to: to?,
            })
        }
        _ => {
            findings.error_with_help(
                place,
                "a stage has either `span`, or `from` and `to`",
                "`span` selects the spans that it lasts as long as; `from` is `start` or a selector, `to` is \
                 `finish` or a selector"
                    .to_owned(),
            );
            None
        }
    }
}

/// `word` stands for the workflow's own start or end.
fn edge(findings: &Diagnostics<'_>, field: &Field<String>, word: &str) -> Option<Edge> {
    let (text, place) = optional(Some(field))?;
    if text == word {
        return Some(Edge::OfWorkflow);
    }
    if !text.trim_start().starts_with('{') {
        findings.error_with_help(
            place,
            format!("`{text}` is neither `{word}` nor a selector"),
            format!("write `{word}`, or a selector: `'{{ name = \"deploy\" }}'`"),
        );
        return None;
    }
    selector(findings, text, place, WorkflowDuration::Unknown).map(Edge::Span)
}
