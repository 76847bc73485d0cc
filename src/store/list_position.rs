//! Places in lists that are read in parts.

use uuid::Uuid;

use crate::domain::model::time::Timestamp;

/// The last entry of a part of a list that has the newest first, and those of one time by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPosition {
    pub at: Timestamp,
    pub id: Uuid,
}

impl ListPosition {
    /// Returns the position as one word, which [`parse`](Self::parse) reads.
    pub fn text(self) -> String {
        format!("{}.{}", self.at.as_micros(), self.id.simple())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (micros, id) = text.split_once('.')?;
        Some(Self {
            at: Timestamp::from_micros(micros.parse().ok()?),
            id: Uuid::try_parse(id).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_another_text_is_none() {
        let position = ListPosition {
            at: Timestamp::from_micros(1_795_328_309_123_456),
            id: Uuid::from_u128(7),
        };
        assert_eq!(ListPosition::parse(&position.text()), Some(position));
        for text in ["", "1", "1.", ".1", "x.00000000000000000000000000000007"] {
            assert_eq!(ListPosition::parse(text), None, "{text}");
        }
    }
}
