//! Protobuf's wire format: keys, varints, lengths and groups, refused exactly where prost refuses.

use crate::ingest::Malformed;

/// How deep messages may nest, as in prost: what one more level needs is refused.
pub(super) const MAX_DEPTH: u32 = 100;

/// The rest of one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// How many levels may still open below this message.
    pub(super) depth: u32,
}

/// What stands behind a key.
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
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self {
            rest: body,
            depth: MAX_DEPTH,
        }
    }

    /// Opens the message that `bytes`, a field of this one, hold.
    pub(super) fn open(&self, bytes: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self {
            rest: bytes,
            depth: self.below()?,
        })
    }

    /// The next key and what stands behind it; `None` at the end of the message.
    #[expect(
        clippy::inline_always,
        reason = "called for each field of each span; as a call it takes a tenth more in all"
    )]
    #[inline(always)]
    pub(super) fn field(&mut self) -> Result<Option<(u32, WireField<'a>)>, Malformed> {
        if self.rest.is_empty() {
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

    /// Passes over a field that this program does not know.
    pub(super) fn skip(&mut self, tag: u32, field: WireField<'a>) -> Result<(), Malformed> {
        let below = self.below()?;
        if matches!(field, WireField::Group) {
            self.skip_group(tag, below)?;
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

    fn below(&self) -> Result<u32, Malformed> {
        self.depth.checked_sub(1).ok_or(Malformed::TooDeep)
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
        match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            // Of the tenth byte only one bit fits.
            match (byte < 0x80, index == 9 && byte > 1) {
                (false, false) => {}
                (_, true) => break,
                (true, false) => {
                    self.rest = self.rest.get(index + 1..).unwrap_or_default();
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
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }
}
