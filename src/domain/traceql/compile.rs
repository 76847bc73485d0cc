//! Compiles a tree to a condition: compiles patterns, expands bare flags, and removes double
//! negations.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::{
    SelectorError,
    condition::{EventBinding, Operand, Predicate, ValueTest},
    re2,
    tree::{Comparison, Expr, Expression, FieldSource, Literal, SelectorField},
};

/// The memory limit of a compiled regular expression in bytes: `[\w.-]{1,63}` fits, nested
/// repetitions that would use the memory of thousands of selectors do not.
const MAX_REGEX_BYTES: usize = 4 * 1024 * 1024;

/// Compiles a tree that has been checked.
pub(super) fn compile(text: &str, root: &Expression) -> Result<Predicate, SelectorError> {
    Ok(bound(Compiler { text }.condition(root)?))
}

impl EventBinding {
    pub(super) fn of(field: &SelectorField) -> Self {
        Self {
            events: field.place() == FieldSource::Event,
            links: field.place() == FieldSource::Link,
        }
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn and(self, other: Self) -> Self {
        Self {
            events: self.events || other.events,
            links: self.links || other.links,
        }
    }
}

/// Returns a condition that holds if `condition` holds with any one event and any one link that it
/// uses.
fn bound(condition: Predicate) -> Predicate {
    let reach = condition.reach();
    if reach.is_empty() {
        return condition;
    }
    Predicate::Bound(reach, Box::new(condition))
}

impl Predicate {
    /// Returns whether it requires an event or a link. Exclusions may concern any event or link.
    fn reach(&self) -> EventBinding {
        match self {
            Self::Constant(_) | Self::Not(_) | Self::Missing(_) | Self::Bound(..) => {
                EventBinding::default()
            }
            Self::All(parts) | Self::Any(parts) => {
                let parts = parts.iter().map(Self::reach);
                parts.fold(EventBinding::default(), EventBinding::and)
            }
            Self::Present(field) => EventBinding::of(field),
            Self::Test(ValueTest::Compare(left, _, right)) => left.reach().and(right.reach()),
            Self::Test(ValueTest::Pattern { operand, .. }) => operand.reach(),
        }
    }
}

impl Operand {
    /// Returns an empty binding: an inner condition selects its own events and links.
    fn reach(&self) -> EventBinding {
        match self {
            Self::Literal(_) | Self::Condition(_) => EventBinding::default(),
            Self::Field(field) => EventBinding::of(field),
            Self::Negate(inner) => inner.reach(),
            Self::Arithmetic(_, sides) => sides.0.reach().and(sides.1.reach()),
        }
    }
}

struct Compiler<'a> {
    text: &'a str,
}

