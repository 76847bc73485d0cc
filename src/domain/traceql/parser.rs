//! Parses tokens to a tree, with Tempo's precedence: `&&` and `||` bind equally and weakest, then
//! comparisons, `+ -` with the negative sign, `!`, `* / %`, and `^`, which alone groups from the
//! right.

use std::ops::Range;

use super::{
    SelectorError,
    lexer::{self, Lexeme, OperatorToken, ScopeToken, Token},
    tree::{Arithmetic, Expr, Expression, Literal, SelectorField},
    words::{self, unsupported},
};
use crate::domain::model::span::{AttributeName, AttributeScope};

/// Far more than a person writes; bounds the cost of a hostile file.
const MAX_BYTES: usize = 32 * 1024;

/// The limit of nested parentheses, signs and operators, since all functions on a tree recurse.
pub(super) const MAX_HEIGHT: usize = 64;

const LOGIC: u8 = 1;
const COMPARISON: u8 = 2;
const SUM: u8 = 3;
const NOT: u8 = 4;
const PRODUCT: u8 = 5;
const POWER: u8 = 6;

/// Parses `{ condition }`.
pub(super) fn parse(text: &str) -> Result<Expression, SelectorError> {
    if text.len() > MAX_BYTES {
        return Err(SelectorError::new(
            0..text.len(),
            format!(
                "a selector has at most {MAX_BYTES} bytes, this one has {}",
                text.len()
            ),
        ));
    }
    let lexemes = lexer::lex(text)?;
    let mut parser = Parser {
        text,
        lexemes: &lexemes,
        at: 0,
        depth: 0,
    };
    let node = parser.spanset()?;
    parser.end()?;
    Ok(node)
}

/// Returns the field that a scoped attribute names.
pub(super) fn attribute(
    scope: ScopeToken,
    key: &str,
    span: Range<usize>,
) -> Result<SelectorField, SelectorError> {
    let key = key.to_owned();
    let scope = match scope {
        ScopeToken::Any => AttributeScope::Any,
        ScopeToken::Span => AttributeScope::Span,
        ScopeToken::Resource => AttributeScope::Resource,
        ScopeToken::Instrumentation => AttributeScope::Instrumentation,
        ScopeToken::Event => return Ok(SelectorField::EventAttribute(key)),
        ScopeToken::Link => return Ok(SelectorField::LinkAttribute(key)),
        ScopeToken::Parent => return Err(unsupported::parent_attribute(span)),
    };
    Ok(SelectorField::Attribute(AttributeName { scope, key }))
}

impl OperatorToken {
    fn precedence(self) -> u8 {
        match self {
            Self::And | Self::Or => LOGIC,
            Self::Compare(_) => COMPARISON,
            Self::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => SUM,
            Self::Arithmetic(Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder) => {
                PRODUCT
            }
            Self::Arithmetic(Arithmetic::Power) => POWER,
        }
    }

    /// Returns the weakest operator that its right side may contain without parentheses.
    fn right_minimum(self) -> u8 {
        if self == Self::Arithmetic(Arithmetic::Power) {
            POWER
        } else {
            self.precedence() + 1
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    lexemes: &'a [Lexeme],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Lexeme> {
        self.lexemes.get(self.at)
    }

    fn peek_token(&self) -> Option<&'a Token> {
        self.peek().map(|lexeme| &lexeme.token)
    }

