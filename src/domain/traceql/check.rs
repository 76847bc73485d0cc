//! Finds type errors in the text of a selector. The type of an attribute is not known before a span
//! arrives, so an attribute is accepted wherever some value of it would be valid.

use std::ops::Range;

use super::{
    SelectorError,
    tree::{Comparison, Expr, Expression, Intrinsic, Literal, SelectorField},
};

/// The known type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    /// An attribute, whose type depends on the span.
    Attribute,
    Number,
    Duration,
    Text,
    Bool,
    Nil,
    Status,
    Kind,
}

impl Type {
    fn with_article(self) -> &'static str {
        match self {
            Self::Attribute => "an attribute",
            Self::Number => "a number",
            Self::Duration => "a duration",
            Self::Text => "a string",
            Self::Bool => "true or false",
            Self::Nil => "nil",
            Self::Status => "a status",
            Self::Kind => "a span kind",
        }
    }

    fn is_numeric(self) -> bool {
        matches!(self, Self::Number | Self::Duration | Self::Attribute)
    }

    fn is_condition(self) -> bool {
        matches!(self, Self::Bool | Self::Attribute)
    }

    fn is_ordered(self) -> bool {
        self.is_numeric() || self == Self::Text
    }

    fn compares_with(self, other: Self) -> bool {
        let is_word = |t| matches!(t, Self::Status | Self::Kind);
        match (self, other) {
            (Self::Attribute, known) | (known, Self::Attribute) => !is_word(known),
            _ => self == other || (self.is_numeric() && other.is_numeric()),
        }
    }
}

/// Finds the first type error of the selector that `text` was parsed to.
pub(super) fn check(text: &str, root: &Expression) -> Result<(), SelectorError> {
    Check { text }.condition(root).map(|_| ())
}

struct Check<'a> {
    text: &'a str,
}

