//! What an SLO's events are grouped by.

use std::collections::BTreeSet;

use crate::domain::{
    model::span::AttributeName,
    slo::{
        GroupBy,
        definition::{
            check::selector,
            diagnostics::{Diagnostics, SourceSpan},
            file::SloSpec,
            read::Field,
        },
    },
};

/// The outer `None` is a mistake.
#[expect(
    clippy::option_option,
    reason = "left out and wrong are different, and neither has a value"
)]
pub(crate) fn check(findings: &Diagnostics<'_>, spec: &SloSpec) -> Option<Option<GroupBy>> {
    let max_groups = max_groups(findings, spec.max_groups.as_ref());
    let Some(field) = &spec.group_by else {
        let unused = spec.max_groups.as_ref().and_then(Field::valid);
        if let Some((_, place)) = unused {
            findings.error_with_help(
                place,
                "`maxGroups` without `groupBy` bounds nothing",
                "name the attributes: `groupBy: [span.customer.tier]`, or leave it out".to_owned(),
            );
            return None;
        }
        return max_groups.map(|_| None);
    };
    let (fields, place) = field.valid()?;
    let attributes = attributes(findings, fields, place);
    Some(Some(GroupBy {
        attributes: attributes?,
        max_groups: max_groups?,
    }))
}

fn attributes(
    findings: &Diagnostics<'_>,
    fields: &[Field<String>],
    place: SourceSpan,
) -> Option<Vec<AttributeName>> {
    if fields.is_empty() {
        findings.error_with_help(
            place,
            "`groupBy` names no attribute",
            "name one, such as `[span.customer.tier]`, or leave it out".to_owned(),
        );
        return None;
    }
    if fields.len() > GroupBy::MOST_ATTRIBUTES {
        findings.error(
            place,
            format!(
                "`groupBy` names {} attributes, {} at most: their values multiply",
                fields.len(),
                GroupBy::MOST_ATTRIBUTES
            ),
        );
        return None;
    }
    let mut seen = BTreeSet::new();
    let attributes: Vec<Option<AttributeName>> = fields
        .iter()
        .map(|field| {
            let (text, place) = field.valid()?;
            let attribute = selector::attribute(findings, text, place)?;
            if seen.insert(attribute.clone()) {
                return Some(attribute);
            }
            findings.error(place, format!("`{text}` is named twice"));
            None
        })
        .collect();
    attributes.into_iter().collect()
}

fn max_groups(findings: &Diagnostics<'_>, field: Option<&Field<u64>>) -> Option<u32> {
    let Some(field) = field else {
        return Some(GroupBy::DEFAULT_MAX_GROUPS);
    };
    let (&written, place) = field.valid()?;
    let max_groups = u32::try_from(written)
        .ok()
        .filter(|groups| (1..=GroupBy::MOST_GROUPS).contains(groups));
    if max_groups.is_none() {
        findings.error_with_help(
            place,
            format!("`maxGroups` is {written}"),
            format!(
                "write 1 to {}: every group is evaluated like an SLO; values beyond share one group",
                GroupBy::MOST_GROUPS
            ),
        );
    }
    max_groups
}
