//! From nodes to the shapes of [`super::file`]: a serde deserializer that notes a mistake with its
//! place and goes on, so that one reading finds all of them.
//!
//! What makes that possible is [`Field`]: its content may be missing or wrong without its
//! surroundings becoming unreadable.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer as _,
        MapAccess, SeqAccess, Visitor, value::SeqDeserializer,
    },
    forward_to_deserialize_any,
};

use super::{
    diagnostics::{Diagnostics, SourceSpan},
    file::not_yet_supported,
    node::{Entry, NodeValue, YamlNode},
    suggest,
};

/// A value with its place. As a plain field it is required, within an `Option` it is not.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    Missing,
    /// What is wrong is among the findings already.
    Invalid,
    Valid(T, SourceSpan),
}

/// A value that may be written as one text or as a group of fields. Numbers count as text.
#[derive(Clone, Debug)]
pub(super) enum TextOr<T> {
    Text(String),
    Shape(T),
}

/// A word, or a list of shapes.
#[derive(Debug)]
pub(super) struct TextOrList<T>(pub(super) TextOr<Vec<Field<T>>>);

/// A text or a number, as text.
#[derive(Clone, Debug)]
pub(super) struct Scalar(pub(super) String);

/// Reads `node` as a `T`; all that is wrong is noted in `findings`.
pub(super) fn read<T: DeserializeOwned>(node: &YamlNode, findings: &Diagnostics<'_>) -> Option<T> {
    match T::deserialize(NodeReader { node, findings }) {
        Ok(value) => Some(value),
        Err(error) => {
            error.note(node, findings);
            None
        }
    }
}

impl<T> Field<T> {
    pub(super) fn valid(&self) -> Option<(&T, SourceSpan)> {
        match self {
            Self::Valid(value, place) => Some((value, *place)),
            Self::Missing | Self::Invalid => None,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

/// What is wrong with one value. Its place is that of the field it stands in.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct FieldError {
    message: String,
    help: Option<String>,
}

impl FieldError {
    fn note(self, node: &YamlNode, findings: &Diagnostics<'_>) {
        findings.error_with_help(node.place, self.message, self.help);
    }
}

impl serde::de::Error for FieldError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            help: None,
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self {
            message: format!("`{variant}` is none of {}", suggest::list(expected)),
            help: suggest::nearest(variant, expected.iter().copied())
                .map(|near| format!("did you mean `{near}`?")),
        }
    }
}

const FIELD: &str = "$field";
const TEXT_OR: &str = "$text-or";
const TEXT_OR_LIST: &str = "$text-or-list";

#[derive(Clone, Copy)]
struct NodeReader<'a> {
    node: &'a YamlNode,
    findings: &'a Diagnostics<'a>,
}

impl<'a> NodeReader<'a> {
    fn expected(&self, what: &str) -> FieldError {
        let help = match (&self.node.value, what) {
            (NodeValue::Number(_) | NodeValue::Bool(_), "text") => {
                Some("write it in quotes".to_owned())
            }
            (NodeValue::Text(text), "a list") => Some(format!("write `[{text}]`")),
            _ => None,
        };
        FieldError {
            message: format!("{what} is expected here, this is {}", self.node.noun()),
            help,
        }
    }

    /// The fields of a shape that has the fields `known`. Others are noted; a misspelt one is then
    /// read as what it was meant to be, so that what it should have been is not missed as well.
    fn fields(&self, entries: &'a [Entry], shape: &str, known: &[&'static str]) -> Fields<'a> {
        let mut fields = Vec::with_capacity(entries.len());
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                fields.push((entry.key.as_str(), &entry.value));
            } else if let Some(later) = not_yet_supported(shape, &entry.key) {
                let message = format!("not yet supported: `{}`, {}", entry.key, later);
                self.findings.error(entry.key_place, message);
            } else {
                let is_absent = |field: &&str| entries.iter().all(|other| other.key != **field);
                let absent = known.iter().copied().filter(is_absent);
                let meant = suggest::nearest(&entry.key, absent)
                    .filter(|meant| fields.iter().all(|(name, _)| name != meant));
                fields.extend(meant.map(|meant| (meant, &entry.value)));
                self.findings.error_with_help(
                    entry.key_place,
                    format!("unknown field `{}`", entry.key),
                    suggest::did_you_mean(&entry.key, known.iter().copied()),
                );
            }
        }
        fields
    }
}

/// The fields of a group by the names they are read under.
type Fields<'a> = Vec<(&'a str, &'a YamlNode)>;