impl<'a> Check<'a> {
    fn written(&self, node: &Expression) -> &'a str {
        self.text.get(node.span.clone()).unwrap_or_default()
    }

    fn condition(&self, node: &Expression) -> Result<Type, SelectorError> {
        let found = self.type_of(node)?;
        if found.is_condition() {
            return Ok(Type::Bool);
        }
        let message = format!(
            "`{}` is {}, where a condition is needed",
            self.written(node),
            found.with_article()
        );
        Err(SelectorError::new(node.span.clone(), message)
            .with_help("compare it with something, as `name = \"deploy\"`"))
    }

    fn type_of(&self, node: &Expression) -> Result<Type, SelectorError> {
        match &node.expr {
            Expr::Literal(literal) => Ok(literal_type(literal)),
            Expr::Field(field) => Ok(field_type(field)),
            Expr::Not(inner) => self.negated_condition(inner),
            Expr::Negate(inner) => self.number(inner),
            Expr::All(parts) | Expr::Any(parts) => {
                for part in parts {
                    self.condition(part)?;
                }
                Ok(Type::Bool)
            }
            Expr::Compare(comparison, left, right) => {
                self.comparison(*comparison, left, right, &node.span)?;
                Ok(Type::Bool)
            }
            Expr::Arithmetic(_, left, right) => {
                let types = [self.number(left)?, self.number(right)?];
                let is_duration = types.contains(&Type::Duration);
                Ok(if is_duration {
                    Type::Duration
                } else {
                    Type::Number
                })
            }
        }
    }

    fn negated_condition(&self, inner: &Expression) -> Result<Type, SelectorError> {
        let found = self.type_of(inner)?;
        if found.is_condition() {
            return Ok(Type::Bool);
        }
        let written = self.written(inner);
        let message = format!(
            "`!` turns a condition around, and `{written}` is {}",
            found.with_article()
        );
        Err(
            SelectorError::new(inner.span.clone(), message).with_help(format!(
                "`!` binds to the next value only: write `!({written} = ...)` or `{written} != ...`"
            )),
        )
    }

    fn number(&self, node: &Expression) -> Result<Type, SelectorError> {
        let found = self.type_of(node)?;
        if found.is_numeric() {
            return Ok(found);
        }
        let message = format!(
            "`{}` is {}, not a number",
            self.written(node),
            found.with_article()
        );
        Err(SelectorError::new(node.span.clone(), message))
    }

    fn comparison(
        &self,
        comparison: Comparison,
        left: &Expression,
        right: &Expression,
        span: &Range<usize>,
    ) -> Result<(), SelectorError> {
        let types = (self.type_of(left)?, self.type_of(right)?);
        if types.0 == Type::Nil || types.1 == Type::Nil {
            return self.nil(comparison, left, right, span);
        }
        if matches!(comparison, Comparison::Matches | Comparison::NotMatches) {
            return self.pattern(left, types.0, right);
        }
        if !types.0.compares_with(types.1) {
            let message = format!(
                "`{}` is {} and `{}` is {}: they cannot be compared",
                self.written(left),
                types.0.with_article(),
                self.written(right),
                types.1.with_article()
            );
            let error = SelectorError::new(span.clone(), message);
            return Err(
                match self.other_spelling((left, types.0), (right, types.1)) {
                    Some(help) => error.with_help(help),
                    None => error,
                },
            );
        }
        let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        for (node, found) in [(left, types.0), (right, types.1)] {
            if !is_equality && !found.is_ordered() {
                let message = format!(
                    "`{}` is {}, which has no order: only `=` and `!=` compare it",
                    self.written(node),
                    found.with_article()
                );
                return Err(SelectorError::new(span.clone(), message));
            }
        }
        Ok(())
    }

    /// Suggests how to write one side so that it has the type of the other.
    fn other_spelling(
        &self,
        left: (&Expression, Type),
        right: (&Expression, Type),
    ) -> Option<String> {
        [(left, right), (right, left)]
            .into_iter()
            .find_map(|(known, odd)| {
                let (_, known) = known;
                let (node, odd) = odd;
                match (known, odd, &node.expr) {
                    (
                        Type::Status | Type::Kind | Type::Duration | Type::Number | Type::Bool,
                        _,
                        Expr::Literal(Literal::Text(text)),
                    ) => Some(format!("write `{text}` without quotes")),
                    (
                        Type::Attribute | Type::Text,
                        _,
                        Expr::Literal(Literal::Status(_) | Literal::Kind(_)),
                    ) => Some(format!(
                        "put the text in quotes: `\"{}\"`",
                        self.written(node)
                    )),
                    _ => None,
                }
            })
    }

    fn nil(
        &self,
        comparison: Comparison,
        left: &Expression,
        right: &Expression,
        span: &Range<usize>,
    ) -> Result<(), SelectorError> {
        if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            let message = "`nil` has no order and no text: only `=` and `!=` compare with it";
            return Err(SelectorError::new(span.clone(), message));
        }
        let other = if left.expr == Expr::Literal(Literal::Nil) {
            right
        } else {
            left
        };
        let reason = match &other.expr {
            Expr::Field(field) if field.may_be_missing() => return Ok(()),
            // True for every span; Grafana writes such conditions, so they can be pasted.
            Expr::Field(_) if comparison == Comparison::NotEqual => return Ok(()),
            Expr::Field(_) => "never missing, so this holds for no span",
            Expr::Literal(_)
            | Expr::Not(_)
            | Expr::Negate(_)
            | Expr::All(_)
            | Expr::Any(_)
            | Expr::Compare(..)
            | Expr::Arithmetic(..) => "not a field, and only fields can be missing",
        };
        let message = format!("`{}` is {reason}", self.written(other));
        Err(SelectorError::new(span.clone(), message))
    }

    fn pattern(
        &self,
        left: &Expression,
        found: Type,
        right: &Expression,
    ) -> Result<(), SelectorError> {
        if !matches!(right.expr, Expr::Literal(Literal::Text(_))) {
            return Err(SelectorError::new(
                right.span.clone(),
                format!("`{}` is not a regular expression", self.written(right)),
            )
            .with_help("write the regular expression as a string, as `name =~ \"deploy.*\"`"));
        }
        if matches!(found, Type::Text | Type::Attribute) {
            return Ok(());
        }
        Err(SelectorError::new(
            left.span.clone(),
            format!(
                "`{}` is {}: regular expressions match strings only",
                self.written(left),
                found.with_article()
            ),
        ))
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Text(_) => Type::Text,
        Literal::Int(_) | Literal::Float(_) => Type::Number,
        Literal::Duration(_) => Type::Duration,
        Literal::Bool(_) => Type::Bool,
        Literal::Nil => Type::Nil,
        Literal::Status(_) => Type::Status,
        Literal::Kind(_) => Type::Kind,
    }
}

fn field_type(field: &SelectorField) -> Type {
    let SelectorField::Intrinsic(intrinsic) = field else {
        return Type::Attribute;
    };
    match intrinsic {
        Intrinsic::Status => Type::Status,
        Intrinsic::Kind => Type::Kind,
        Intrinsic::Duration | Intrinsic::EventTimeSinceStart | Intrinsic::WorkflowDuration => {
            Type::Duration
        }
        Intrinsic::Name
        | Intrinsic::StatusMessage
        | Intrinsic::SpanId
        | Intrinsic::ParentId
        | Intrinsic::TraceId
        | Intrinsic::EventName
        | Intrinsic::LinkTraceId
        | Intrinsic::LinkSpanId
        | Intrinsic::InstrumentationName
        | Intrinsic::InstrumentationVersion => Type::Text,
    }
}
