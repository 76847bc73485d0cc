//! Names and ids as distinct types, so that they cannot be confused.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// An RFC 1123 label: 1 to 63 of `a-z`, `0-9` and `-`, a letter or digit at both ends. It names an
/// SLO, a policy or a target in the API, on the pages, in the metrics and in the database.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name: use 1 to 63 of a-z, 0-9 and `-`, with a letter or digit at both ends"
)]
pub struct ParseNameError(String);

/// Returns the same id for the same text, wherever it is made.
pub fn id_named_after(text: &str) -> Uuid {
    let digest = Sha256::digest(text);
    let bytes = std::array::from_fn(|at| digest.get(at).copied().unwrap_or(0));
    Builder::from_random_bytes(bytes).into_uuid()
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        let is_label = bytes.len() <= 63
            && bytes.iter().all(inner)
            && outer(bytes.first())
            && outer(bytes.last());
        if is_label {
            Ok(Self(text.into()))
        } else {
            Err(ParseNameError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The row id of an SLO: assigned once per name and never reused, so an edit keeps history and
/// state.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SloId(pub i32);

/// The number of a set of definitions, increased by one with each set that is activated; for an
/// SLO, the number of the set that introduced its current declaration.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    JsonSchema,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub i32);

/// Sixteen bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// Eight bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

/// An id as lower-case hexadecimal digits, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Hex {
    digits: [u8; 32],
    length: usize,
}

impl Hex {
    fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [b'0'; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
            }
        }
        Self {
            digits,
            length: (bytes.len() * 2).min(32),
        }
    }

    pub fn as_str(&self) -> &str {
        let digits = self.digits.get(..self.length).unwrap_or_default();
        str::from_utf8(digits).unwrap_or_default()
    }
}

macro_rules! otlp_id {
    ($name:ident, $length:literal) => {
        impl $name {
            /// Returns the id; `None` unless it has the length that OTLP demands and is not all
            /// zero.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                let bytes: [u8; $length] = bytes.try_into().ok()?;
                (bytes != [0; $length]).then_some(Self(bytes))
            }

            /// Parses hexadecimal digits of either case.
            pub fn from_hex(text: &str) -> Option<Self> {
                let digits = text.as_bytes();
                if digits.len() != 2 * $length {
                    return None;
                }
                let mut bytes = [0; $length];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).ok()?;
                    if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                        return None;
                    }
                    *byte = u8::from_str_radix(pair, 16).ok()?;
                }
                Self::from_slice(&bytes)
            }

            pub fn to_hex(self) -> Hex {
                Hex::of(&self.0)
            }

            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let digits = 2 * $length;
                json_schema!({ "type": "string", "pattern": format!("^[0-9a-f]{{{digits}}}$") })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.to_hex().as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::from_hex(&text)
                    .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an id")))
            }
        }
    };
}

otlp_id!(TraceId, 16);
otlp_id!(SpanId, 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_rfc_1123_label() {
        for good in ["a", "deployments-on-time", "0", "a1-2b", &"x".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "é", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_read_in_either_case_and_never_all_zero() {
        let id = TraceId::from_hex("5B8EFFF798038103D269B633813FC60C").unwrap();
        assert_eq!(id.to_string(), "5b8efff798038103d269b633813fc60c");
        assert_eq!(TraceId::from_hex(&"0".repeat(32)), None);
        assert_eq!(TraceId::from_hex("+b8efff798038103d269b633813fc60c"), None);
        assert_eq!(SpanId::from_slice(&[1; 7]), None);
        assert_eq!(SpanId::from_slice(&[0; 8]), None);
    }
}
