//! Data that many spans share: their resource and their instrumentation scope, each read once.

use std::{borrow::Cow, cell::OnceCell};

use super::{
    attributes::{KeyedAttribute, WireAttribute, text},
    reader::{Reader, WireField},
};
use crate::{
    domain::{model::value::Value, traceql::KeyFilter},
    ingest::{
        MalformedProtobuf,
        unreadable::{MAX_SHARED_ATTRIBUTES, UnreadableValue, ValueFaults},
    },
};

/// Attributes shared by many spans: each value is decoded when the first span needs it.
#[derive(Debug, Default)]
pub(super) struct SharedAttributes<'a> {
    all: Vec<SharedAttribute<'a>>,
    /// The positions of those whose keys every span is asked for; of duplicate keys that of the last.
    asked: Vec<usize>,
}

#[derive(Debug)]
struct SharedAttribute<'a> {
    attribute: KeyedAttribute<'a>,
    value: OnceCell<Option<Value<'a>>>,
}

impl<'a> SharedAttributes<'a> {
    fn push(&mut self, bytes: &'a [u8], asked_keys: &KeyFilter, faults: &ValueFaults) {
        let place = self.all.len();
        if place >= MAX_SHARED_ATTRIBUTES {
            faults.note(UnreadableValue::TooMany);
            return;
        }
        let attribute = WireAttribute(bytes);
        let key = attribute.key();
        if asked_keys.may_contain(key) {
            let has_key = |earlier: &usize| {
                self.all
                    .get(*earlier)
                    .is_some_and(|shared| shared.attribute.key == key)
            };
            self.asked.retain(|earlier| !has_key(earlier));
            self.asked.push(place);
        }
        self.all.push(SharedAttribute {
            attribute: KeyedAttribute { key, attribute },
            value: OnceCell::new(),
        });
    }

    /// Finds an attribute by its key; of duplicate keys the last one counts.
    pub(super) fn look_up(
        &self,
        key: &str,
        asked_keys: &KeyFilter,
        faults: &ValueFaults,
    ) -> Option<Value<'a>> {
        let key = key.as_bytes();
        let shared = if asked_keys.may_contain(key) {
            self.asked().find(|shared| shared.attribute.key == key)
        } else {
            self.all
                .iter()
                .rev()
                .find(|shared| shared.attribute.key == key)
        };
        let shared = shared?;
        shared
            .value
            .get_or_init(|| shared.attribute.attribute.value(faults))
            .clone()
    }

    fn asked(&self) -> impl Iterator<Item = &SharedAttribute<'a>> {
        self.asked.iter().filter_map(|place| self.all.get(*place))
    }

    /// Returns the keys that every span is asked for, each once.
    pub(super) fn asked_keys(&self) -> impl Iterator<Item = &'a [u8]> {
        self.asked().map(|shared| shared.attribute.key)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = WireAttribute<'a>> {
        self.all.iter().map(|shared| shared.attribute.attribute)
    }
}

#[derive(Debug, Default)]
pub(super) struct WireResource<'a> {
    pub(super) faults: ValueFaults,
    pub(super) attributes: SharedAttributes<'a>,
}

impl<'a> WireResource<'a> {
    /// Merges one more `Resource` message, up to its first unreadable field.
    pub(super) fn merge(&mut self, bytes: &'a [u8], asked_keys: &KeyFilter) {
        each_field(bytes, &self.faults, |tag, field| match (tag, field) {
            (1, WireField::Bytes(bytes)) => {
                self.attributes.push(bytes, asked_keys, &self.faults);
                FieldUse::Read
            }
            (1, _) => FieldUse::WrongType,
            (..) => FieldUse::Unknown,
        });
    }
}

#[derive(Debug, Default)]
pub(super) struct WireScope<'a> {
    pub(super) faults: ValueFaults,
    pub(super) name: Cow<'a, str>,
    pub(super) version: Cow<'a, str>,
    pub(super) attributes: SharedAttributes<'a>,
}

impl<'a> WireScope<'a> {
    /// Merges one more `InstrumentationScope` message, up to its first unreadable field.
    pub(super) fn merge(&mut self, bytes: &'a [u8], asked_keys: &KeyFilter) {
        each_field(bytes, &self.faults, |tag, field| {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => self.name = text(bytes, &self.faults),
                (2, WireField::Bytes(bytes)) => self.version = text(bytes, &self.faults),
                (3, WireField::Bytes(bytes)) => {
                    self.attributes.push(bytes, asked_keys, &self.faults);
                }
                (1..=3, _) => return FieldUse::WrongType,
                (..) => return FieldUse::Unknown,
            }
            FieldUse::Read
        });
    }
}

/// What became of a field.
#[derive(Clone, Copy)]
enum FieldUse {
    Read,
    WrongType,
    Unknown,
}

/// Reads the fields of a message up to the first unreadable one, which is noted.
fn each_field<'a>(
    bytes: &'a [u8],
    faults: &ValueFaults,
    mut read: impl FnMut(u32, WireField<'a>) -> FieldUse,
) {
    let mut message = Reader::new(bytes);
    let mut next = || -> Result<bool, MalformedProtobuf> {
        let Some((tag, field)) = message.field()? else {
            return Ok(false);
        };
        match read(tag, field) {
            FieldUse::Read => {}
            FieldUse::WrongType => return Err(MalformedProtobuf::WireType),
            FieldUse::Unknown => message.skip(tag, field)?,
        }
        Ok(true)
    };
    loop {
        match next() {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return faults.note(UnreadableValue::Malformed),
        }
    }
}
