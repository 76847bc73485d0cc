//! The syntax tree of a selector, with the position of each part in the text.

use std::ops::Range;

use crate::domain::model::span::{AttributeName, SpanKind, SpanStatus};

/// One expression and the bytes it was read from.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub expr: Expr,
    pub span: Range<usize>,
    /// The length of the longest path to a leaf: bounded by the parser, so that all functions on a
    /// tree may recurse.
    pub height: usize,
}

/// Two nodes are equal if they have the same contents at any position.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Literal(Literal),
    Field(SelectorField),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    /// `a && b && c`: a chain of one operator is one node, so that a long list is not a deep tree.
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Arithmetic(Arithmetic, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Int(i64),
    Float(f64),
    /// Nanoseconds.
    Duration(i64),
    Bool(bool),
    Nil,
    Status(SpanStatus),
    Kind(SpanKind),
}

/// A field of a span, of one of its events or of one of its links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SelectorField {
    Intrinsic(Intrinsic),
    Attribute(AttributeName),
    EventAttribute(String),
    LinkAttribute(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intrinsic {
    Name,
    Status,
    StatusMessage,
    Kind,
    Duration,
    SpanId,
    ParentId,
    TraceId,
    EventName,
    EventTimeSinceStart,
    LinkTraceId,
    LinkSpanId,
    InstrumentationName,
    InstrumentationVersion,
    WorkflowDuration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    NotMatches,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

/// The source of a field. A span may have many events and links, so a condition holds with any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSource {
    Span,
    Event,
    Link,
}

impl SelectorField {
    pub(super) fn place(&self) -> FieldSource {
        match self {
            Self::Intrinsic(Intrinsic::EventName | Intrinsic::EventTimeSinceStart)
            | Self::EventAttribute(_) => FieldSource::Event,
            Self::Intrinsic(Intrinsic::LinkTraceId | Intrinsic::LinkSpanId)
            | Self::LinkAttribute(_) => FieldSource::Link,
            Self::Intrinsic(_) | Self::Attribute(_) => FieldSource::Span,
        }
    }

    /// Returns whether a span may lack it, so that a comparison with `nil` is useful.
    pub(super) fn may_be_missing(&self) -> bool {
        match self {
            Self::Intrinsic(
                Intrinsic::ParentId
                | Intrinsic::InstrumentationName
                | Intrinsic::InstrumentationVersion,
            )
            | Self::Attribute(_)
            | Self::EventAttribute(_)
            | Self::LinkAttribute(_) => true,
            Self::Intrinsic(_) => self.place() != FieldSource::Span,
        }
    }
}

impl Expression {
    pub(super) fn leaf(expr: Expr, span: Range<usize>) -> Self {
        Self {
            expr,
            span,
            height: 1,
        }
    }

    /// Returns whether some part of it is `field`.
    pub(super) fn mentions(&self, field: &SelectorField) -> bool {
        match &self.expr {
            Expr::Literal(_) => false,
            Expr::Field(own) => own == field,
            Expr::Not(inner) | Expr::Negate(inner) => inner.mentions(field),
            Expr::All(parts) | Expr::Any(parts) => parts.iter().any(|part| part.mentions(field)),
            Expr::Compare(_, left, right) | Expr::Arithmetic(_, left, right) => {
                left.mentions(field) || right.mentions(field)
            }
        }
    }
}
