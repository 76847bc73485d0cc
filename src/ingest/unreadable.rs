//! Values that cannot be read as they were sent. Their span is kept: text is repaired, and other
//! values are absent. They are counted, so that their senders can be found.

use std::cell::Cell;

/// The fault of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadableValue {
    /// Bytes that are not UTF-8, or half of a surrogate pair in JSON: U+FFFD replaces them.
    NotUtf8,
    /// A number that exceeds 64 bits, or is not a number at all.
    NotANumber,
    /// Nested in more arrays and objects than are read.
    TooDeep,
    /// Of a wrong type, or truncated.
    Malformed,
    /// An attribute of a resource or scope after the first [`MAX_SHARED_ATTRIBUTES`].
    TooMany,
}

/// The number of attributes of a resource, and of a scope, that are read. Each span looks through
/// them, so that with more of them the cost of a body would grow with the square of its length.
pub(super) const MAX_SHARED_ATTRIBUTES: usize = 512;

impl UnreadableValue {
    pub const ALL: [Self; 5] = [
        Self::NotUtf8,
        Self::NotANumber,
        Self::TooDeep,
        Self::Malformed,
        Self::TooMany,
    ];

    /// Returns its label in metrics.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotANumber => "not_a_number",
            Self::TooDeep => "too_deep",
            Self::Malformed => "malformed",
            Self::TooMany => "too_many_attributes",
        }
    }
}

/// The faults of values of one span, resource or scope, as far as the values were read: a bit for
/// each.
#[derive(Debug, Default)]
pub(super) struct ValueFaults(Cell<u8>);

impl ValueFaults {
    pub(super) fn note(&self, fault: UnreadableValue) {
        self.0.set(self.0.get() | 1 << fault as u8);
    }

    fn has(&self, fault: UnreadableValue) -> bool {
        self.0.get() & 1 << fault as u8 != 0
    }
}

/// Numbers of spans with such values, by fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpansWithFaults([u64; UnreadableValue::ALL.len()]);

impl SpansWithFaults {
    /// Adds those of another request.
    pub(super) fn add(&mut self, others: Self) {
        for (count, other) in self.0.iter_mut().zip(others.0) {
            *count += other;
        }
    }

    /// Counts one span, given the faults of its span, resource and scope.
    pub(super) fn count(&mut self, faults_of_parts: [&ValueFaults; 3]) {
        // Nearly always there are no faults.
        if faults_of_parts.iter().all(|part| part.0.get() == 0) {
            return;
        }
        for (count, fault) in self.0.iter_mut().zip(UnreadableValue::ALL) {
            *count += u64::from(faults_of_parts.iter().any(|part| part.has(fault)));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (UnreadableValue, u64)> {
        UnreadableValue::ALL.into_iter().zip(self.0)
    }
}
