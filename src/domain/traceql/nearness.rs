//! Finds the comparison that keeps a span from matching a selector, with the actual values.

use regex::Regex;

use super::{
    Selector, SelectorContext, compile,
    condition::{self, Predicate},
    datum::Datum,
    parser,
    tree::{Comparison, Expr, Expression, FieldSource, Intrinsic, Literal, SelectorField},
};
use crate::domain::model::{
    span::{AttributeName, SpanKind, SpanStatus, SpanView},
    text::plain,
};

/// The limit of characters of a value that is shown.
const VALUE_CHARS: usize = 60;
/// Two texts with at least this similarity, in percent, may be meant to be the same.
const ALIKE: u8 = 85;
const SURELY_ALIKE: u8 = 100;
const SERVICE_NAME: &str = "service.name";

/// The comparisons that a selector joins with `&&`, each tested separately.
#[derive(Debug)]
pub struct Comparisons(Vec<SingleComparison>);

#[derive(Debug)]
struct SingleComparison {
    /// As written in the selector.
    text: String,
    condition: Predicate,
    /// The fields that it reads, with their text.
    fields: Vec<(String, SelectorField)>,
    /// The value that a field is compared with.
    literal: Option<Literal>,
    /// The required regular expression, for a part of the value.
    partial: Option<Regex>,
    /// True if it requires a value, false if it excludes one.
    demands: bool,
}

/// The comparison that keeps a span from matching, if all others hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NearMiss {
    /// As written in the selector: `kind = producer`.
    pub comparison: String,
    /// The actual value: `` `kind` is `client` ``.
    pub found: String,
    /// The similarity of the value to the required one, in percent, as after a typo or a change of
    /// name; 0 if it is not similar.
    pub likeness: u8,
}

/// The value of a field in one span.
struct FoundValue {
    text: String,
    likeness: u8,
}

impl Comparisons {
    pub fn of(selector: &Selector) -> Self {
        let text = selector.text();
        let Ok(root) = parser::parse(text) else {
            return Self(Vec::new());
        };
        let mut parts = Vec::new();
        split(&root, &mut parts);
        let compiled = parts.into_iter().filter_map(|part| {
            let mut fields = Vec::new();
            collect_fields(text, part, &mut fields);
            Some(SingleComparison {
                text: written(text, part),
                condition: compile::compile(text, part).ok()?,
                fields,
                literal: literal_of(part),
                partial: partial_of(part),
                demands: demands(part),
            })
        });
        Self(compiled.collect())
    }

    /// Returns the only comparison that fails for a span; `None` if the span matches, if several
    /// fail, or if only exclusions hold.
    ///
    /// A comparison with a value that `is_unknown` counts as holding.
    pub fn near_miss(
        &self,
        span: &dyn SpanView,
        is_unknown: &dyn Fn(FieldSource, &str) -> bool,
    ) -> Option<NearMiss> {
        let mut failed = self.0.iter().filter(|one| one.fails(span, is_unknown));
        let (first, None) = (failed.next()?, failed.next()) else {
            return None;
        };
        let mut others = self.0.iter().filter(|one| !std::ptr::eq(*one, first));
        let has_named_it = others.any(|one| one.demands && one.tells_spans_apart());
        let found = first.found(span);
        // A span with the required name but another kind is nearer than any with another name.
        let likeness = if has_named_it && !first.tells_spans_apart() {
            SURELY_ALIKE
        } else {
            found.likeness
        };
        (likeness > 0 || has_named_it).then(|| NearMiss {
            comparison: first.text.clone(),
            found: found.text,
            likeness,
        })
    }

    /// Returns whether the span may match although the selector does not hold for its known values:
    /// only comparisons with values that `is_unknown` names fail.
    pub fn may_match(
        &self,
        span: &dyn SpanView,
        is_unknown: &dyn Fn(FieldSource, &str) -> bool,
    ) -> bool {
        let mut all = self.0.iter();
        all.clone().any(|one| one.has_unknown(span, is_unknown))
            && !all.any(|one| one.fails(span, is_unknown))
    }

    /// Returns whether its result is the same for every span.
    pub fn is_constant(&self) -> bool {
        self.0.iter().all(|one| one.fields.is_empty())
    }

    /// Returns whether spans with the same service, name, kind and status may give different
    /// results.
    pub fn reads_values(&self) -> bool {
        let mut fields = self.0.iter().flat_map(|one| &one.fields);
        fields.any(|(_, field)| match field {
            SelectorField::Intrinsic(intrinsic) => !matches!(
                intrinsic,
                Intrinsic::Name | Intrinsic::Kind | Intrinsic::Status
            ),
            SelectorField::Attribute(name) => name.key != SERVICE_NAME,
            SelectorField::EventAttribute(_) | SelectorField::LinkAttribute(_) => true,
        })
    }
}

impl SingleComparison {
    fn fails(&self, span: &dyn SpanView, is_unknown: &dyn Fn(FieldSource, &str) -> bool) -> bool {
        !self.has_unknown(span, is_unknown)
            && !self.condition.holds(span, SelectorContext::default())
    }

