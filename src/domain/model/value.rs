//! Values of attributes.

use std::borrow::Cow;

/// The limit of elements of an array that are read. No instrumentation writes more, and it bounds
/// the cost of one attribute, whatever is sent.
pub const MAX_ELEMENTS: usize = 1_024;

/// The value of an attribute as far as it can be compared. Bytes, key-value lists and empty values
/// cannot: such attributes are treated as missing, as in Tempo.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    String(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// At least two different elements, none of them an array.
    Array(Vec<Value<'a>>),
}

impl Value<'_> {
    /// Returns the value of an array. An array of one element, or of equal ones, becomes that
    /// element, since captured headers are arrays by convention and usually hold one. An array
    /// without elements that can be compared has no value.
    pub fn of_elements(elements: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let elements = elements.into_iter().take(MAX_ELEMENTS).flatten();
        let mut scalars: Vec<_> = elements
            .filter(|element| !matches!(element, Self::Array(_)))
            .collect();
        let first = scalars.first()?;
        if scalars.iter().all(|element| element == first) {
            scalars.truncate(1);
            return scalars.pop();
        }
        Some(Self::Array(scalars))
    }

    /// Returns the elements of an array, or the single value.
    pub fn elements(&self) -> &[Self] {
        if let Self::Array(elements) = self {
            return elements;
        }
        std::slice::from_ref(self)
    }
}

/// The owned form of an optional [`Value`].
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
    String(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<OwnedValue>),
    /// Bytes, key-value lists, and no value at all.
    Other,
}

impl OwnedValue {
    pub fn as_value(&self) -> Option<Value<'_>> {
        match self {
            Self::String(text) => Some(Value::String(text.into())),
            Self::Bool(value) => Some(Value::Bool(*value)),
            Self::Int(value) => Some(Value::Int(*value)),
            Self::Double(value) => Some(Value::Double(*value)),
            Self::Array(elements) => Value::of_elements(elements.iter().map(Self::as_scalar)),
            Self::Other => None,
        }
    }

    /// Returns the value unless it is an array: arrays within arrays have no value.
    fn as_scalar(&self) -> Option<Value<'_>> {
        if let Self::Array(_) = self {
            return None;
        }
        self.as_value()
    }
}

impl From<&str> for OwnedValue {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<i64> for OwnedValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for OwnedValue {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<bool> for OwnedValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<T: Into<Self>> From<Vec<T>> for OwnedValue {
    fn from(elements: Vec<T>) -> Self {
        Self::Array(elements.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_of_one_is_its_element_and_an_empty_one_is_nothing() {
        assert_eq!(OwnedValue::from(vec![7]).as_value(), Some(Value::Int(7)));
        let same = OwnedValue::from(vec!["a", "a"]);
        assert_eq!(same.as_value(), Some(Value::String("a".into())));
        assert_eq!(OwnedValue::Array(Vec::new()).as_value(), None);
        assert_eq!(
            OwnedValue::from(vec![1, 2]).as_value(),
            Some(Value::Array(vec![Value::Int(1), Value::Int(2)]))
        );
    }

    #[test]
    fn elements_that_cannot_be_compared_are_passed_over() {
        let nested = OwnedValue::from(vec![1, 2]);
        let mixed = OwnedValue::Array(vec![OwnedValue::Other, nested.clone(), "a".into()]);
        assert_eq!(mixed.as_value(), Some(Value::String("a".into())));
        let without = OwnedValue::Array(vec![OwnedValue::Other, nested]);
        assert_eq!(without.as_value(), None);
    }

    #[test]
    fn only_the_first_elements_of_a_long_array_are_looked_at() {
        let long = OwnedValue::from((0..10_000_i64).collect::<Vec<_>>());
        assert_eq!(long.as_value().unwrap().elements().len(), MAX_ELEMENTS);
    }
}