impl<'de> Deserializer<'de> for NodeReader<'_> {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match &self.node.value {
            NodeValue::Null => visitor.visit_unit(),
            NodeValue::Bool(value) => visitor.visit_bool(*value),
            NodeValue::Number(text) | NodeValue::Text(text) => visitor.visit_str(text),
            NodeValue::Sequence(_) => self.deserialize_seq(visitor),
            NodeValue::Mapping(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        if matches!(self.node.value, NodeValue::Null) {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.node.text() {
            Some(text) => visitor.visit_str(text),
            None => Err(self.expected("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.node.number().and_then(|text| text.parse().ok()) {
            Some(number) => visitor.visit_u64(number),
            None => Err(self.expected("a whole number of 0 or more")),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let number = self.node.number().and_then(|text| text.parse().ok());
        match number.filter(|number: &f64| number.is_finite()) {
            Some(number) => visitor.visit_f64(number),
            None => Err(self.expected("a number")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self.node.text() {
            Some(text) => visitor.visit_enum(text.into_deserializer()),
            None => Err(self.expected("text")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let NodeValue::Sequence(items) = &self.node.value else {
            return Err(self.expected("a list"));
        };
        visitor.visit_seq(Items {
            items: items.iter(),
            findings: self.findings,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let NodeValue::Mapping(entries) = &self.node.value else {
            return Err(self.expected("a group of fields"));
        };
        let named: Vec<_> = entries
            .iter()
            .map(|entry| (entry.key.as_str(), &entry.value))
            .collect();
        visitor.visit_map(Entries {
            rest: named.into_iter(),
            value: None,
            findings: self.findings,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        let NodeValue::Mapping(entries) = &self.node.value else {
            return Err(self.expected("a group of fields"));
        };
        let fields = self.fields(entries, name, fields);
        visitor.visit_map(Entries {
            rest: fields.into_iter(),
            value: None,
            findings: self.findings,
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match name {
            FIELD => visitor.visit_seq(FieldParts {
                reader: self,
                place: Some(self.node.place),
            }),
            TEXT_OR => match &self.node.value {
                NodeValue::Text(text) | NodeValue::Number(text) => visitor.visit_str(text),
                NodeValue::Mapping(_) => visitor.visit_newtype_struct(self),
                NodeValue::Null | NodeValue::Bool(_) | NodeValue::Sequence(_) => {
                    Err(self.expected("text or a group of fields"))
                }
            },
            TEXT_OR_LIST => match &self.node.value {
                NodeValue::Text(text) => visitor.visit_str(text),
                NodeValue::Sequence(_) => visitor.visit_newtype_struct(self),
                NodeValue::Null
                | NodeValue::Bool(_)
                | NodeValue::Number(_)
                | NodeValue::Mapping(_) => Err(self.expected("text or a list")),
            },
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 char bytes byte_buf unit unit_struct tuple
        identifier ignored_any
    }
}

/// The two parts of a [`Field`]: its place, then its value, unless that is wrong.
struct FieldParts<'a> {
    reader: NodeReader<'a>,
    place: Option<SourceSpan>,
}

impl<'de> SeqAccess<'de> for FieldParts<'_> {
    type Error = FieldError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, FieldError> {
        if let Some(SourceSpan(start, end)) = self.place.take() {
            let parts = SeqDeserializer::new([start, end].into_iter());
            return seed.deserialize(parts).map(Some);
        }
        match seed.deserialize(self.reader) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                error.note(self.reader.node, self.reader.findings);
                Ok(None)
            }
        }
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, YamlNode>,
    findings: &'a Diagnostics<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = FieldError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, FieldError> {
        let findings = self.findings;
        self.items
            .next()
            .map(|node| seed.deserialize(NodeReader { node, findings }))
            .transpose()
    }
}

struct Entries<'a> {
    rest: std::vec::IntoIter<(&'a str, &'a YamlNode)>,
    value: Option<&'a YamlNode>,
    findings: &'a Diagnostics<'a>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = FieldError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, FieldError> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, FieldError> {
        let findings = self.findings;
        match self.value.take() {
            Some(node) => seed.deserialize(NodeReader { node, findings }),
            None => Err(FieldError::custom("a value was asked for before its key")),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E>(self) -> Result<Field<T>, E> {
        Ok(Field::Missing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field<T>, D::Error> {
        deserializer.deserialize_tuple_struct(FIELD, 2, self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Field<T>, A::Error> {
        let place = parts.next_element()?.unwrap_or_default();
        Ok(match parts.next_element()? {
            Some(value) => Field::Valid(value, place),
            None => Field::Invalid,
        })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple_struct(TEXT_OR, 1, TextOrVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOrList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_tuple_struct(TEXT_OR_LIST, 1, TextOrVisitor(PhantomData))
            .map(Self)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TextOr::<IgnoredAny>::deserialize(deserializer).and_then(|value| match value {
            TextOr::Text(text) => Ok(Self(text)),
            TextOr::Shape(_) => Err(serde::de::Error::custom(
                "text or a number is expected here",
            )),
        })
    }
}

struct TextOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T> {
    type Value = TextOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a group of fields")
    }

    fn visit_str<E>(self, text: &str) -> Result<TextOr<T>, E> {
        Ok(TextOr::Text(text.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<TextOr<T>, D::Error> {
        T::deserialize(deserializer).map(TextOr::Shape)
    }
}
