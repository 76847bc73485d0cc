//! Finds, among thousands of selectors, the few that a span could match.
//!
//! Most selectors require some equality, such as `name = "deploy"`; spans with another name need
//! not be tested. The required values of the [`DIMENSIONS`] are derived from each selector's
//! condition, and the selectors are stored in a tree of hash tables, most selective dimension
//! first. A selector without such values usually requires an attribute, such as `order.state`; it
//! is found by that attribute's key. So a look-up of a span computes a few hashes, independent of
//! the number of selectors, and allocates nothing for a span that matches none.

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashMap},
};

use foldhash::fast::RandomState;

use super::{
    Selector,
    condition::{Operand, Predicate, ValueTest},
    index::keys::{KeyIndex, needed},
    nearness::kind_word,
    tree::{Comparison, Intrinsic, Literal, SelectorField},
};
use crate::domain::model::span::{AttributeScope, SpanView, Value};

/// The limit of places of one selector in the tree; above it, fewer dimensions are used.
const MAX_PLACES: usize = 1024;

/// A field for which selectors require equalities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Name,
    Attribute(AttributeScope, &'static str),
    Kind,
}

/// Most selective first. The kind is last, since many spans share it.
const DIMENSIONS: [Dimension; 6] = [
    Dimension::Name,
    Dimension::Attribute(AttributeScope::Span, "messaging.destination.name"),
    Dimension::Attribute(AttributeScope::Any, "messaging.destination.name"),
    Dimension::Attribute(AttributeScope::Resource, "service.name"),
    Dimension::Attribute(AttributeScope::Any, "service.name"),
    Dimension::Kind,
];

/// Many selectors, each with a value of the caller's, found by the values that they require of a
/// span.
#[derive(Clone, Debug)]
pub struct SelectorIndex<T> {
    root: Level<T>,
    keys: KeyIndex<T>,
}

impl<T> Default for SelectorIndex<T> {
    fn default() -> Self {
        Self {
            root: Level::default(),
            keys: KeyIndex::default(),
        }
    }
}

impl<T: Copy + PartialEq> SelectorIndex<T> {
    pub fn build<'a>(entries: impl IntoIterator<Item = (&'a Selector, T)>) -> Self {
        let mut index = Self::default();
        for (selector, value) in entries {
            let demands = demands(&selector.condition);
            let tells = |(at, _): &Demand| DIMENSIONS.get(*at) != Some(&Dimension::Kind);
            match needed(&selector.condition) {
                Some(attribute) if !demands.iter().any(tells) => {
                    index.keys.insert(attribute.clone(), value);
                }
                _ => index.root.insert(&demands, value),
            }
        }
        index
    }

    /// Returns the keys of the attributes that [`candidates`](Self::candidates) asks every span for.
    pub fn asked_keys(&self) -> impl Iterator<Item = &str> {
        let of_dimensions = DIMENSIONS
            .into_iter()
            .filter_map(|dimension| match dimension {
                Dimension::Attribute(_, key) => Some(key),
                Dimension::Name | Dimension::Kind => None,
            });
        of_dimensions.chain(self.keys.keys())
    }

    /// Calls `found` for every selector that could match `span`: none that matches is left out, but
    /// some may not match. No selector is found twice.
    pub fn candidates(&self, span: &dyn SpanView, mut found: impl FnMut(T)) {
        let answers = Answers {
            span,
            known: [const { OnceCell::new() }; DIMENSIONS.len()],
        };
        self.root.visit(&answers, &mut found);
        self.keys.visit(span, &mut found);
    }
}

/// The values that a selector allows in one dimension, by its index in [`DIMENSIONS`].
type Demand = (usize, BTreeSet<String>);

#[derive(Clone, Debug)]
struct Level<T> {
    /// Selectors without further required values.
    here: Vec<T>,
    /// Selectors with a required value, by dimension: few enough for a linear scan.
    tables: Vec<(usize, Table<T>)>,
}

/// By the value of one dimension.
type Table<T> = HashMap<Box<str>, Level<T>, RandomState>;

impl<T> Default for Level<T> {
    fn default() -> Self {
        Self {
            here: Vec::new(),
            tables: Vec::new(),
        }
    }
}

impl<T: Copy + PartialEq> Level<T> {
    fn insert(&mut self, demands: &[Demand], value: T) {
        let Some(((dimension, admitted), rest)) = demands.split_first() else {
            self.here.push(value);
            return;
        };
        let place = self.tables.iter().position(|(at, _)| at == dimension);
        let place = place.unwrap_or_else(|| {
            self.tables.push((*dimension, HashMap::default()));
            self.tables.len() - 1
        });
        let Some((_, table)) = self.tables.get_mut(place) else {
            return;
        };
        for text in admitted {
            let level = table.entry(text.as_str().into()).or_default();
            level.insert(rest, value);
        }
    }

