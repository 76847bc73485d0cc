//! Values that cannot be read as they were sent. None of them costs its span: text is repaired, and
//! what is not text is absent. They are counted, so that their senders can be found.

use std::cell::Cell;

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadableValue {
    /// Bytes that are not UTF-8, or half of a surrogate pair in JSON: U+FFFD takes their place.
    NotUtf8,
    /// A number that no 64 bits hold, or no number at all.
    NotANumber,
    /// In more arrays and objects than are read.
    TooDeep,
    /// Of a wrong type, or cut off.
    Malformed,
}

impl UnreadableValue {
    pub const ALL: [Self; 4] = [
        Self::NotUtf8,
        Self::NotANumber,
        Self::TooDeep,
        Self::Malformed,
    ];

    /// Its label in metrics.
    pub const fn as_label(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotANumber => "not_a_number",
            Self::TooDeep => "too_deep",
            Self::Malformed => "malformed",
        }
    }
}

/// What is wrong with values of one span, resource or scope, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct ValueFaults(Cell<[bool; UnreadableValue::ALL.len()]>);

impl ValueFaults {
    pub(super) fn note(&self, fault: UnreadableValue) {
        let mut faults = self.0.get();
        if let Some(is_noted) = faults.get_mut(fault as usize) {
            *is_noted = true;
        }
        self.0.set(faults);
    }

    fn has(&self, fault: UnreadableValue) -> bool {
        self.0.get().get(fault as usize) == Some(&true)
    }
}

/// Spans with such values, by what is wrong with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpansWithFaults([u64; UnreadableValue::ALL.len()]);

impl SpansWithFaults {
    /// Counts one span, whose values stand in these places.
    pub(super) fn count(&mut self, places: [&ValueFaults; 3]) {
        // Nearly always there is none.
        let is_clean = |place: &&ValueFaults| !place.0.get().contains(&true);
        if places.iter().all(is_clean) {
            return;
        }
        for (count, fault) in self.0.iter_mut().zip(UnreadableValue::ALL) {
            *count += u64::from(places.iter().any(|place| place.has(fault)));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (UnreadableValue, u64)> {
        UnreadableValue::ALL.into_iter().zip(self.0)
    }
}
