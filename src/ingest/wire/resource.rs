//! Data that many spans share: their resource and their instrumentation scope, each read once.

use std::{borrow::Cow, cell::OnceCell};

use super::{
    attributes::{WireAttribute, text},
    reader::{Reader, WireField},
};
use crate::{
    domain::model::value::Value,
    ingest::{
        Malformed,
        unreadable::{UnreadableValue, ValueFaults},
    },
};

/// Attributes shared by many spans: each value is decoded when the first span needs it.
#[derive(Debug, Default)]
pub(super) struct SharedAttributes<'a>(Vec<SharedAttribute<'a>>);

#[derive(Debug)]
struct SharedAttribute<'a> {
    key: &'a [u8],
    attribute: WireAttribute<'a>,
    value: OnceCell<Option<Value<'a>>>,
}

impl<'a> SharedAttributes<'a> {
    fn push(&mut self, bytes: &'a [u8]) {
        let attribute = WireAttribute(bytes);
        self.0.push(SharedAttribute {
            key: attribute.key(),
            attribute,
            value: OnceCell::new(),
        });
    }

    /// Finds an attribute by its key; of duplicate keys the last one counts.
    pub(super) fn look_up(&self, key: &str, faults: &ValueFaults) -> Option<Value<'a>> {
        let key = key.as_bytes();
        let mut last_first = self.0.iter().rev();
        let shared = last_first.find(|shared| shared.key == key)?;
        shared
            .value
            .get_or_init(|| shared.attribute.value(faults))
            .clone()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().map(|shared| shared.key)
    }

    pub(super) fn each(&self) -> impl Iterator<Item = WireAttribute<'a>> {
        self.0.iter().map(|shared| shared.attribute)
    }
}

#[derive(Debug, Default)]
pub(super) struct WireResource<'a> {
    pub(super) faults: ValueFaults,
    pub(super) attributes: SharedAttributes<'a>,
}

impl<'a> WireResource<'a> {
    /// Merges one more `Resource` message, up to its first unreadable field.
    pub(super) fn merge(&mut self, bytes: &'a [u8]) {
        if self.read_fields(Reader::new(bytes)).is_err() {
            self.faults.note(UnreadableValue::Malformed);
        }
    }

    fn read_fields(&mut self, mut message: Reader<'a>) -> Result<(), Malformed> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => self.attributes.push(bytes),
                (1, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
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
    pub(super) fn merge(&mut self, bytes: &'a [u8]) {
        if self.read_fields(Reader::new(bytes)).is_err() {
            self.faults.note(UnreadableValue::Malformed);
        }
    }

    fn read_fields(&mut self, mut message: Reader<'a>) -> Result<(), Malformed> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => self.name = text(bytes, &self.faults),
                (2, WireField::Bytes(bytes)) => self.version = text(bytes, &self.faults),
                (3, WireField::Bytes(bytes)) => self.attributes.push(bytes),
                (1..=3, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }
}
