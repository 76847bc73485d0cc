//! Splits text into tokens, as Tempo's lexer does: attribute names extend to a blank, a bracket or
//! a comparison, so `span.a-b` is one name and a subtraction needs blanks around its sign.

use std::ops::Range;

use super::{
    SelectorError, literal,
    tree::{Arithmetic, Comparison, Literal},
};
use crate::domain::model::text::nearest;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    OpenBrace,
    CloseBrace,
    OpenParenthesis,
    CloseParenthesis,
    Comma,
    Pipe,
    Not,
    Operator(OperatorToken),
    /// Relates two spansets: `>>`, `~` and similar.
    Structural,
    /// A bare word or a scoped intrinsic such as `span:name`; the text shows which.
    Word,
    Attribute(ScopeToken, String),
    Literal(Literal),
}

/// An operator between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperatorToken {
    And,
    Or,
    Compare(Comparison),
    Arithmetic(Arithmetic),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScopeToken {
    Any,
    Span,
    Resource,
    Instrumentation,
    Event,
    Link,
    Parent,
}

#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    pub token: Token,
    pub span: Range<usize>,
}

/// Longest first: the first that matches is used.
const SIGNS: [(&str, Token); 35] = [
    ("!>>", Token::Structural),
    ("!<<", Token::Structural),
    ("&>>", Token::Structural),
    ("&<<", Token::Structural),
    ("&&", Token::Operator(OperatorToken::And)),
    ("||", Token::Operator(OperatorToken::Or)),
    ("=~", compare(Comparison::Matches)),
    ("!~", compare(Comparison::NotMatches)),
    ("!=", compare(Comparison::NotEqual)),
    ("<=", compare(Comparison::LessOrEqual)),
    (">=", compare(Comparison::GreaterOrEqual)),
    (">>", Token::Structural),
    ("<<", Token::Structural),
    ("!>", Token::Structural),
    ("!<", Token::Structural),
    ("&>", Token::Structural),
    ("&<", Token::Structural),
    ("&~", Token::Structural),
    ("{", Token::OpenBrace),
    ("}", Token::CloseBrace),
    ("(", Token::OpenParenthesis),
    (")", Token::CloseParenthesis),
    (",", Token::Comma),
    ("=", compare(Comparison::Equal)),
    ("<", compare(Comparison::Less)),
    (">", compare(Comparison::Greater)),
    ("+", reckon(Arithmetic::Add)),
    ("-", reckon(Arithmetic::Subtract)),
    ("*", reckon(Arithmetic::Multiply)),
    ("%", reckon(Arithmetic::Remainder)),
    ("^", reckon(Arithmetic::Power)),
    ("/", reckon(Arithmetic::Divide)),
    ("!", Token::Not),
    ("|", Token::Pipe),
    ("~", Token::Structural),
];

const fn compare(comparison: Comparison) -> Token {
    Token::Operator(OperatorToken::Compare(comparison))
}

const fn reckon(arithmetic: Arithmetic) -> Token {
    Token::Operator(OperatorToken::Arithmetic(arithmetic))
}

const SCOPES: [(&str, ScopeToken); 6] = [
    ("span", ScopeToken::Span),
    ("resource", ScopeToken::Resource),
    ("instrumentation", ScopeToken::Instrumentation),
    ("event", ScopeToken::Event),
    ("link", ScopeToken::Link),
    ("parent", ScopeToken::Parent),
];

