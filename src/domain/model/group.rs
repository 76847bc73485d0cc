//! The groups of an SLO's events, given by the values of its `groupBy` attributes.
//!
//! The values are joined like all other evidence of a workflow, so an event may move to another
//! group while evidence arrives, and its final group does not depend on the order.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The text for a value that no evidence had.
const NO_VALUE: &str = "(none)";
/// The text for the values of an event that may belong to another group.
const UNKNOWN: &str = "(unknown)";
/// The text for the values of all groups beyond the limit.
const OTHER: &str = "(other)";

/// The values of the attributes that an SLO groups by: `None` for one that was looked up and is
/// missing. A join: if values differ, the smallest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupValues(BTreeMap<String, Option<String>>);

impl GroupValues {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the values of `other`.
    pub fn join(&mut self, other: &Self) {
        for (attribute, theirs) in &other.0 {
            let ours = self.0.entry(attribute.clone()).or_default();
            *ours = match (ours.take(), theirs) {
                (Some(ours), Some(theirs)) => Some(ours.min(theirs.clone())),
                (ours, theirs) => ours.or_else(|| theirs.clone()),
            };
        }
    }

    /// Returns the values of `attributes`, in their order; `None` for those that no evidence had.
    pub fn of(&self, attributes: &[String]) -> Vec<Option<String>> {
        let value = |attribute| self.0.get(attribute).cloned().flatten();
        attributes.iter().map(value).collect()
    }
}

impl FromIterator<(String, Option<String>)> for GroupValues {
    fn from_iter<T: IntoIterator<Item = (String, Option<String>)>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

/// One group of an SLO.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
pub struct Group {
    /// The attributes that the SLO groups by, with their scopes.
    pub by: Vec<String>,
    /// A value for each of them, `None` where no evidence had one. If the whole list is `None`,
    /// this is the group of all values beyond the limit.
    pub values: Option<Vec<Option<String>>>,
}

/// A digest of attributes and values: always the same for the same group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey(pub [u8; 16]);

impl Group {
    /// Returns the group of all values without a group of their own.
    pub const fn other(by: Vec<String>) -> Self {
        Self { by, values: None }
    }

    /// Returns the group of events that exist for certain, but whose group is unknown.
    pub fn unknown(by: Vec<String>) -> Self {
        let values = by.iter().map(|_| Some(UNKNOWN.to_owned())).collect();
        Self {
            by,
            values: Some(values),
        }
    }

    pub const fn is_other(&self) -> bool {
        self.values.is_none()
    }

    /// Returns the key. Each part is preceded by its length, so that different groups never hash
    /// the same bytes.
    pub fn key(&self) -> GroupKey {
        let mut hasher = Sha256::new();
        let mut part = |kind: u8, text: &str| {
            hasher.update([kind]);
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        };
        for attribute in &self.by {
            part(b'a', attribute);
        }
        for value in self.values.iter().flatten() {
            match value {
                Some(value) => part(b'v', value),
                None => part(b'n', ""),
            }
        }
        if self.is_other() {
            part(b'o', "");
        }
        let digest = hasher.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
        GroupKey(key)
    }

    /// Returns the attributes without their scopes, and the value of each as text.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by.iter().enumerate().map(|(at, attribute)| {
            let name = attribute.split_once('.').map_or("", |(_, name)| name);
            let value = match &self.values {
                None => OTHER,
                Some(values) => values
                    .get(at)
                    .and_then(Option::as_deref)
                    .unwrap_or(NO_VALUE),
            };
            (name, value)
        })
    }

    /// Formats `deployment.kind = rollback, region = eu`. The values come from senders.
    pub fn text(&self) -> String {
        let pairs: Vec<String> = self
            .pairs()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        pairs.join(", ")
    }

    /// Formats `rollback, eu`.
    pub fn values_text(&self) -> String {
        let values: Vec<&str> = self.pairs().map(|(_, value)| value).collect();
        values.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, option, prelude::*};

    use super::*;

    fn group(by: &[&str], values: &[Option<&str>]) -> Group {
        Group {
            by: by.iter().map(ToString::to_string).collect(),
            values: Some(
                values
                    .iter()
                    .map(|value| value.map(str::to_owned))
                    .collect(),
            ),
        }
    }

    #[test]
    fn a_group_reads_as_its_attributes_and_values() {
        let by = ["span.deployment.kind", ".region"];
        assert_eq!(
            group(&by, &[Some("rollback"), None]).text(),
            "deployment.kind = rollback, region = (none)"
        );
        let other = Group::other(vec!["span.deployment.kind".to_owned()]);
        assert_eq!(other.text(), "deployment.kind = (other)");
    }

    #[test]
    fn groups_that_only_look_alike_have_keys_of_their_own() {
        let by = ["span.kind", "span.region"];
        let groups = [
            group(&by, &[Some("ab"), Some("c")]),
            group(&by, &[Some("a"), Some("bc")]),
            group(&by, &[Some("a"), None]),
            group(&by, &[None, Some("a")]),
            group(&by, &[None, None]),
            group(&by, &[Some("(none)"), None]),
            group(&["span.kind"], &[Some("(other)")]),
            Group::other(vec!["span.kind".to_owned()]),
            Group::other(vec!["span.kind".to_owned(), "span.region".to_owned()]),
        ];
        let keys: std::collections::BTreeSet<_> = groups.iter().map(Group::key).collect();
        assert_eq!(keys.len(), groups.len());
    }

    #[test]
    fn a_key_never_changes_since_incidents_elsewhere_are_known_by_it() {
        let GroupKey(key) = group(&["span.deployment.kind"], &[Some("rollback")]).key();
        assert_eq!(
            u128::from_be_bytes(key),
            0x41ac_a986_38ed_89fe_fb53_094f_0e67_0a66
        );
    }

    fn any_values() -> impl Strategy<Value = GroupValues> {
        btree_map("[ab]", option::of("[xyz]"), 0..3).prop_map(GroupValues)
    }

    fn joined(mut a: GroupValues, b: &GroupValues) -> GroupValues {
        a.join(b);
        a
    }

    proptest! {
        #[test]
        fn values_are_a_join(a in any_values(), b in any_values(), c in any_values()) {
            prop_assert_eq!(joined(a.clone(), &a), a.clone());
            prop_assert_eq!(joined(a.clone(), &b), joined(b.clone(), &a));
            prop_assert_eq!(
                joined(joined(a.clone(), &b), &c),
                joined(a, &joined(b, &c))
            );
        }
    }
}
