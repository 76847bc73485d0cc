//! Assigns events to groups as evidence arrives.

use super::JudgedWorkflow;
use crate::domain::{model::group::Group, workflow::SharedEnd};

/// The change to an event's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regrouping {
    /// It stays in its group, or in none.
    Stay,
    Into(Group),
}

/// Returns the change to an event's group when its evidence has become `after`, given the
/// attributes that its SLO groups by.
///
/// `before` is the evidence by which its group was chosen; `None` if it is in none.
///
/// An open workflow waits until every attribute is known, so that one whose first span has fewer
/// attributes than its last does not use a group's slot for a moment. A verdict cannot wait.
pub fn regroup(
    by: &[String],
    before: Option<&JudgedWorkflow>,
    after: &JudgedWorkflow,
) -> Regrouping {
    let values = after.workflow.details.group.of(by);
    let is_known = values.iter().all(Option::is_some);
    let group = group(by, after);
    match before {
        Some(before) if self::group(by, before) == group => Regrouping::Stay,
        None if !is_known && after.verdict.at.is_none() => Regrouping::Stay,
        _ => Regrouping::Into(group),
    }
}

/// Returns the group of the known values of an event. An ambiguous event, since a batch has fewer
/// ends than workflows, may belong to any of these workflows: if they are in several groups, its
/// own is unknown.
fn group(by: &[String], judged: &JudgedWorkflow) -> Group {
    let is_unknown = judged.workflow.details.shared == Some(SharedEnd::NoneOfSeveralGroups);
    if is_unknown && judged.verdict.at.is_some() {
        return Group::unknown(by.to_vec());
    }
    Group {
        by: by.to_vec(),
        values: Some(judged.workflow.details.group.of(by)),
    }
}
