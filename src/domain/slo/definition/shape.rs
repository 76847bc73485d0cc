//! The shapes of accepted values: recorded by the functions that read definitions, for the JSON
//! Schema and for the reference of all fields, so that both match the functions.

use std::cell::RefCell;

/// The accepted forms of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    /// The name of a definition.
    Name,
    /// Text or a number, such as `99.5%` or `0.995`.
    Scalar,
    Duration,
    /// A whole number of 0 or more.
    Whole,
    Number,
    Selector,
    Attribute,
    /// Exactly this text.
    Constant(&'static str),
    Words(Vec<&'static str>),
    List(Box<Self>),
    /// Any keys, each with text or a number.
    TextByKey,
    /// A group, by its name.
    Group(&'static str),
    AnyOf(Vec<Self>),
}

/// The requirement that a field is present, or its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
    /// Optional, with this default.
    Default(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldShape {
    pub(super) key: &'static str,
    /// One or two sentences.
    pub(super) about: &'static str,
    pub(super) presence: Presence,
    pub(super) shape: Shape,
}

/// A group of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupShape {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) fields: Vec<FieldShape>,
    /// Keys of which exactly one must be present; empty if there are no such keys.
    pub(super) one_of: Vec<&'static str>,
}

impl GroupShape {
    pub(super) const fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            fields: Vec::new(),
            one_of: Vec::new(),
        }
    }
}

/// Records what the functions that read would accept.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    accepted: RefCell<Vec<Shape>>,
    groups: Option<&'a RefCell<Vec<GroupShape>>>,
}

impl<'a> Outline<'a> {
    /// Makes an outline. Groups are recorded in `groups` once each; only their names are if it is
    /// `None`.
    pub(super) fn new(groups: Option<&'a RefCell<Vec<GroupShape>>>) -> Self {
        Self {
            accepted: RefCell::default(),
            groups,
        }
    }

    pub(super) const fn groups(&self) -> Option<&'a RefCell<Vec<GroupShape>>> {
        self.groups
    }

    pub(super) fn accept(&self, shape: Shape) {
        self.accepted.borrow_mut().push(shape);
    }

    pub(super) fn into_shape(self) -> Shape {
        let mut accepted = self.accepted.into_inner();
        match accepted.pop() {
            None => Shape::Text,
            Some(only) if accepted.is_empty() => only,
            Some(last) => {
                accepted.push(last);
                Shape::AnyOf(accepted)
            }
        }
    }
}
