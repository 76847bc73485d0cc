//! Finds selectors by the key of an attribute that they require.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use crate::domain::{
    model::span::{AttributeName, SpanView},
    traceql::{
        condition::{Operand, Predicate, ValueTest},
        tree::SelectorField,
    },
};

#[derive(Clone, Debug)]
pub(crate) struct KeyIndex<T> {
    by_key: HashMap<Box<[u8]>, Vec<Needing<T>>, RandomState>,
}

/// The selectors that require one attribute.
#[derive(Clone, Debug)]
struct Needing<T> {
    attribute: AttributeName,
    selectors: Vec<T>,
}

impl<T> Default for KeyIndex<T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::default(),
        }
    }
}

impl<T: Copy> KeyIndex<T> {
    pub(crate) fn insert(&mut self, attribute: AttributeName, value: T) {
        let key = attribute.key.as_bytes();
        let needing = self.by_key.entry(key.into()).or_default();
        match needing
            .iter_mut()
            .find(|known| known.attribute == attribute)
        {
            Some(known) => known.selectors.push(value),
            None => needing.push(Needing {
                attribute,
                selectors: vec![value],
            }),
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let needing = self.by_key.values().flatten();
        needing.map(|needing| needing.attribute.key.as_str())
    }

    /// Calls `found` once for every selector whose attribute `span` has.
    pub(crate) fn visit(&self, span: &dyn SpanView, found: &mut impl FnMut(T)) {
        if self.by_key.is_empty() {
            return;
        }
        // By key, since a key may occur in a span twice, or in its resource too.
        let mut hits = BTreeMap::new();
        span.each_asked_key(&mut |key| {
            if let Some((key, needing)) = self.by_key.get_key_value(key) {
                hits.insert(key, needing);
            }
        });
        for needing in hits.into_values().flatten() {
            let AttributeName { scope, key } = &needing.attribute;
            if span.attribute(*scope, key).is_some() {
                needing.selectors.iter().for_each(|value| found(*value));
            }
        }
    }
}

/// Returns an attribute without which `condition` cannot hold, if there is one: a comparison with a
/// missing value is false.
pub(crate) fn needed(condition: &Predicate) -> Option<&AttributeName> {
    match condition {
        Predicate::All(parts) => parts.iter().find_map(needed),
        Predicate::Any(parts) => {
            let (first, rest) = parts.split_first()?;
            let attribute = needed(first)?;
            let is_shared = rest.iter().all(|part| needed(part) == Some(attribute));
            is_shared.then_some(attribute)
        }
        Predicate::Bound(_, inner) => needed(inner),
        Predicate::Present(SelectorField::Attribute(name)) => Some(name),
        Predicate::Constant(_)
        | Predicate::Not(_)
        | Predicate::Missing(_)
        | Predicate::Present(_) => None,
        Predicate::Test(ValueTest::Compare(left, _, right)) => own(left).or_else(|| own(right)),
        Predicate::Test(ValueTest::Pattern { operand, .. }) => own(operand),
    }
}

fn own(operand: &Operand) -> Option<&AttributeName> {
    if let Operand::Field(SelectorField::Attribute(name)) = operand {
        Some(name)
    } else {
        None
    }
}
