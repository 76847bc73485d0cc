//! Protobuf's wire format: keys, varints, lengths and groups.

use crate::ingest::MalformedProtobuf;

/// The depth of groups that can be skipped. Nothing else nests: a message is read only where it is
/// needed.
const MAX_GROUPS: u32 = 100;

/// The rest of one message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reader<'a>(&'a [u8]);

/// The value after a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum WireField<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// The start of a group; its content is still to be read.
    Group,
    Fixed32,
}

/// A field that is a message, whose first field is of bytes.
pub(super) struct ShortMessage<'a> {
    pub(super) whole: &'a [u8],
    pub(super) first: &'a [u8],
    /// The rest of the message.
    pub(super) behind: &'a [u8],
}

/// Returns the number of a field and the wire type of its value, as one number before the value.
pub(super) const fn key(tag: u32, wire_type: u32) -> u32 {
    tag << 3 | wire_type
}

pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const BYTES: u32 = 2;
pub(super) const FIXED32: u32 = 5;

impl<'a> Reader<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the next key and its value; `None` at the end of the message.
    #[inline]
    pub(super) fn field(&mut self) -> Result<Option<(u32, WireField<'a>)>, MalformedProtobuf> {
        match self.key()? {
            Some(key) => self.value(key).map(Some),
            None => Ok(None),
        }
    }

    /// Returns the next key, which [`key`] makes too; `None` at the end of the message. Its value
    /// must be read next.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Option<u32>, MalformedProtobuf> {
        match *self.0 {
            [] => Ok(None),
            [byte @ 8..0x80, ref rest @ ..] => {
                self.0 = rest;
                Ok(Some(u32::from(byte)))
            }
            _ => self.long_key().map(Some),
        }
    }

    /// Returns the next field and the rest after it, if its key and that of its first field are
    /// these, of one byte each, and the outer one is shorter than 128 bytes.
    ///
    /// Most of a span consists of attributes, and nearly all of them have this form: so four bytes
    /// are tested at once.
    #[inline]
    pub(super) fn short_message(self, outer: u32, inner: u32) -> Option<(ShortMessage<'a>, Self)> {
        const KEYS: u32 = u32::from_le_bytes([0xff, 0x80, 0xff, 0]);

        let (head, _) = self.0.split_first_chunk::<4>()?;
        let head_word = u32::from_le_bytes(*head);
        if head_word & KEYS != outer | inner << 16 {
            return None;
        }
        let [_, length, _, first_length] = *head;
        let (whole, rest) = self.0.get(2..)?.split_at_checked(usize::from(length))?;
        let (first, behind) = whole
            .get(2..)?
            .split_at_checked(usize::from(first_length))?;
        Some((
            ShortMessage {
                whole,
                first,
                behind,
            },
            Self(rest),
        ))
    }

    /// Skips `key`, of one byte, if it is next.
    #[inline]
    pub(super) fn begins_with(&mut self, key: u32) -> bool {
        if let [byte, rest @ ..] = self.0
            && u32::from(*byte) == key
        {
            self.0 = rest;
            return true;
        }
        false
    }

    fn long_key(&mut self) -> Result<u32, MalformedProtobuf> {
        let key = u32::try_from(self.varint()?).map_err(|_| MalformedProtobuf::Key)?;
        (key >= 8).then_some(key).ok_or(MalformedProtobuf::Key)
    }

    /// Returns the value after `key`, with the number of its field.
    pub(super) fn value(&mut self, key: u32) -> Result<(u32, WireField<'a>), MalformedProtobuf> {
        let field = match key & 7 {
            VARINT => WireField::Varint(self.varint()?),
            FIXED64 => WireField::Fixed64(self.fixed64()?),
            BYTES => WireField::Bytes(self.bytes()?),
            3 => WireField::Group,
            FIXED32 => {
                self.fixed32()?;
                WireField::Fixed32
            }
            4 => return Err(MalformedProtobuf::GroupEnd),
            _ => return Err(MalformedProtobuf::WireType),
        };
        Ok((key >> 3, field))
    }

    /// Returns each value of `wanted`, a key of bytes, in a message that is known to be well formed.
    pub(super) fn each(mut self, wanted: u32) -> impl Iterator<Item = &'a [u8]> {
        std::iter::from_fn(move || self.next_of(wanted))
    }

    fn next_of(&mut self, wanted: u32) -> Option<&'a [u8]> {
        while let Some(key) = self.key().ok()? {
            if key == wanted {
                return self.bytes().ok();
            }
            let (tag, field) = self.value(key).ok()?;
            self.skip(tag, field).ok()?;
        }
        None
    }

    /// Skips an unknown field.
    pub(super) fn skip(&mut self, tag: u32, field: WireField<'a>) -> Result<(), MalformedProtobuf> {
        if matches!(field, WireField::Group) {
            self.skip_group(tag, MAX_GROUPS)?;
        }
        Ok(())
    }

    fn skip_group(&mut self, group: u32, depth: u32) -> Result<(), MalformedProtobuf> {
        loop {
            let key = self.long_key()?;
            let (tag, wire_type) = (key >> 3, key & 7);
            if wire_type == 4 {
                return (tag == group)
                    .then_some(())
                    .ok_or(MalformedProtobuf::GroupEnd);
            }
            let below = depth.checked_sub(1).ok_or(MalformedProtobuf::TooDeep)?;
            match wire_type {
                0 => self.varint().map(drop)?,
                1 => self.array::<8>().map(drop)?,
                2 => self.bytes().map(drop)?,
                3 => self.skip_group(tag, below)?,
                5 => self.array::<4>().map(drop)?,
                _ => return Err(MalformedProtobuf::WireType),
            }
        }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, MalformedProtobuf> {
        match *self.0 {
            [byte @ 0..0x80, ref rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(byte))
            }
            [low, high @ 0..0x80, ref rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[cold]
    fn long_varint(&mut self) -> Result<u64, MalformedProtobuf> {
        let mut value = 0;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            // Only one bit of the tenth byte fits.
            match (byte < 0x80, index == 9 && byte > 1) {
                (false, false) => {}
                (_, true) => break,
                (true, false) => {
                    self.0 = self.0.get(index + 1..).unwrap_or_default();
                    return Ok(value);
                }
            }
        }
        Err(MalformedProtobuf::Varint)
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], MalformedProtobuf> {
        let length = usize::try_from(self.varint()?).map_err(|_| MalformedProtobuf::Truncated)?;
        let (bytes, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(MalformedProtobuf::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64, MalformedProtobuf> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn fixed32(&mut self) -> Result<u32, MalformedProtobuf> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedProtobuf> {
        let (bytes, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(MalformedProtobuf::Truncated)?;
        self.0 = rest;
        Ok(*bytes)
    }
}
