//! What a selector says, as a tree that still knows where each part stands in the text.

use std::ops::Range;

use crate::domain::model::span::{AttributeName, SpanKind, SpanStatus};

/// One expression and the bytes it was read from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub expr: Expr,
    pub span: Range<usize>,
    /// Longest way down to a leaf: bounded by the parser, so that whatever walks the tree may recurse.
    pub height: usize,
}

/// Two nodes are equal if they say the same, wherever they stand.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Literal(Literal),
    Field(Field),
    Not(Box<Node>),
    Negate(Box<Node>),
    /// `a && b && c`: a chain of one operator is one node, so that a long list is not a deep tree.
    All(Vec<Node>),
    Any(Vec<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
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

/// Something that a span, one of its events or one of its links says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
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

/// Where a field is read from. Events and links come in numbers, so what reads them asks for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Span,
    Event,
    Link,
}

impl Field {
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Intrinsic(Intrinsic::EventName | Intrinsic::EventTimeSinceStart)
            | Self::EventAttribute(_) => Place::Event,
            Self::Intrinsic(Intrinsic::LinkTraceId | Intrinsic::LinkSpanId)
            | Self::LinkAttribute(_) => Place::Link,
            Self::Intrinsic(_) | Self::Attribute(_) => Place::Span,
        }
    }

    /// Whether a span may lack it, so that comparing it with `nil` tells something.
    pub(super) fn may_be_missing(&self) -> bool {
        match self {
            Self::Intrinsic(intrinsic) => {
                *intrinsic == Intrinsic::ParentId || self.place() != Place::Span
            }
            Self::Attribute(_) | Self::EventAttribute(_) | Self::LinkAttribute(_) => true,
        }
    }
}

impl Node {
    pub(super) fn leaf(expr: Expr, span: Range<usize>) -> Self {
        Self {
            expr,
            span,
            height: 1,
        }
    }

    /// Whether some part of it is `field`.
    pub(super) fn mentions(&self, field: &Field) -> bool {
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
