//! The fields of a group, read one after the other.
//!
//! A function of [`Fields`] is called either with the fields of a document, which it reads, or
//! without any, to record the fields that it accepts: this shows which names are misspelt before
//! anything is read.

use std::cell::RefCell;

use super::{
    diagnostics::{DefinitionFile, Diagnostics, Reported, SourceSpan},
    shape::{FieldShape, GroupShape, Outline, Presence},
    suggest,
    value::{Checked, YamlValue},
    yaml::{Entry, NodeValue, YamlNode},
};
use crate::domain::model::text::nearest;

#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub(super) findings: &'a Diagnostics<'a>,
    pub(super) place: SourceSpan,
    source: GivenFields<'a>,
}

#[derive(Debug)]
enum GivenFields<'a> {
    /// The fields that are present, by the names they are read under.
    Given(Vec<(&'a str, &'a YamlNode)>),
    Noted {
        group: &'a RefCell<GroupShape>,
        /// `None` if names suffice.
        groups: Option<&'a RefCell<Vec<GroupShape>>>,
    },
}

/// Reads one value.
type ReadValue<'r, T> = &'r dyn for<'v> Fn(YamlValue<'v>) -> Checked<T>;

/// One of several fields of which exactly one must be present: its key, its description, and its
/// reader.
pub(super) type Alternative<'r, T> = (&'static str, &'static str, ReadValue<'r, T>);

/// Reads a group of fields.
type ReadFields<'r, T> = &'r dyn for<'v> Fn(&Fields<'v>) -> Checked<T>;

