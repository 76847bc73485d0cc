//! Tables of the reference.

use super::api::{ApiGroup, ApiOperation};
use crate::{
    config::{SettingGroup, SettingReference},
    domain::{
        slo::definition::{FieldReference, GroupReference},
        traceql::{SelectorReference, SelectorSyntax},
    },
    telemetry::metric_builder::MetricReference,
};

/// One card with a table.
pub(super) struct DocsSection {
    pub(super) id: String,
    pub(super) heading: String,
    pub(super) about: Vec<DocsPart>,
    pub(super) columns: &'static [&'static str],
    /// Each as long as `columns`.
    pub(super) rows: Vec<Vec<Vec<DocsPart>>>,
}

/// A stretch of text in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Text in which backticks enclose code.
pub(super) fn text(text: &str) -> Vec<DocsPart> {
    let parts = text.split('`').enumerate();
    parts
        .filter(|(_, part)| !part.is_empty())
        .map(|(index, part)| DocsPart {
            is_code: index % 2 == 1,
            ..DocsPart::plain(part)
        })
        .collect()
}

pub(super) fn of_group(group: &GroupReference) -> DocsSection {
    let mut about = text(group.about);
    for (index, key) in group.exactly_one_of.iter().enumerate() {
        let separator = if index == 0 { " Exactly one of " } else { ", " };
        about.extend([DocsPart::plain(separator), DocsPart::code(key)]);
    }
    if !group.exactly_one_of.is_empty() {
        about.push(DocsPart::plain("."));
    }
    DocsSection {
        id: format!("g-{}", group.name),
        heading: group.name.to_owned(),
        about,
        columns: &["Field", "Type", "If left out", "Meaning"],
        rows: group.fields.iter().map(of_field).collect(),
    }
}

fn of_field(field: &FieldReference) -> Vec<Vec<DocsPart>> {
    let kind = field
        .type_words()
        .into_iter()
        .flat_map(|word| match word.group {
            Some(group) => vec![DocsPart {
                link: Some(format!("#g-{group}")),
                ..DocsPart::plain(word.text)
            }],
            None => text(word.text),
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
        text(field.about),
    ]
}

pub(super) fn of_selectors(reference: &SelectorReference) -> Vec<DocsSection> {
    let rules = reference.rules.iter().map(|rule| vec![text(rule)]);
    let differences = reference.differences.iter().map(|difference| {
        [difference.here, difference.in_tempo, difference.reason]
            .map(text)
            .to_vec()
    });
    vec![
        of_syntax("Fields", "Field", &reference.fields),
        of_syntax("Operators", "Operator", &reference.operators),
        of_syntax("Values", "Value", &reference.values),
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

fn of_syntax(heading: &str, first: &str, syntax: &[SelectorSyntax]) -> DocsSection {
    let row = |row: &SelectorSyntax| {
        let mut spellings = Vec::new();
        for (index, spelling) in row.syntax.iter().enumerate() {
            if index > 0 {
                spellings.push(DocsPart::plain(" "));
            }
            spellings.push(DocsPart::code(spelling));
        }
        vec![spellings, text(row.about)]
    };
    DocsSection {
        columns: match first {
            "Field" => &["Field", "Meaning"],
            "Operator" => &["Operator", "Meaning"],
            _ => &["Value", "Meaning"],
        },
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
            text(&metric.about),
        ]
    };
    DocsSection {
        about: text(about),
        columns: &["Metric", "Type", "Labels", "Meaning"],
        rows: metrics.iter().map(row).collect(),
        ..headed(heading)
    }
}

pub(super) fn of_settings(group: &SettingGroup) -> DocsSection {
    let row = |setting: &SettingReference| {
        let default = setting.default.as_deref();
        vec![
            vec![DocsPart::code(&setting.flag)],
            vec![DocsPart::code(&setting.variable)],
            vec![default.map_or_else(|| DocsPart::plain("–"), DocsPart::code)],
            text(&setting.about),
        ]
    };
    DocsSection {
        about: text(&group.about),
        columns: &["Flag", "Variable", "If left out", "Meaning"],
        rows: group.settings.iter().map(row).collect(),
        ..headed(&group.heading)
    }
}

pub(super) fn of_operations(group: &ApiGroup) -> DocsSection {
    let row = |operation: &ApiOperation| {
        let request = format!("{} {}", operation.method, operation.path);
        vec![vec![DocsPart::code(&request)], text(operation.about)]
    };
    DocsSection {
        columns: &["Request", "Meaning"],
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
        about: Vec::new(),
        columns: &[],
        rows: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_enclose_code() {
        assert_eq!(
            text("Sets `a` and `b`."),
            [
                DocsPart::plain("Sets "),
                DocsPart::code("a"),
                DocsPart::plain(" and "),
                DocsPart::code("b"),
                DocsPart::plain("."),
            ]
        );
        assert_eq!(text(""), []);
    }
}