pub(super) fn lex(text: &str) -> Result<Vec<Lexeme>, SelectorError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut lexemes = Vec::new();
    while let Some(first) = lexer.skip_blanks()? {
        let start = lexer.at;
        let token = lexer.token(first)?;
        lexemes.push(Lexeme {
            token,
            span: start..lexer.at,
        });
    }
    Ok(lexemes)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Consumes characters as long as `wanted` holds.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Skips blanks and comments; returns the first character after them.
    fn skip_blanks(&mut self) -> Result<Option<char>, SelectorError> {
        loop {
            self.take_while(char::is_whitespace);
            let rest = self.rest();
            if rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if rest.starts_with("/*") {
                let open =
                    SelectorError::new(self.at..self.text.len(), "this comment is never closed");
                self.at += rest.find("*/").ok_or(open)? + 2;
            } else {
                return Ok(self.peek());
            }
        }
    }

    fn token(&mut self, first: char) -> Result<Token, SelectorError> {
        let follows_digit = self
            .rest()
            .chars()
            .nth(1)
            .is_some_and(|c| c.is_ascii_digit());
        match first {
            '"' | '`' => self
                .string()
                .map(|text| Token::Literal(Literal::Text(text))),
            '0'..='9' => self.number(),
            '.' if follows_digit => self.number(),
            '.' => self.attribute(ScopeToken::Any, self.at),
            'a'..='z' | 'A'..='Z' | '_' => self.word(),
            _ => self.sign(first),
        }
    }

    fn sign(&mut self, first: char) -> Result<Token, SelectorError> {
        let rest = self.rest();
        if rest.starts_with("==") {
            return Err(
                SelectorError::new(self.at..self.at + 2, "`==` is not an operator")
                    .with_help("write `=`"),
            );
        }
        if let Some((sign, token)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.at += sign.len();
            return Ok(token.clone());
        }
        let error = SelectorError::new(
            self.at..self.at + first.len_utf8(),
            format!("`{first}` has no meaning here"),
        );
        Err(match first {
            '&' => error.with_help("write `&&`"),
            '\'' => error.with_help("put text in double quotes or backticks"),
            _ => error,
        })
    }

    /// Reads a word, a scoped intrinsic `scope:word` or a scoped attribute `scope.name`.
    fn word(&mut self) -> Result<Token, SelectorError> {
        let start = self.at;
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word = self.take_while(is_part);
        match self.peek() {
            Some('.') => {
                let scope = SCOPES.iter().find(|(name, _)| *name == word);
                let Some((_, scope)) = scope else {
                    return Err(self.unknown_scope(word, start));
                };
                self.attribute(*scope, start)
            }
            Some(':') => {
                self.at += 1;
                self.take_while(is_part);
                Ok(Token::Word)
            }
            _ => Ok(Token::Word),
        }
    }

    fn unknown_scope(&self, word: &str, start: usize) -> SelectorError {
        let names = SCOPES.iter().map(|(name, _)| *name);
        let error = SelectorError::new(
            start..start + word.len(),
            format!("`{word}` is not a scope that attributes have"),
        );
        let tail: String = self
            .rest()
            .chars()
            .take_while(|c| is_attribute_part(*c))
            .collect();
        error.with_help(match nearest(word, names) {
            Some(scope) => format!("did you mean `{scope}{tail}`?"),
            None => {
                format!("write `span.{word}{tail}`, `resource.{word}{tail}` or `.{word}{tail}`")
            }
        })
    }

    /// Reads the rest of an attribute, from its dot on; `start` is where its scope begins.
    fn attribute(&mut self, scope: ScopeToken, start: usize) -> Result<Token, SelectorError> {
        self.at += 1;
        let mut key = String::new();
        while let Some(next) = self.peek().filter(|c| is_attribute_part(*c)) {
            if next == '"' {
                self.quoted_part(&mut key)?;
            } else {
                key.push(next);
                self.at += next.len_utf8();
            }
        }
        if key.is_empty() {
            return Err(SelectorError::new(
                start..self.at,
                "the name of the attribute is missing after the dot",
            ));
        }
        Ok(Token::Attribute(scope, key))
    }

    /// Reads the quoted part of an attribute's name, where only `\"` and `\\` are escapes.
    fn quoted_part(&mut self, key: &mut String) -> Result<(), SelectorError> {
        let start = self.at;
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += offset + 1;
                    return Ok(());
                }
                '\\' => {
                    let escaped = chars.next().filter(|(_, c)| matches!(c, '"' | '\\'));
                    let at = start + offset;
                    let error = SelectorError::new(at..at + 1, ATTRIBUTE_ESCAPES);
                    let (_, escaped) = escaped.ok_or(error)?;
                    key.push(escaped);
                }
                _ => key.push(c),
            }
        }
        Err(SelectorError::new(
            start..self.text.len(),
            "this quote is never closed",
        ))
    }

    fn string(&mut self) -> Result<String, SelectorError> {
        let start = self.at;
        let (text, length) = literal::string(self.rest()).map_err(|error| error.shifted(start))?;
        self.at += length;
        Ok(text)
    }

    /// Reads a number or a duration: everything up to the first character that neither could have.
    fn number(&mut self) -> Result<Token, SelectorError> {
        let start = self.at;
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_');
        self.take_while(is_part);
        let taken = |to| self.text.get(start..to).unwrap_or_default();
        let is_exponent = taken(self.at)
            .strip_suffix(['e', 'E'])
            .is_some_and(|mantissa| mantissa.parse::<f64>().is_ok());
        if is_exponent && self.rest().starts_with(['+', '-']) {
            self.at += 1;
            self.take_while(is_part);
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        literal::number(text)
            .map(Token::Literal)
            .map_err(|error| error.shifted(start))
    }
}

const ATTRIBUTE_ESCAPES: &str = "only `\\\"` and `\\\\` are escapes in the name of an attribute";

fn is_attribute_part(c: char) -> bool {
    !c.is_whitespace()
        && !matches!(
            c,
            '{' | '}' | '(' | ')' | '=' | '~' | '!' | '<' | '>' | '&' | '|' | '^' | ','
        )
}
