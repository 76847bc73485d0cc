//! Reads the attributes by which an SLO's events are grouped.

use std::{cell::RefCell, collections::BTreeSet};

use crate::domain::{
    model::span::AttributeName,
    slo::{
        GroupBy,
        definition::{
            check::selector::attribute,
            fields::Fields,
            value::{Checked, YamlValue},
        },
    },
};

pub(crate) fn read(fields: &Fields<'_>) -> Checked<Option<GroupBy>> {
    let about = "Attributes whose values have budgets and alerts of their own, such as \
                 span.deployment.kind; at most four.";
    let attributes = fields.optional("groupBy", about, attributes);
    let about = "Values above this number share one group; at most 1000.";
    let max_groups = fields.or("maxGroups", "100", about, max_groups);
    if fields.has("maxGroups") && !fields.has("groupBy") && max_groups.is_ok() {
        return Err(fields.error_with_help(
            "maxGroups",
            "`maxGroups` without `groupBy` bounds nothing",
            "name the attributes: `groupBy: [span.customer.tier]`, or leave it out",
        ));
    }
    let max_groups = max_groups?;
    let group_by = attributes?.map(|attributes| GroupBy {
        attributes,
        max_groups,
    });
    Ok(group_by)
}

fn attributes(value: YamlValue<'_>) -> Checked<Vec<AttributeName>> {
    let seen = RefCell::new(BTreeSet::new());
    let attributes = value.list(|value| {
        let attribute = attribute(value)?;
        if seen.borrow_mut().insert(attribute.clone()) {
            return Ok(attribute);
        }
        let text = value.text()?;
        Err(value.error(format!("`{text}` is named twice")))
    })?;
    match attributes.len() {
        0 => Err(value.error_with_help(
            "`groupBy` names no attribute",
            "name one, such as `[span.customer.tier]`, or leave it out".to_owned(),
        )),
        1..=GroupBy::MOST_ATTRIBUTES => Ok(attributes),
        many => Err(value.error(format!(
            "`groupBy` names {many} attributes, {} at most: their values multiply",
            GroupBy::MOST_ATTRIBUTES
        ))),
    }
}

fn max_groups(value: YamlValue<'_>) -> Checked<u32> {
    let written = value.whole()?;
    let max_groups = u32::try_from(written).ok();
    let max_groups = max_groups.filter(|groups| (1..=GroupBy::MOST_GROUPS).contains(groups));
    max_groups.ok_or_else(|| {
        value.error_with_help(
            format!("`maxGroups` is {written}"),
            format!(
                "write 1 to {}: every group is evaluated like an SLO; values beyond share one group",
                GroupBy::MOST_GROUPS
            ),
        )
    })
}
