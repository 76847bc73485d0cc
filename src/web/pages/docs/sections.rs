//! Tables of the reference.

use super::{
    openapi,
    operation::{ApiGroup, ApiOperation},
};
use crate::{
    config::{SettingGroup, SettingReference},
    domain::{
        slo::definition::{FieldReference, GroupReference},
        traceql::{SelectorReference, SelectorSyntax},
    },
    telemetry::metric_builder::MetricReference,
};

/// A section with one table.
pub(super) struct DocsSection {
    pub(super) id: String,
    pub(super) heading: String,
    /// Backticks enclose code.
    pub(super) about: String,
    pub(super) columns: &'static [&'static str],
    /// Each as long as `columns`.
    pub(super) rows: Vec<Vec<Vec<DocsPart>>>,
}

/// A part of a cell.
pub(super) struct DocsPart {
    pub(super) text: String,
    pub(super) is_code: bool,
    pub(super) link: Option<String>,
}

impl DocsPart {
    fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            is_code: false,
            link: None,
        }
    }

    fn code(text: &str) -> Self {
        Self {
            is_code: true,
            ..Self::plain(text)
        }
    }
}

pub(super) fn of_group(group: &GroupReference) -> DocsSection {
    let keys: Vec<String> = group
        .exactly_one_of
        .iter()
        .map(|key| format!("`{key}`"))
        .collect();
    let exactly_one_of = match keys.as_slice() {
        [] => String::new(),
        keys => format!(" Exactly one of {}.", keys.join(", ")),
    };
    DocsSection {
        id: format!("g-{}", group.name),
        heading: group.name.to_owned(),
        about: format!("{}{exactly_one_of}", group.about),
        columns: &["Field", "Type", "If left out", "Meaning"],
        rows: group.fields.iter().map(of_field).collect(),
    }
}

fn of_field(field: &FieldReference) -> Vec<Vec<DocsPart>> {
    let kind = field.type_words().into_iter().map(|word| DocsPart {
        link: word.group.map(|group| format!("#g-{group}")),
        ..DocsPart::plain(word.text)
    });
    let absent = match field.default {
        _ if field.required => DocsPart::plain("required"),
        Some(default) => DocsPart::code(default),
        None => DocsPart::plain("–"),
    };
    vec![
        vec![DocsPart::code(field.name)],
        kind.collect(),
        vec![absent],
        vec![DocsPart::plain(field.about)],
    ]
}

pub(super) fn of_selectors(reference: &SelectorReference) -> Vec<DocsSection> {
    let plain = |text| vec![DocsPart::plain(text)];
    let rules = reference.rules.iter().map(|rule| vec![plain(rule)]);
    let differences = reference.differences.iter().map(|difference| {
        [difference.here, difference.in_tempo, difference.reason]
            .map(plain)
            .into()
    });
    vec![
        of_syntax("Fields", &["Field", "Meaning"], &reference.fields),
        of_syntax("Operators", &["Operator", "Meaning"], &reference.operators),
        of_syntax("Values", &["Value", "Meaning"], &reference.values),
        DocsSection {
            columns: &["Rule"],
            rows: rules.collect(),
            ..headed("Rules")
        },
        DocsSection {
            columns: &["Here", "In Tempo", "Reason"],
            rows: differences.collect(),
            ..headed("Differences from Tempo")
        },
    ]
}

fn of_syntax(
    heading: &str,
    columns: &'static [&'static str],
    syntax: &[SelectorSyntax],
) -> DocsSection {
    let row = |row: &SelectorSyntax| {
        let mut spellings = Vec::new();
        for (index, spelling) in row.syntax.iter().enumerate() {
            if index > 0 {
                spellings.push(DocsPart::plain(" "));
            }
            spellings.push(DocsPart::code(spelling));
        }
        vec![spellings, vec![DocsPart::plain(row.about)]]
    };
    DocsSection {
        columns,
        rows: syntax.iter().map(row).collect(),
        ..headed(heading)
    }
}

pub(super) fn of_metrics(heading: &str, about: &str, metrics: &[MetricReference]) -> DocsSection {
    let row = |metric: &MetricReference| {
        vec![
            vec![DocsPart::code(&metric.name)],
            vec![DocsPart::plain(metric.kind)],
            vec![DocsPart::plain(&metric.labels.join(", "))],
            vec![DocsPart::plain(&metric.about)],
        ]
    };
    DocsSection {
        about: about.to_owned(),
        columns: &["Metric", "Type", "Labels", "Meaning"],
        rows: metrics.iter().map(row).collect(),
        ..headed(heading)
    }
}

pub(super) fn of_settings(group: &SettingGroup) -> DocsSection {
    let code = |text: Option<&str>| text.map_or_else(|| DocsPart::plain("–"), DocsPart::code);
    let row = |setting: &SettingReference| {
        vec![
            vec![DocsPart::code(&setting.flag)],
            vec![DocsPart::code(&setting.variable)],
            vec![code(setting.key.as_deref())],
            vec![code(setting.default.as_deref())],
            vec![DocsPart::plain(&setting.about)],
        ]
    };
    DocsSection {
        about: group.about.clone(),
        columns: &[
            "Flag",
            "Variable",
            "Key in a file",
            "If left out",
            "Meaning",
        ],
        rows: group.settings.iter().map(row).collect(),
        ..headed(&group.heading)
    }
}

pub(super) fn of_operations(group: &ApiGroup) -> DocsSection {
    let row = |operation: &ApiOperation| {
        let request = format!("{} {}", operation.method, operation.path);
        let mut meaning = vec![DocsPart::plain(operation.about)];
        if let Some(body) = operation.body {
            meaning.extend([DocsPart::plain(" Example: "), DocsPart::code(body.example)]);
        }
        let mut fields = Vec::new();
        for field in openapi::answer_of(operation).map_or(&[][..], |answer| &answer.fields) {
            if !fields.is_empty() {
                fields.push(DocsPart::plain(", "));
            }
            fields.push(DocsPart::code(field));
        }
        vec![vec![DocsPart::code(&request)], meaning, fields]
    };
    DocsSection {
        columns: &["Request", "Meaning", "Fields of the answer"],
        rows: group.operations.iter().map(row).collect(),
        ..headed(group.heading)
    }
}

/// A section without content.
fn headed(heading: &str) -> DocsSection {
    let id: String = heading
        .chars()
        .map(|character| match character {
            'a'..='z' => character,
            'A'..='Z' => character.to_ascii_lowercase(),
            _ => '-',
        })
        .collect();
    DocsSection {
        id,
        heading: heading.to_owned(),
        about: String::new(),
        columns: &[],
        rows: Vec::new(),
    }
}