    /// Returns whether it reads more than a kind or a status, which most spans share.
    fn tells_spans_apart(&self) -> bool {
        let mut fields = self.fields.iter();
        fields.any(|(_, field)| {
            let shared = [Intrinsic::Kind, Intrinsic::Status];
            !matches!(field, SelectorField::Intrinsic(intrinsic) if shared.contains(intrinsic))
        })
    }

    /// Returns whether it reads a value that the span has but that is not known.
    fn has_unknown(
        &self,
        span: &dyn SpanView,
        is_unknown: &dyn Fn(FieldSource, &str) -> bool,
    ) -> bool {
        self.fields.iter().any(|(_, field)| match field {
            SelectorField::Attribute(name) => {
                let is_there = !condition::read(span, field).is_nil();
                is_there && is_unknown(FieldSource::Span, &name.key)
            }
            SelectorField::EventAttribute(key) => is_unknown(FieldSource::Event, key),
            SelectorField::LinkAttribute(key) => is_unknown(FieldSource::Link, key),
            SelectorField::Intrinsic(_) => false,
        })
    }

    fn found(&self, span: &dyn SpanView) -> FoundValue {
        let values = self.fields.iter().map(|(text, field)| match field.place() {
            FieldSource::Span => self
                .found_in_part(text, field, span)
                .unwrap_or_else(|| found_value(text, field, self.literal.as_ref(), span)),
            FieldSource::Event => FoundValue::of("no event of the span has it"),
            FieldSource::Link => FoundValue::of("no link of the span has it"),
        });
        let values: Vec<FoundValue> = values.collect();
        FoundValue {
            likeness: values.iter().map(|value| value.likeness).max().unwrap_or(0),
            text: match values.as_slice() {
                [] => "it never holds".to_owned(),
                values => {
                    let texts: Vec<&str> = values.iter().map(|value| &*value.text).collect();
                    texts.join(", ")
                }
            },
        }
    }
}

impl SingleComparison {
    /// Returns the value if only a part of it matches the regular expression.
    fn found_in_part(
        &self,
        text: &str,
        field: &SelectorField,
        span: &dyn SpanView,
    ) -> Option<FoundValue> {
        let value = condition::read(span, field);
        let Datum::Text(own) = &value else {
            return None;
        };
        self.partial.as_ref()?.is_match(own).then(|| {
            FoundValue::alike(format!(
                "`{text}` is `{}`: a regular expression must match the whole value",
                shown(&value)
            ))
        })
    }
}

impl FoundValue {
    fn of(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            likeness: 0,
        }
    }

    fn alike(text: String) -> Self {
        Self {
            text,
            likeness: SURELY_ALIKE,
        }
    }
}

/// Returns the attribute of the span that a missing name probably means: the same key in another
/// scope, or one with a similar spelling.
pub fn similar_attribute(span: &dyn SpanView, name: &AttributeName) -> Option<AttributeName> {
    let mut best: Option<(usize, AttributeName)> = None;
    let wanted = folded(&name.key);
    span.each_attribute(&mut |scope, key, _| {
        let distance = if key == name.key {
            0
        } else {
            1 + strsim::damerau_levenshtein(&wanted, &folded(key))
        };
        let is_near = distance <= 1 + wanted.chars().count() / 5;
        if is_near && best.as_ref().is_none_or(|(known, _)| distance < *known) {
            let key = key.to_owned();
            best = Some((distance, AttributeName { scope, key }));
        }
    });
    best.map(|(_, attribute)| attribute)
}

fn found_value(
    text: &str,
    field: &SelectorField,
    literal: Option<&Literal>,
    span: &dyn SpanView,
) -> FoundValue {
    let value = condition::read(span, field);
    if let (Datum::Nil, SelectorField::Attribute(name)) = (&value, field) {
        return match similar_attribute(span, name) {
            Some(other) => FoundValue::alike(format!("`{text}` is absent, `{other}` is there")),
            None => FoundValue::of(format!("`{text}` is absent")),
        };
    }
    let shown = shown(&value);
    match (&value, literal) {
        (Datum::Text(own), Some(Literal::Int(_) | Literal::Float(_) | Literal::Duration(_)))
            if own.trim().parse::<f64>().is_ok() =>
        {
            FoundValue::alike(format!(
                "`{text}` is the string `{shown}`, compared with a number"
            ))
        }
        (Datum::Int(_) | Datum::Float(_), Some(Literal::Text(wanted)))
            if wanted.trim().parse::<f64>().is_ok() =>
        {
            FoundValue::alike(format!(
                "`{text}` is the number `{shown}`, compared with a string"
            ))
        }
        (Datum::Text(own), Some(Literal::Bool(_))) if matches!(&**own, "true" | "false") => {
            FoundValue::alike(format!(
                "`{text}` is the string `{shown}`, compared with a boolean"
            ))
        }
        (Datum::Text(own), Some(Literal::Text(wanted))) => FoundValue {
            text: format!("`{text}` is `{shown}`"),
            likeness: likeness(own, wanted),
        },
        _ => FoundValue::of(format!("`{text}` is `{shown}`")),
    }
}