impl Compiler<'_> {
    fn condition(&self, node: &Expression) -> Result<Predicate, SelectorError> {
        match &node.expr {
            Expr::Literal(Literal::Bool(value)) => Ok(Predicate::Constant(*value)),
            Expr::All(parts) => self.conditions(parts).map(Predicate::All),
            Expr::Any(parts) => self.conditions(parts).map(Predicate::Any),
            Expr::Not(inner) => self.negation(inner),
            Expr::Compare(comparison, left, right) => self.comparison(*comparison, left, right),
            Expr::Literal(_) | Expr::Field(_) | Expr::Negate(_) | Expr::Arithmetic(..) => {
                self.flag(node, Literal::Bool(true))
            }
        }
    }

    fn conditions(&self, nodes: &[Expression]) -> Result<Vec<Predicate>, SelectorError> {
        nodes.iter().map(|node| self.condition(node)).collect()
    }

    fn negation(&self, inner: &Expression) -> Result<Predicate, SelectorError> {
        match &inner.expr {
            Expr::Not(positive) => self.condition(positive),
            Expr::Field(_) => self.flag(inner, Literal::Bool(false)),
            Expr::Literal(_)
            | Expr::Negate(_)
            | Expr::All(_)
            | Expr::Any(_)
            | Expr::Compare(..)
            | Expr::Arithmetic(..) => Ok(Predicate::Not(Box::new(bound(self.condition(inner)?)))),
        }
    }

    /// Compiles a value that is used as a condition.
    fn flag(&self, node: &Expression, wanted: Literal) -> Result<Predicate, SelectorError> {
        let right = Operand::Literal(wanted);
        Ok(tested(self.operand(node)?, Comparison::Equal, right))
    }

    fn comparison(
        &self,
        comparison: Comparison,
        left: &Expression,
        right: &Expression,
    ) -> Result<Predicate, SelectorError> {
        let nil = Expr::Literal(Literal::Nil);
        match (comparison, &left.expr, &right.expr) {
            (_, Expr::Field(field), other) | (_, other, Expr::Field(field)) if *other == nil => {
                Ok(if comparison == Comparison::Equal {
                    Predicate::Missing(field.clone())
                } else {
                    Predicate::Present(field.clone())
                })
            }
            (
                Comparison::Matches | Comparison::NotMatches,
                _,
                Expr::Literal(Literal::Text(pattern)),
            ) => Ok(Predicate::Test(ValueTest::Pattern {
                operand: self.operand(left)?,
                regex: self.regex(pattern, &right.span)?,
                wanted: comparison == Comparison::Matches,
            })),
            _ => Ok(tested(
                self.operand(left)?,
                comparison,
                self.operand(right)?,
            )),
        }
    }

    fn operand(&self, node: &Expression) -> Result<Operand, SelectorError> {
        Ok(match &node.expr {
            Expr::Literal(literal) => Operand::Literal(literal.clone()),
            Expr::Field(field) => Operand::Field(field.clone()),
            Expr::Negate(inner) => Operand::Negate(Box::new(self.operand(inner)?)),
            Expr::Arithmetic(arithmetic, left, right) => {
                let sides = (self.operand(left)?, self.operand(right)?);
                Operand::Arithmetic(*arithmetic, Box::new(sides))
            }
            Expr::Not(_) | Expr::All(_) | Expr::Any(_) | Expr::Compare(..) => {
                Operand::Condition(Box::new(bound(self.condition(node)?)))
            }
        })
    }

    /// Compiles a pattern. The whole string must match and a dot matches line breaks too, as in
    /// Prometheus and Tempo.
    fn regex(&self, pattern: &str, span: &Range<usize>) -> Result<Regex, SelectorError> {
        let written = self.text.get(span.clone()).unwrap_or_default();
        let pattern = re2::translate(pattern).map_err(|untranslatable| {
            let message = format!("{written}: {}", untranslatable.reason);
            SelectorError::new(span.clone(), message).with_help(untranslatable.help)
        })?;
        // Compiled on its own first: `a)|(b` would become valid inside our parentheses.
        build(&pattern)
            .and_then(|_| build(&format!(r"\A(?s:{pattern})\z")))
            .map_err(|error| {
                if let regex::Error::CompiledTooBig(_) = error {
                    let message = format!("the regular expression {written} is too large");
                    return SelectorError::new(span.clone(), message)
                        .with_help("use smaller repetitions");
                }
                let message = format!("{written} is not a regular expression: {}", reason(&error));
                SelectorError::new(span.clone(), message)
            })
    }
}

fn tested(left: Operand, comparison: Comparison, right: Operand) -> Predicate {
    Predicate::Test(ValueTest::Compare(left, comparison, right))
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_BYTES)
        .nest_limit(64)
        .build()
}

/// Compiles a regular expression that a part of the string may match; `None` if it is invalid.
pub(super) fn partial(pattern: &str) -> Option<Regex> {
    build(&format!("(?s:{})", re2::translate(pattern).ok()?)).ok()
}

/// Returns the last line of the message: those before it show the pattern, which the error points
/// at anyway.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
