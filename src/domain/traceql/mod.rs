//! TraceQL spanset filters: text to tree to compiled matcher, and the index that dispatches many.
//!
//! A selector is what can be decided from one span: `lexer`, `literal` and `parser` make a `tree` of
//! its text, `check` finds the type errors that can be seen in it, `compile` turns it into the
//! `condition` that spans are tested with, and [`SelectorIndex`] finds the few selectors that a
//! span could match at all.
//!
//! It means what it means in Grafana Tempo, so that a filter tried there can be pasted here:
//!
//! * `&&` and `||` bind equally and group from the left: `a || b && c` is `(a || b) && c`.
//! * A comparison with a missing attribute is false, whatever the operator, `!=` and `!~` included;
//!   only `= nil` holds. `!(...)` turns a false comparison around, missing attribute or not:
//!   `{ span.x != "a" }` wants an `x` that is not `a`, `{ !(span.x = "a") }` also takes spans without `x`.
//! * `{ span.flag }` is `{ span.flag = true }` and `{ !span.flag }` is `{ span.flag = false }`.
//! * A comparison of different types is false when it is met in a span, and an error where the text
//!   shows it. Integers, floats and durations (nanoseconds) compare as numbers.
//! * An array compares as any of its elements does, and is unequal to what none of them equals. An
//!   array of one is its element; an empty one, bytes and key-value lists are `nil`.
//! * All comparisons of one selector with fields of events concern the same event, and those with
//!   fields of links the same link: it holds if it holds with any. A selector whose only conditions on
//!   events are `event.x = nil` or stand in `!(...)` holds if no event makes it fail.
//! * Regular expressions are those of Go (RE2). They match the whole string, and a dot also matches a
//!   line break.
//!
//! Where Tempo would fail at run time, as on `-span.name` of a text, the comparison is false.

use std::{fmt, ops::Range, sync::Arc};

use self::{condition::Predicate, lexer::Token, tree::Intrinsic, tree::SelectorField};
use super::model::span::{AttributeName, SpanView};

mod check;
mod compile;
mod condition;
mod datum;
mod index;
mod lexer;
mod literal;
mod nearness;
mod parser;
mod print;
mod re2;
mod tree;
mod words;

#[cfg(test)]
mod tests;

pub use self::{
    index::{SelectorIndex, key_filter::KeyFilter},
    nearness::{Comparisons, NearMiss, kind_word, similar_attribute},
    print::{quoted_attribute, quoted_text},
    tree::FieldSource,
    words::reference::{SelectorReference, SelectorSyntax, TempoDifference, reference},
};

/// One spanset filter, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Selector {
    text: Arc<str>,
    condition: Arc<Predicate>,
    uses_duration: bool,
    uses_workflow_duration: bool,
}

/// Selectors with the same text are equal.
impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Selector {}

#[expect(clippy::missing_fields_in_debug, reason = "the text says it all")]
impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector")
            .field("text", &self.text)
            .finish()
    }
}

/// The error in a selector's text, and its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectorError {
    /// The bytes of the text with the error.
    pub span: Range<usize>,
    pub message: String,
    /// What to write instead, if known.
    pub help: Option<String>,
}

/// Data that a span does not contain itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelectorContext {
    /// The span's end minus the start of its workflow, in nanoseconds; without it
    /// `workflow:duration` is the span's own duration.
    pub workflow_duration_ns: Option<i64>,
}

impl Selector {
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let tree = parser::parse(text)?;
        check::check(text, &tree)?;
        Ok(Self {
            text: text.into(),
            condition: Arc::new(compile::compile(text, &tree)?),
            uses_duration: tree.mentions(&SelectorField::Intrinsic(Intrinsic::Duration)),
            uses_workflow_duration: tree
                .mentions(&SelectorField::Intrinsic(Intrinsic::WorkflowDuration)),
        })
    }

    /// Returns the text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, span: &dyn SpanView, context: SelectorContext) -> bool {
        self.condition.holds(span, context)
    }

    /// Returns whether it uses the span's own duration.
    pub fn uses_duration(&self) -> bool {
        self.uses_duration
    }

    /// Returns whether it uses the workflow's duration, so that the start must be known.
    pub fn uses_workflow_duration(&self) -> bool {
        self.uses_workflow_duration
    }
}

impl SelectorError {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: None,
        }
    }

    fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the same error in a text that has `offset` more bytes before it.
    fn shifted(mut self, offset: usize) -> Self {
        self.span = self.span.start + offset..self.span.end + offset;
        self
    }
}

/// Reads a lone attribute of one value per span, as `span.order.id`, `resource.x`, `.x`,
/// `span."a b"` or `instrumentation.x`.
pub fn parse_attribute(text: &str) -> Result<AttributeName, SelectorError> {
    let lexemes = lexer::lex(text)?;
    let whole = 0..text.len();
    let expected =
        "write it with its scope, as `span.order.id`, `resource.order.id` or `.order.id`";
    let [lexeme] = lexemes.as_slice() else {
        let error = SelectorError::new(whole, format!("`{text}` is not one attribute"));
        return Err(error.with_help(expected));
    };
    let span = lexeme.span.clone();
    let Token::Attribute(scope, key) = &lexeme.token else {
        let error = SelectorError::new(span, format!("`{text}` is not an attribute"));
        return Err(error.with_help(expected));
    };
    if let SelectorField::Attribute(name) = parser::attribute(*scope, key, span.clone())? {
        return Ok(name);
    }
    let message = format!("`{text}` is not one value: a span has any number of events and links");
    Err(SelectorError::new(span, message)
        .with_help("use an attribute of the span or of its resource"))
}
