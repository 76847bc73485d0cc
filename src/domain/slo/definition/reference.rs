//! The reference of all fields, for people: made from what the functions that read them accept.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    check,
    shape::{FieldShape, Presence, Shape},
};

/// A group of fields.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct GroupReference {
    /// The name by which other groups refer to it; unique.
    pub name: &'static str,
    pub about: &'static str,
    pub fields: Vec<FieldReference>,
    /// Keys of which exactly one must be present; empty if there are no such keys.
    pub exactly_one_of: Vec<&'static str>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct FieldReference {
    pub name: &'static str,
    /// The accepted values, in words.
    #[serde(rename = "type")]
    pub kind: String,
    /// Groups that `kind` names.
    pub groups: Vec<&'static str>,
    pub required: bool,
    /// The default, as it would be written; `None` if it is not a single value.
    pub default: Option<&'static str>,
    /// One or two sentences; empty if the name is sufficient.
    pub about: &'static str,
}

/// A word of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeWord<'f> {
    /// With the space after it.
    pub text: &'f str,
    /// The group that it names, if any.
    pub group: Option<&'f str>,
}

impl FieldReference {
    pub fn type_words(&self) -> Vec<TypeWord<'_>> {
        let word = |text| {
            let name = str::trim_matches(text, [' ', ',']);
            let group = self.groups.iter().find(|group| **group == name);
            TypeWord {
                text,
                group: group.copied(),
            }
        };
        self.kind.split_inclusive(' ').map(word).collect()
    }
}

/// Returns all groups, each after the first that refers to it. The kinds of documents come first in
/// their subtree and are named by their `kind`.
pub fn reference() -> Vec<GroupReference> {
    let groups = check::shapes().into_iter();
    groups
        .map(|group| GroupReference {
            name: group.name,
            about: group.about,
            fields: group.fields.iter().map(of_field).collect(),
            exactly_one_of: group.one_of,
        })
        .collect()
}

fn of_field(field: &FieldShape) -> FieldReference {
    let mut groups = Vec::new();
    named(&field.shape, &mut groups);
    FieldReference {
        name: field.key,
        kind: in_words(&field.shape),
        groups,
        required: field.presence == Presence::Required,
        default: match field.presence {
            Presence::Default(default) => Some(default),
            Presence::Required | Presence::Optional => None,
        },
        about: field.about,
    }
}

fn named(shape: &Shape, groups: &mut Vec<&'static str>) {
    match shape {
        Shape::Group(name) => groups.push(name),
        Shape::List(item) => named(item, groups),
        Shape::AnyOf(shapes) => shapes.iter().for_each(|shape| named(shape, groups)),
        Shape::Text
        | Shape::Name
        | Shape::Scalar
        | Shape::Duration
        | Shape::Whole
        | Shape::Number
        | Shape::Selector
        | Shape::Attribute
        | Shape::Constant(_)
        | Shape::Words(_)
        | Shape::TextByKey => {}
    }
}

fn in_words(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Name => "name".to_owned(),
        Shape::Scalar => "text or number".to_owned(),
        Shape::Duration => "duration".to_owned(),
        Shape::Whole => "whole number".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Selector => "selector".to_owned(),
        Shape::Attribute => "attribute".to_owned(),
        Shape::Constant(text) => format!("`{text}`"),
        Shape::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Shape::List(item) => format!("list of {}", in_words(item)),
        Shape::TextByKey => "keys with text or numbers".to_owned(),
        Shape::Group(name) => (*name).to_owned(),
        Shape::AnyOf(shapes) => {
            let shapes: Vec<String> = shapes.iter().map(in_words).collect();
            shapes.join(", or ")
        }
    }
}
