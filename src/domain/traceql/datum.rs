//! The values in the test of a span: of fields, literals and arithmetic.

use std::{borrow::Cow, cmp::Ordering};

use super::tree::{Arithmetic, Comparison, Literal};
use crate::domain::model::{
    ids::{Hex, SpanId, TraceId},
    span::{SpanKind, SpanStatus, Value},
};

#[derive(Clone, Debug)]
pub(super) enum Datum<'a> {
    /// Missing, or the result of arithmetic with unsuitable values.
    Nil,
    Text(Cow<'a, str>),
    Id(Hex),
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    Status(SpanStatus),
    Kind(SpanKind),
    /// An array of several values.
    Array(Vec<Datum<'a>>),
}

impl From<TraceId> for Datum<'_> {
    fn from(id: TraceId) -> Self {
        Self::Id(id.to_hex())
    }
}

impl From<SpanId> for Datum<'_> {
    fn from(id: SpanId) -> Self {
        Self::Id(id.to_hex())
    }
}

impl<'a> From<Value<'a>> for Datum<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => Self::Int(value),
            Value::Double(value) => Self::Float(value),
            Value::Array(elements) => Self::Array(elements.into_iter().map(Self::from).collect()),
        }
    }
}

impl<'a> From<&'a Literal> for Datum<'a> {
    fn from(literal: &'a Literal) -> Self {
        match literal {
            Literal::Text(text) => Self::Text(text.into()),
            Literal::Int(value) => Self::Int(*value),
            Literal::Float(value) => Self::Float(*value),
            Literal::Duration(nanos) => Self::Duration(*nanos),
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Nil => Self::Nil,
            Literal::Status(status) => Self::Status(*status),
            Literal::Kind(kind) => Self::Kind(*kind),
        }
    }
}

impl Datum<'_> {
    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// Returns the elements of an array, or the single value.
    pub(super) fn elements(&self) -> &[Self] {
        if let Self::Array(elements) = self {
            return elements;
        }
        std::slice::from_ref(self)
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else if let Self::Id(hex) = self {
            Some(hex.as_str())
        } else {
            None
        }
    }

    fn as_integer(&self) -> Option<i64> {
        if let Self::Int(value) | Self::Duration(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "as Tempo: mixed numbers compare as floats"
    )]
    fn as_float(&self) -> Option<f64> {
        if let Self::Float(value) = self {
            Some(*value)
        } else {
            self.as_integer().map(|value| value as f64)
        }
    }

    /// Returns whether `self comparison other` holds; never for different types or if a side is
    /// missing. An array compares as any of its elements does, and is unequal to a value that none
    /// of them equals. Two arrays do not compare.
    pub(super) fn compares(&self, comparison: Comparison, other: &Self) -> bool {
        if let (Self::Array(_), Self::Array(_)) = (self, other) {
            return false;
        }
        match comparison {
            Comparison::Equal => self.equals_any(other) == Some(true),
            Comparison::NotEqual => self.equals_any(other) == Some(false),
            Comparison::Less => self.is_any(other, Ordering::is_lt),
            Comparison::LessOrEqual => self.is_any(other, Ordering::is_le),
            Comparison::Greater => self.is_any(other, Ordering::is_gt),
            Comparison::GreaterOrEqual => self.is_any(other, Ordering::is_ge),
            // Patterns are compiled and matched elsewhere.
            Comparison::Matches | Comparison::NotMatches => false,
        }
    }

    /// Returns `None` if no values of both sides can be compared.
    fn equals_any(&self, other: &Self) -> Option<bool> {
        self.pairs(other)
            .filter_map(|(left, right)| left.equals(right))
            .reduce(|any, equal| any || equal)
    }

    fn is_any(&self, other: &Self, wanted: fn(Ordering) -> bool) -> bool {
        self.pairs(other)
            .any(|(left, right)| left.order(right).is_some_and(wanted))
    }

    fn pairs<'s>(&'s self, other: &'s Self) -> impl Iterator<Item = (&'s Self, &'s Self)> {
        let left = self.elements().iter();
        left.flat_map(|left| other.elements().iter().map(move |right| (left, right)))
    }

    fn equals(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => Some(left == right),
            (Self::Status(left), Self::Status(right)) => Some(left == right),
            (Self::Kind(left), Self::Kind(right)) => Some(left == right),
            // Tempo shows ids of traces without their leading zeros.
            (Self::Id(id), Self::Text(text)) | (Self::Text(text), Self::Id(id)) => {
                let digits = |text: &str| text.trim_start_matches('0').to_ascii_lowercase();
                Some(digits(id.as_str()) == digits(text))
            }
            _ => self.order(other).map(Ordering::is_eq),
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        if let (Some(left), Some(right)) = (self.as_text(), other.as_text()) {
            return Some(left.cmp(right));
        }
        if let (Some(left), Some(right)) = (self.as_integer(), other.as_integer()) {
            return Some(left.cmp(&right));
        }
        self.as_float()?.partial_cmp(&other.as_float()?)
    }

    pub(super) fn negated(self) -> Self {
        let zero = if let Self::Duration(_) = self {
            Self::Duration(0)
        } else {
            Self::Int(0)
        };
        zero.reckon(Arithmetic::Subtract, &self)
    }

    /// Computes a result. Integers stay integers as long as they fit; so do sums of durations.
    /// Everything else is a float; NaN and integer divisions by zero are nil.
    pub(super) fn reckon(&self, arithmetic: Arithmetic, other: &Self) -> Self {
        self.reckon_exactly(arithmetic, other)
            .or_else(|| self.reckon_floats(arithmetic, other))
            .unwrap_or(Self::Nil)
    }

    fn reckon_exactly(&self, arithmetic: Arithmetic, other: &Self) -> Option<Self> {
        let (left, right) = (self.as_integer()?, other.as_integer()?);
        let are_plain = matches!((self, other), (Self::Int(_), Self::Int(_)));
        let value = match arithmetic {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide | Arithmetic::Remainder if right == 0 => return Some(Self::Nil),
            Arithmetic::Remainder => left.checked_rem(right),
            Arithmetic::Divide if are_plain => left.checked_div(right),
            Arithmetic::Power if are_plain => left.checked_pow(u32::try_from(right).ok()?),
            Arithmetic::Divide | Arithmetic::Power => None,
        }?;
        Some(if are_plain {
            Self::Int(value)
        } else {
            Self::Duration(value)
        })
    }

    fn reckon_floats(&self, arithmetic: Arithmetic, other: &Self) -> Option<Self> {
        let (left, right) = (self.as_float()?, other.as_float()?);
        Some(Self::Float(match arithmetic {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            Arithmetic::Remainder => left % right,
            Arithmetic::Power => left.powf(right),
        }))
    }
}