/// Returns the similarity of two texts, in percent; 0 below [`ALIKE`].
fn likeness(left: &str, right: &str) -> u8 {
    let share = strsim::jaro_winkler(&left.to_lowercase(), &right.to_lowercase());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 100"
    )]
    let percent = (share * 100.0) as u8;
    if percent >= ALIKE { percent } else { 0 }
}

/// Formats a value in a selector's syntax.
fn shown(value: &Datum<'_>) -> String {
    match value {
        Datum::Nil => "nil".to_owned(),
        Datum::Bool(value) => value.to_string(),
        Datum::Int(value) => value.to_string(),
        Datum::Float(value) => value.to_string(),
        Datum::Duration(nanos) => duration(*nanos),
        Datum::Status(status) => status_word(*status).to_owned(),
        Datum::Kind(kind) => kind_word(*kind).to_owned(),
        Datum::Text(_) | Datum::Id(_) => quoted(value.as_text().unwrap_or_default()),
        Datum::Array(elements) => {
            let elements: Vec<String> = elements.iter().take(4).map(shown).collect();
            format!("[{}]", elements.join(", "))
        }
    }
}

/// Puts text in backticks, which mark code.
fn quoted(text: &str) -> String {
    format!("\"{}\"", plain(text, VALUE_CHARS).replace('`', "'"))
}

fn duration(nanos: i64) -> String {
    match nanos / 1_000_000 {
        0 => format!("{}us", nanos / 1_000),
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

const fn status_word(status: SpanStatus) -> &'static str {
    match status {
        SpanStatus::Unset => "unset",
        SpanStatus::Ok => "ok",
        SpanStatus::Error => "error",
    }
}

/// Returns the word for a span kind in selectors.
pub const fn kind_word(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

/// Returns letters and digits only, since keys differ most in `_`, `.` and case.
fn folded(key: &str) -> String {
    key.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn split<'e>(node: &'e Expression, parts: &mut Vec<&'e Expression>) {
    match &node.expr {
        Expr::All(inner) => inner.iter().for_each(|part| split(part, parts)),
        // True for every span.
        Expr::Literal(Literal::Bool(true)) => {}
        Expr::Literal(_)
        | Expr::Field(_)
        | Expr::Not(_)
        | Expr::Negate(_)
        | Expr::Any(_)
        | Expr::Compare(..)
        | Expr::Arithmetic(..) => parts.push(node),
    }
}

fn collect_fields(text: &str, node: &Expression, fields: &mut Vec<(String, SelectorField)>) {
    match &node.expr {
        Expr::Literal(_) => {}
        Expr::Field(field) => {
            if !fields.iter().any(|(_, known)| known == field) {
                fields.push((written(text, node), field.clone()));
            }
        }
        Expr::Not(inner) | Expr::Negate(inner) => collect_fields(text, inner, fields),
        Expr::All(parts) | Expr::Any(parts) => {
            for part in parts {
                collect_fields(text, part, fields);
            }
        }
        Expr::Compare(_, left, right) | Expr::Arithmetic(_, left, right) => {
            collect_fields(text, left, fields);
            collect_fields(text, right, fields);
        }
    }
}

fn written(text: &str, node: &Expression) -> String {
    let text = text.get(node.span.clone()).unwrap_or_default();
    text.trim().replace('`', "'")
}

fn partial_of(node: &Expression) -> Option<Regex> {
    let Expr::Compare(Comparison::Matches, _, right) = &node.expr else {
        return None;
    };
    let Expr::Literal(Literal::Text(pattern)) = &right.expr else {
        return None;
    };
    compile::partial(pattern)
}

fn literal_of(node: &Expression) -> Option<Literal> {
    if let Expr::Field(_) = node.expr {
        return Some(Literal::Bool(true));
    }
    let Expr::Compare(_, left, right) = &node.expr else {
        return None;
    };
    [left, right].into_iter().find_map(|side| {
        if let Expr::Literal(literal) = &side.expr {
            Some(literal.clone())
        } else {
            None
        }
    })
}

fn demands(node: &Expression) -> bool {
    let is_nil = |side: &Expression| side.expr == Expr::Literal(Literal::Nil);
    match &node.expr {
        Expr::Compare(Comparison::NotEqual, left, right) => is_nil(left) || is_nil(right),
        Expr::Compare(Comparison::Equal, left, right) => !is_nil(left) && !is_nil(right),
        Expr::Compare(comparison, ..) => *comparison != Comparison::NotMatches,
        Expr::Any(parts) | Expr::All(parts) => parts.iter().all(demands),
        Expr::Field(_) => true,
        Expr::Literal(_) | Expr::Not(_) | Expr::Negate(_) | Expr::Arithmetic(..) => false,
    }
}