    fn visit(&self, answers: &Answers<'_>, found: &mut dyn FnMut(T)) {
        self.here.iter().for_each(|value| found(*value));
        for (dimension, table) in &self.tables {
            let Some(value) = answers.of(*dimension) else {
                continue;
            };
            if let Value::Array(elements) = value {
                visit_each(table, elements, answers, found);
            } else if let Some(level) = text(value).and_then(|text| table.get(text)) {
                level.visit(answers, found);
            }
        }
    }
}

/// Calls `found` for the entries of `table` for any element of an array, each once.
fn visit_each<T: Copy + PartialEq>(
    table: &Table<T>,
    elements: &[Value<'_>],
    answers: &Answers<'_>,
    found: &mut dyn FnMut(T),
) {
    let mut each = Vec::new();
    for level in elements.iter().filter_map(|value| table.get(text(value)?)) {
        level.visit(answers, &mut |value| {
            if !each.contains(&value) {
                each.push(value);
            }
        });
    }
    each.into_iter().for_each(found);
}

fn text<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    if let Value::String(text) = value {
        return Some(text);
    }
    None
}

/// The values of a span in each dimension, computed once and only if needed.
struct Answers<'a> {
    span: &'a dyn SpanView,
    known: [OnceCell<Option<Value<'a>>>; DIMENSIONS.len()],
}

impl<'a> Answers<'a> {
    fn of(&self, dimension: usize) -> Option<&Value<'a>> {
        let known = self.known.get(dimension)?;
        known
            .get_or_init(|| DIMENSIONS.get(dimension)?.read(self.span))
            .as_ref()
    }
}

impl Dimension {
    fn read(self, span: &dyn SpanView) -> Option<Value<'_>> {
        match self {
            Self::Name => Some(Value::String(span.name().into())),
            Self::Kind => Some(Value::String(kind_word(span.kind()).into())),
            Self::Attribute(scope, key) => span.attribute(scope, key),
        }
    }

    /// Returns the values without which two conditions cannot both hold.
    fn both(self, left: BTreeSet<String>, right: BTreeSet<String>) -> BTreeSet<String> {
        match self {
            Self::Name | Self::Kind => left.intersection(&right).cloned().collect(),
            // Different elements of one array may satisfy them: either is necessary.
            Self::Attribute(..) if left.len() <= right.len() => left,
            Self::Attribute(..) => right,
        }
    }

    fn is_read_by(self, field: &SelectorField) -> bool {
        match (self, field) {
            (Self::Name, SelectorField::Intrinsic(Intrinsic::Name))
            | (Self::Kind, SelectorField::Intrinsic(Intrinsic::Kind)) => true,
            (Self::Attribute(scope, key), SelectorField::Attribute(name)) => {
                name.scope == scope && name.key == key
            }
            _ => false,
        }
    }
}

/// Returns the required values of `condition`, in the order of [`DIMENSIONS`].
fn demands(condition: &Predicate) -> Vec<Demand> {
    let mut places = 1;
    let mut demands = Vec::new();
    for (at, dimension) in DIMENSIONS.into_iter().enumerate() {
        let Some(admitted) = admitted(condition, dimension) else {
            continue;
        };
        if admitted.len() * places <= MAX_PLACES {
            places *= admitted.len();
            demands.push((at, admitted));
        }
    }
    demands
}

/// Returns the values without which `condition` cannot hold; `None` if it could hold with any.
fn admitted(condition: &Predicate, dimension: Dimension) -> Option<BTreeSet<String>> {
    match condition {
        Predicate::Constant(true)
        | Predicate::Not(_)
        | Predicate::Missing(_)
        | Predicate::Present(_) => None,
        Predicate::Bound(_, inner) => admitted(inner, dimension),
        Predicate::Constant(false) => Some(BTreeSet::new()),
        Predicate::All(parts) => parts
            .iter()
            .filter_map(|part| admitted(part, dimension))
            .reduce(|left, right| dimension.both(left, right)),
        Predicate::Any(parts) => parts.iter().try_fold(BTreeSet::new(), |mut all, part| {
            all.append(&mut admitted(part, dimension)?);
            Some(all)
        }),
        Predicate::Test(test) => equality(test, dimension).map(|text| BTreeSet::from([text])),
    }
}

/// Returns the value that `test` requires of `dimension`, if it is an equality.
fn equality(test: &ValueTest, dimension: Dimension) -> Option<String> {
    let ValueTest::Compare(left, Comparison::Equal, right) = test else {
        return None;
    };
    let ((Operand::Field(field), Operand::Literal(literal))
    | (Operand::Literal(literal), Operand::Field(field))) = (left, right)
    else {
        return None;
    };
    if !dimension.is_read_by(field) {
        return None;
    }
    if let Literal::Text(text) = literal {
        Some(text.clone())
    } else if let Literal::Kind(kind) = literal {
        Some(kind_word(*kind).to_owned())
    } else {
        None
    }
}

pub(super) mod key_filter;
mod keys;
mod overlap;
