//! What many spans share: their resource and their instrumentation scope.

use super::{
    attributes::{Attribute, attribute},
    notes::Notes,
    reader::{Reader, WireField},
};
use crate::ingest::Malformed;

#[derive(Debug, Default)]
pub(super) struct Resource<'a> {
    pub(super) notes: Notes,
    pub(super) attributes: Vec<Attribute<'a>>,
}

impl<'a> Resource<'a> {
    /// Adds to this what one more `Resource` message says.
    pub(super) fn merge(&mut self, mut message: Reader<'a>) -> Result<(), Malformed> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => {
                    let attributes = &mut self.attributes;
                    attribute(message, bytes, &mut self.notes, |a| attributes.push(a))?;
                }
                (2, WireField::Varint(_)) => {}
                (3, WireField::Bytes(bytes)) => {
                    check_entity_ref(message.open(bytes)?, &mut self.notes)?;
                }
                (1..=3, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }
}

/// Nobody asks for the entities behind a resource; they only must be well formed.
fn check_entity_ref(mut message: Reader<'_>, notes: &mut Notes) -> Result<(), Malformed> {
    while let Some((tag, field)) = message.field()? {
        match (tag, field) {
            (1..=4, WireField::Bytes(bytes)) => _ = notes.text(bytes, "an entity reference"),
            (1..=4, _) => return Err(Malformed::WireType),
            (tag, field) => message.skip(tag, field)?,
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
pub(super) struct WireScope<'a> {
    pub(super) notes: Notes,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) attributes: Vec<Attribute<'a>>,
}

impl<'a> WireScope<'a> {
    /// Adds to this what one more `InstrumentationScope` message says.
    pub(super) fn merge(&mut self, mut message: Reader<'a>) -> Result<(), Malformed> {
        while let Some((tag, field)) = message.field()? {
            match (tag, field) {
                (1, WireField::Bytes(bytes)) => {
                    self.name = self.notes.text(bytes, "the scope's name");
                }
                (2, WireField::Bytes(bytes)) => {
                    self.version = self.notes.text(bytes, "the scope's version");
                }
                (3, WireField::Bytes(bytes)) => {
                    let attributes = &mut self.attributes;
                    attribute(message, bytes, &mut self.notes, |a| attributes.push(a))?;
                }
                (4, WireField::Varint(_)) => {}
                (1..=4, _) => return Err(Malformed::WireType),
                (tag, field) => message.skip(tag, field)?,
            }
        }
        Ok(())
    }
}