    fn written(&self, span: &Range<usize>) -> &'a str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn end_of_text(&self) -> Range<usize> {
        self.text.len()..self.text.len()
    }

    fn spanset(&mut self) -> Result<Expression, SelectorError> {
        let Some(open) = self.peek().filter(|first| first.token == Token::OpenBrace) else {
            let span = self
                .peek()
                .map_or(self.end_of_text(), |first| first.span.clone());
            return Err(SelectorError::new(span, "a selector begins with `{`")
                .with_help("write `{ name = \"deploy\" }`, or `{ }` for every span"));
        };
        self.at += 1;
        let node = if self.peek_token() == Some(&Token::CloseBrace) {
            Expression::leaf(Expr::Literal(Literal::Bool(true)), open.span.clone())
        } else {
            self.expression(LOGIC)?
        };
        self.expect(&Token::CloseBrace, "}", open)?;
        Ok(node)
    }

    /// Consumes the `closing` token for the one that `open` opened.
    fn expect(
        &mut self,
        closing: &Token,
        written: &str,
        open: &Lexeme,
    ) -> Result<Range<usize>, SelectorError> {
        match self.peek() {
            Some(next) if next.token == *closing => {
                self.at += 1;
                Ok(next.span.clone())
            }
            Some(next) if next.token == Token::Structural => {
                Err(unsupported::structural(next.span.clone()))
            }
            Some(next) if next.token == Token::Pipe => Err(SelectorError::new(
                next.span.clone(),
                "`|` is not an operator of conditions",
            )
            .with_help("write `||` for either of two conditions")),
            Some(next) => {
                let found = self.written(&next.span);
                let message = format!("expected an operator or `{written}` before `{found}`");
                let help = match found {
                    "and" | "AND" => "write `&&`",
                    "or" | "OR" => "write `||`",
                    _ => return Err(SelectorError::new(next.span.clone(), message)),
                };
                Err(SelectorError::new(next.span.clone(), message).with_help(help))
            }
            None => Err(SelectorError::new(
                open.span.clone(),
                format!("this `{}` is never closed", self.written(&open.span)),
            )
            .with_help(format!("add a `{written}`"))),
        }
    }

    /// Checks that nothing follows the filter; what TraceQL allows there is rejected by name.
    fn end(&self) -> Result<(), SelectorError> {
        let Some(next) = self.peek() else {
            return Ok(());
        };
        let span = next.span.clone();
        let tail = span.start..self.text.trim_end().len();
        Err(match next.token {
            Token::Pipe => {
                let stage = self.lexemes.get(self.at + 1);
                let stage = stage.map_or("", |stage| self.written(&stage.span));
                unsupported::pipeline(stage, tail)
            }
            Token::Operator(OperatorToken::And | OperatorToken::Or) => {
                unsupported::spanset_logic(span)
            }
            Token::Structural | Token::Operator(OperatorToken::Compare(_)) => {
                unsupported::structural(span)
            }
            Token::OpenBrace
            | Token::CloseBrace
            | Token::OpenParenthesis
            | Token::CloseParenthesis
            | Token::Comma
            | Token::Not
            | Token::Operator(OperatorToken::Arithmetic(_))
            | Token::Word
            | Token::Attribute(..)
            | Token::Literal(_) => {
                SelectorError::new(tail, "nothing may follow the closing `}` of a selector")
            }
        })
    }

    /// Parses operators that bind at least as strongly as `minimum`.
    fn expression(&mut self, minimum: u8) -> Result<Expression, SelectorError> {
        self.depth += 1;
        if self.depth > MAX_HEIGHT {
            let span = self
                .peek()
                .map_or(self.end_of_text(), |next| next.span.clone());
            return Err(too_deep(span));
        }
        let mut left = self.operand()?;
        // A chain in parentheses stays a node of its own, so only one that is parsed here is
        // extended.
        let mut chain = Chain::Closed;
        while let Some(Token::Operator(operator)) = self.peek_token() {
            if operator.precedence() < minimum {
                break;
            }
            self.at += 1;
            let right = self.expression(operator.right_minimum())?;
            left = match chain {
                Chain::Open => extend(left, *operator, right)?,
                Chain::Closed => join(left, *operator, right)?,
            };
            chain = Chain::Open;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, SelectorError> {
        let Some(lexeme) = self.peek() else {
            return Err(SelectorError::new(
                self.end_of_text(),
                "the selector ends where a value is expected",
            ));
        };
        self.at += 1;
        let span = lexeme.span.clone();
        match &lexeme.token {
            Token::OpenParenthesis => {
                let mut inner = self.expression(LOGIC)?;
                let close = self.expect(&Token::CloseParenthesis, ")", lexeme)?;
                inner.span = span.start..close.end;
                Ok(inner)
            }
            Token::Not => {
                let inner = self.expression(NOT + 1)?;
                above(Expr::Not, inner, span.start)
            }
            Token::Operator(OperatorToken::Arithmetic(Arithmetic::Subtract)) => {
                let inner = self.expression(SUM + 1)?;
                above(Expr::Negate, inner, span.start)
            }
            Token::Literal(literal) => Ok(Expression::leaf(Expr::Literal(literal.clone()), span)),
            Token::Attribute(scope, key) => {
                let field = attribute(*scope, key, span.clone())?;
                Ok(Expression::leaf(Expr::Field(field), span))
            }
            Token::Word => self.word(span),
            Token::Structural => Err(unsupported::structural(span)),
            Token::OpenBrace
            | Token::CloseBrace
            | Token::CloseParenthesis
            | Token::Comma
            | Token::Pipe
            | Token::Operator(_) => {
                let found = self.written(&span);
                Err(SelectorError::new(
                    span,
                    format!("expected a value before `{found}`"),
                ))
            }
        }
    }

    fn word(&self, span: Range<usize>) -> Result<Expression, SelectorError> {
        let word = self.written(&span);
        if let Some(expr) = words::meaning(word) {
            return Ok(Expression::leaf(expr, span));
        }
        unsupported::refuse_word(word, span.clone())?;
        Err(words::unknown(word, self.compared_with(), span))
    }

    /// Returns the left side of the comparison whose right side was just parsed.
    fn compared_with(&self) -> Option<&'a str> {
        let operator = self.lexemes.get(self.at.checked_sub(2)?)?;
        let left = self.lexemes.get(self.at.checked_sub(3)?)?;
        matches!(operator.token, Token::Operator(OperatorToken::Compare(_)))
            .then(|| self.written(&left.span))
    }
}

