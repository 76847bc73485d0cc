//! Protobuf's wire format: keys, varints, lengths and groups.

use crate::ingest::Malformed;

/// The depth of groups that can be skipped. Nothing else nests: a message is read only where it is
/// needed.
const MAX_GROUPS: u32 = 100;

/// The rest of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// The value after a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum WireField<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// The start of a group; its content is still to be read.
    Group,
    Fixed32(u32),
}

impl<'a> Reader<'a> {
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// Returns the next key and its value; `None` at the end of the message.
    #[expect(
        clippy::inline_always,
        reason = "called for each field of each span; as a call it takes a tenth more in all"
    )]
    #[inline(always)]
    pub(super) fn field(&mut self) -> Result<Option<(u32, WireField<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (tag, wire_type) = self.key()?;
        let field = match wire_type {
            0 => WireField::Varint(self.varint()?),
            1 => WireField::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => WireField::Bytes(self.delimited()?),
            3 => WireField::Group,
            5 => WireField::Fixed32(u32::from_le_bytes(self.array()?)),
            4 => return Err(Malformed::GroupEnd),
            _ => return Err(Malformed::WireType),
        };
        Ok(Some((tag, field)))
    }

    /// Skips an unknown field.
    pub(super) fn skip(&mut self, tag: u32, field: WireField<'a>) -> Result<(), Malformed> {
        if matches!(field, WireField::Group) {
            self.skip_group(tag, MAX_GROUPS)?;
        }
        Ok(())
    }

    fn skip_group(&mut self, group: u32, depth: u32) -> Result<(), Malformed> {
        loop {
            let (tag, wire_type) = self.key()?;
            if wire_type == 4 {
                return (tag == group).then_some(()).ok_or(Malformed::GroupEnd);
            }
            let below = depth.checked_sub(1).ok_or(Malformed::TooDeep)?;
            match wire_type {
                0 => self.varint().map(drop)?,
                1 => self.array::<8>().map(drop)?,
                2 => self.delimited().map(drop)?,
                3 => self.skip_group(tag, below)?,
                5 => self.array::<4>().map(drop)?,
                _ => return Err(Malformed::WireType),
            }
        }
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, u32), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed::Key)?;
        match (key >> 3, key & 7) {
            (0, _) => Err(Malformed::Key),
            tag_and_type => Ok(tag_and_type),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match *self.0 {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(byte))
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.0 = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
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
        Err(Malformed::Varint)
    }

    #[inline]
    fn delimited(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
        let (bytes, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*bytes)
    }
}