impl<'a> Fields<'a> {
    /// Reads the fields of `node`. Unknown ones are reported; a misspelt one is then read as the
    /// field that was probably meant, so that the field is not also reported as missing.
    pub(super) fn of<T>(
        findings: &'a Diagnostics<'a>,
        name: &'static str,
        node: &'a YamlNode,
        read: ReadFields<'_, T>,
    ) -> Self {
        let shape = outline(None, GroupShape::new(name, ""), read);
        let known: Vec<&'static str> = shape.fields.iter().map(|field| field.key).collect();
        let mut given = Vec::new();
        let entries = node.entries().unwrap_or_default();
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                given.push((entry.key.as_str(), &entry.value));
            } else if let Some(why) = not_supported(name, &entry.key) {
                let message = format!("`{}` is not supported", entry.key);
                findings.error_with_help(entry.key_place, message, Some(why.to_owned()));
            } else {
                let meant = meant(entry, entries, &known);
                let meant = meant.filter(|meant| given.iter().all(|(name, _)| name != meant));
                given.extend(meant.map(|meant| (meant, &entry.value)));
                findings.error_with_help(
                    entry.key_place,
                    format!("unknown field `{}`", entry.key),
                    suggest::did_you_mean(&entry.key, known.iter().copied()),
                );
            }
        }
        Self {
            findings,
            place: node.place,
            source: GivenFields::Given(given),
        }
    }

    /// Records what a group accepts, once for each name.
    pub(super) fn note_group<T>(
        groups: &RefCell<Vec<GroupShape>>,
        name: &'static str,
        about: &'static str,
        read: ReadFields<'_, T>,
    ) {
        let is_known = groups.borrow().iter().any(|group| group.name == name);
        if is_known {
            return;
        }
        // Its position among the others is that of its first use.
        let at = groups.borrow().len();
        groups.borrow_mut().push(GroupShape::new(name, about));
        let shape = outline(Some(groups), GroupShape::new(name, about), read);
        if let Some(group) = groups.borrow_mut().get_mut(at) {
            *group = shape;
        }
    }

    pub(super) fn required<T>(
        &self,
        key: &'static str,
        about: &'static str,
        read: impl for<'v> Fn(YamlValue<'v>) -> Checked<T>,
    ) -> Checked<T> {
        let field = self.field(key, about, Presence::Required, &read)?;
        field.ok_or_else(|| {
            self.findings
                .error(self.place, format!("missing field `{key}`"))
        })
    }

    /// Reads a field; `None` if it is left out.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        about: &'static str,
        read: impl for<'v> Fn(YamlValue<'v>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        self.field(key, about, Presence::Optional, &read)
    }

    /// Reads a field; if it is left out, reads `default` instead, so that the reference shows the
    /// actual default.
    pub(super) fn or<T>(
        &self,
        key: &'static str,
        default: &'static str,
        about: &'static str,
        read: impl for<'v> Fn(YamlValue<'v>) -> Checked<T>,
    ) -> Checked<T> {
        match self.field(key, about, Presence::Default(default), &read)? {
            Some(value) => Ok(value),
            None => read(YamlValue::of(
                self.findings,
                &YamlNode::scalar(default, self.place),
            )),
        }
    }

    fn field<T>(
        &self,
        key: &'static str,
        about: &'static str,
        presence: Presence,
        read: ReadValue<'_, T>,
    ) -> Checked<Option<T>> {
        match &self.source {
            GivenFields::Given(_) => match self.node(key) {
                None => Ok(None),
                Some(node) => read(YamlValue::of(self.findings, node)).map(Some),
            },
            GivenFields::Noted { group, groups } => {
                let accepted = Outline::new(*groups);
                if groups.is_some() {
                    // The outline reads nothing; only what it recorded counts.
                    let _reported = read(YamlValue::outline(self.findings, &accepted)).is_ok();
                }
                group.borrow_mut().fields.push(FieldShape {
                    key,
                    about,
                    presence,
                    shape: accepted.into_shape(),
                });
                Err(Reported)
            }
        }
    }

    fn node(&self, key: &str) -> Option<&'a YamlNode> {
        let GivenFields::Given(given) = &self.source else {
            return None;
        };
        let node = given.iter().find(|(name, _)| *name == key)?.1;
        (!matches!(node.value, NodeValue::Null)).then_some(node)
    }

    /// Returns whether a field is present, valid or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Reads the one field of `alternatives` that is present; reports a problem if not exactly one
    /// is. `thing` begins the message, such as `an indicator`.
    pub(super) fn one_of<T>(
        &self,
        thing: &str,
        help: Option<&str>,
        alternatives: &[Alternative<'_, T>],
    ) -> Checked<T> {
        let keys: Vec<&'static str> = alternatives.iter().map(|(key, ..)| *key).collect();
        if let GivenFields::Noted { group, .. } = &self.source {
            group.borrow_mut().one_of.clone_from(&keys);
            for (key, about, read) in alternatives {
                let _reported = self.field(key, about, Presence::Optional, *read).is_ok();
            }
            return Err(Reported);
        }
        let mut there = alternatives.iter().filter(|(key, ..)| self.has(key));
        if let (Some((key, about, read)), None) = (there.next(), there.next()) {
            let value = self.field(key, about, Presence::Optional, *read)?;
            return value.ok_or(Reported);
        }
        let message = format!("{thing} has exactly one of {}", suggest::list(&keys));
        let help = help.map(ToOwned::to_owned);
        Err(self.findings.error_with_help(self.place, message, help))
    }

    /// Reports a problem if `key` is present without `owner`, which it belongs to.
    pub(super) fn belongs_to(&self, key: &str, owner: &str) -> Checked<()> {
        if self.has(key) && !self.has(owner) {
            let message = format!("`{key}` belongs to `{owner}`, which is not there");
            return Err(self.error(key, message));
        }
        Ok(())
    }

    /// Returns a text or number as it is written; empty if there is none.
    pub(super) fn written(&self, key: &str) -> &'a str {
        let node = self.node(key);
        let text = node.and_then(|node| node.text().or_else(|| node.number()));
        text.unwrap_or_default()
    }

    /// Returns the position of a field, or otherwise of the group.
    pub(super) fn at(&self, key: &str) -> SourceSpan {
        self.node(key).map_or(self.place, |node| node.place)
    }

    pub(super) fn error(&self, key: &str, message: impl Into<String>) -> Reported {
        self.findings.error(self.at(key), message)
    }

    pub(super) fn error_with_help(
        &self,
        key: &str,
        message: impl Into<String>,
        help: &str,
    ) -> Reported {
        let help = help.to_owned();
        self.findings.error_with_help(self.at(key), message, help)
    }
}

/// Calls `read` without fields.
fn outline<T>(
    groups: Option<&RefCell<Vec<GroupShape>>>,
    empty: GroupShape,
    read: ReadFields<'_, T>,
) -> GroupShape {
    let nothing = DefinitionFile {
        path: String::new(),
        text: String::new(),
    };
    let group = RefCell::new(empty);
    let _reported = read(&Fields {
        findings: &Diagnostics::new(&nothing),
        place: SourceSpan::default(),
        source: GivenFields::Noted {
            group: &group,
            groups,
        },
    })
    .is_ok();
    group.into_inner()
}

/// Returns the field that was probably meant by an unknown one, of those that are not present.
fn meant(entry: &Entry, entries: &[Entry], known: &[&'static str]) -> Option<&'static str> {
    let is_absent = |field: &&str| entries.iter().all(|other| other.key != **field);
    let absent = known.iter().copied().filter(is_absent);
    nearest(&entry.key, absent)
}

/// Returns why a field that others have is not one of `group`; `None` if it is unknown.
fn not_supported(group: &str, key: &str) -> Option<&'static str> {
    match (group, key) {
        ("SloSpec", "budgetingMethod" | "timeSlices" | "timeSliceTarget" | "timeSliceWindow") => {
            Some("an objective is a share of events here, not of slices of time: delete it")
        }
        _ => None,
    }
}