/// Puts `inner` under a sign that begins at `start`.
fn above(
    make: impl Fn(Box<Expression>) -> Expr,
    inner: Expression,
    start: usize,
) -> Result<Expression, SelectorError> {
    let span = start..inner.span.end;
    let height = inner.height + 1;
    bounded(Expression {
        expr: make(Box::new(inner)),
        span,
        height,
    })
}

/// The state of the left side: it may be extended, or was closed by a parenthesis.
#[derive(Clone, Copy)]
enum Chain {
    Open,
    Closed,
}

/// Joins as [`join`] does, but extends a chain of the same `&&` or `||` by `right`.
fn extend(
    left: Expression,
    operator: OperatorToken,
    right: Expression,
) -> Result<Expression, SelectorError> {
    let span = left.span.start..right.span.end;
    let height = left.height.max(right.height + 1);
    let expr = match (operator, left.expr) {
        (OperatorToken::And, Expr::All(parts)) => Expr::All(with(parts, right)),
        (OperatorToken::Or, Expr::Any(parts)) => Expr::Any(with(parts, right)),
        (_, expr) => return join(Expression { expr, ..left }, operator, right),
    };
    bounded(Expression { expr, span, height })
}

/// Makes `left operator right`.
fn join(
    left: Expression,
    operator: OperatorToken,
    right: Expression,
) -> Result<Expression, SelectorError> {
    let span = left.span.start..right.span.end;
    let height = left.height.max(right.height) + 1;
    let expr = match operator {
        OperatorToken::And => Expr::All(vec![left, right]),
        OperatorToken::Or => Expr::Any(vec![left, right]),
        OperatorToken::Compare(comparison) => {
            Expr::Compare(comparison, Box::new(left), Box::new(right))
        }
        OperatorToken::Arithmetic(arithmetic) => {
            Expr::Arithmetic(arithmetic, Box::new(left), Box::new(right))
        }
    };
    bounded(Expression { expr, span, height })
}

fn with(mut parts: Vec<Expression>, last: Expression) -> Vec<Expression> {
    parts.push(last);
    parts
}

fn bounded(node: Expression) -> Result<Expression, SelectorError> {
    if node.height > MAX_HEIGHT {
        return Err(too_deep(node.span));
    }
    Ok(node)
}

fn too_deep(span: Range<usize>) -> SelectorError {
    SelectorError::new(
        span,
        format!("the selector nests deeper than {MAX_HEIGHT} levels"),
    )
}
