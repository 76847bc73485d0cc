//! Domain values as columns, in both directions.

use std::{str::FromStr as _, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{
    Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef},
};

use crate::domain::{
    model::{ids::Name, time::Timestamp},
    notify::delivery::DeliveryState,
};

/// Returns a length as it is stored: a bigint of microseconds.
pub(in crate::store) fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// Stored as `timestamptz`.
impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        <DateTime<Utc> as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.to_chrono().encode_by_ref(buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        DateTime::<Utc>::decode(value).map(Self::from)
    }
}

/// A value that is stored as a word in a column of type `text`.
trait TextColumn: Sized {
    fn word(&self) -> &str;

    /// Parses the word. An error means that another version of the service wrote it.
    fn parse_word(word: &str) -> Result<Self, BoxDynError>;
}

macro_rules! text_column {
    ($type:ty) => {
        impl Type<Postgres> for $type {
            fn type_info() -> PgTypeInfo {
                <str as Type<Postgres>>::type_info()
            }

            fn compatible(info: &PgTypeInfo) -> bool {
                <str as Type<Postgres>>::compatible(info)
            }
        }

        impl PgHasArrayType for $type {
            fn array_type_info() -> PgTypeInfo {
                <String as PgHasArrayType>::array_type_info()
            }
        }

        impl Encode<'_, Postgres> for $type {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                self.word().encode_by_ref(buffer)
            }
        }

        impl<'r> Decode<'r, Postgres> for $type {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                Self::parse_word(<&str as Decode<'r, Postgres>>::decode(value)?)
            }
        }
    };
}

text_column!(Name);
text_column!(DeliveryState);

impl TextColumn for Name {
    fn word(&self) -> &str {
        self.as_str()
    }

    fn parse_word(word: &str) -> Result<Self, BoxDynError> {
        Ok(Self::from_str(word)?)
    }
}

impl TextColumn for DeliveryState {
    fn word(&self) -> &str {
        self.as_str()
    }

    fn parse_word(word: &str) -> Result<Self, BoxDynError> {
        Self::parse(word).ok_or_else(|| format!("`{word}` is no state of a delivery").into())
    }
}
