//! Budgets and alerts per value of some attributes.

use crate::domain::model::span::AttributeName;

/// The attributes by which the events of an SLO are grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupBy {
    /// 1 to [`GroupBy::MOST_ATTRIBUTES`], each once.
    pub attributes: Vec<AttributeName>,
    /// The limit of groups with values of their own; all other values share one more.
    pub max_groups: u32,
}

impl GroupBy {
    pub const DEFAULT_MAX_GROUPS: u32 = 100;
    /// Every group costs as much to evaluate as an SLO.
    pub const MOST_GROUPS: u32 = 1_000;
    /// Values multiply: with more attributes, nearly every group would have only a few events.
    pub const MOST_ATTRIBUTES: usize = 4;

    /// Returns the attributes with their scopes, as they identify groups.
    pub fn names(&self) -> Vec<String> {
        self.attributes.iter().map(ToString::to_string).collect()
    }
}
