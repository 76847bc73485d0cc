//! Tree to condition: patterns compiled, bare flags spelled out, double negations removed.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::{
    SelectorError,
    condition::{EventBinding, Operand, Predicate, ValueTest},
    tree::{Comparison, Expr, Expression, FieldSource, Literal, SelectorField},
};

/// Bytes that one compiled regular expression may take: `[\w.-]{1,63}` fits, nested repetitions that
/// would eat the memory of thousands of selectors do not.
const MAX_REGEX_BYTES: usize = 4 * 1024 * 1024;

/// Compiles a tree that has been checked.
pub(super) fn compile(text: &str, root: &Expression) -> Result<Predicate, SelectorError> {
    Compiler { text }.condition(root)
}

impl EventBinding {
    pub(super) fn of(field: &SelectorField) -> Self {
        Self {
            events: field.place() == FieldSource::Event,
            links: field.place() == FieldSource::Link,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            events: self.events || other.events,
            links: self.links || other.links,
        }
    }
}

impl Operand {
    /// A condition inside looks for its own events and links.
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
            | Expr::Arithmetic(..) => Ok(Predicate::Not(Box::new(self.condition(inner)?))),
        }
    }

    /// A value in the place of a condition.
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
                let missing = Predicate::Missing(field.clone());
                Ok(if comparison == Comparison::Equal {
                    missing
                } else {
                    Predicate::Not(Box::new(missing))
                })
            }
            (
                Comparison::Matches | Comparison::NotMatches,
                _,
                Expr::Literal(Literal::Text(pattern)),
            ) => {
                let operand = self.operand(left)?;
                let reach = operand.reach();
                let test = ValueTest::Pattern {
                    operand,
                    regex: self.regex(pattern, &right.span)?,
                    wanted: comparison == Comparison::Matches,
                };
                Ok(Predicate::Test(test, reach))
            }
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
                Operand::Condition(Box::new(self.condition(node)?))
            }
        })
    }

    /// The whole string must match and a dot matches line breaks too, as in Prometheus and Tempo.
    fn regex(&self, pattern: &str, span: &Range<usize>) -> Result<Regex, SelectorError> {
        // By itself first: `a)|(b` would become valid inside our parentheses.
        build(pattern)
            .and_then(|_| build(&format!(r"\A(?s:{pattern})\z")))
            .map_err(|error| {
                let written = self.text.get(span.clone()).unwrap_or_default();
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
    let reach = left.reach().and(right.reach());
    Predicate::Test(ValueTest::Compare(left, comparison, right), reach)
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_BYTES)
        .nest_limit(64)
        .build()
}

/// The last line of the message: those before it draw the pattern, which the error points at anyway.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
