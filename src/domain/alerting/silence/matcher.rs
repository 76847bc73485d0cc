//! One matcher of a silence, in the syntax of Alertmanager and `amtool`: `team="shop"`,
//! `slo=~"orders.*"`.

use std::{fmt, str::FromStr};

use regex::{Regex, RegexBuilder};

use super::labels::AlertLabels;

/// In bytes. A longer expression is not a sensible way to select alerts.
const LONGEST: usize = 1_000;
/// The memory limit of a compiled expression, so that a short text cannot use a large amount.
const MOST_MEMORY: usize = 1 << 20;

/// The condition on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    operator: MatchOperator,
    value: String,
    /// Matches the whole value; set only for an operator with an expression.
    regex: Option<Regex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOperator {
    Equal,
    NotEqual,
    Like,
    NotLike,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseMatcherError {
    #[error("`{0}` is no matcher: write `team=shop`, `slo=~\"orders.*\"`, `severity!=page`")]
    Shape(String),
    #[error("`{value}` in `{matcher}` is no regular expression: {reason}")]
    Expression {
        matcher: String,
        value: String,
        reason: String,
    },
    #[error("a matcher is longer than {LONGEST} bytes")]
    TooLong,
}

impl Matcher {
    pub fn matches(&self, labels: &AlertLabels) -> bool {
        self.takes(labels.value(&self.name))
    }

    /// Returns whether a missing label satisfies it.
    pub fn takes_nothing(&self) -> bool {
        self.takes("")
    }

    /// Makes a matcher for `name` with exactly this value.
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            operator: MatchOperator::Equal,
            value: value.to_owned(),
            regex: None,
        }
    }

    /// Writes a matcher as it is parsed, whatever characters the value has.
    pub fn text(name: &str, operator: MatchOperator, value: &str) -> String {
        let mut text = format!("{name}{}\"", operator.as_str());
        for character in value.chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
        text
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub const fn operator(&self) -> MatchOperator {
        self.operator
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    fn takes(&self, value: &str) -> bool {
        let is_like = || {
            self.regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(value))
        };
        match self.operator {
            MatchOperator::Equal => value == self.value,
            MatchOperator::NotEqual => value != self.value,
            MatchOperator::Like => is_like(),
            MatchOperator::NotLike => !is_like(),
        }
    }
}

impl FromStr for Matcher {
    type Err = ParseMatcherError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LONGEST {
            return Err(ParseMatcherError::TooLong);
        }
        let shape = || ParseMatcherError::Shape(text.to_owned());
        let at = text.find(['=', '!']).ok_or_else(shape)?;
        let (name, rest) = text.split_at(at);
        let (operator, value) = MatchOperator::split(rest).ok_or_else(shape)?;
        let name = name.trim();
        if !is_label(name) {
            return Err(shape());
        }
        let value = unquoted(value.trim()).ok_or_else(shape)?;
        let regex = match operator {
            MatchOperator::Equal | MatchOperator::NotEqual => None,
            MatchOperator::Like | MatchOperator::NotLike => Some(whole(text, &value)?),
        };
        Ok(Self {
            name: name.to_owned(),
            operator,
            value,
            regex,
        })
    }
}

impl fmt::Display for Matcher {
    /// Formats it so that it parses to the same matcher.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::text(&self.name, self.operator, &self.value))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl Eq for Matcher {}

impl MatchOperator {
    /// The longer ones first: each begins with a shorter one.
    const ALL: [Self; 4] = [Self::Like, Self::NotLike, Self::NotEqual, Self::Equal];

    pub const fn is_equal(self) -> bool {
        matches!(self, Self::Equal | Self::Like)
    }

    pub const fn is_regex(self) -> bool {
        matches!(self, Self::Like | Self::NotLike)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Like => "=~",
            Self::NotLike => "!~",
        }
    }

    fn split(text: &str) -> Option<(Self, &str)> {
        Self::ALL
            .into_iter()
            .find_map(|operator| Some((operator, text.strip_prefix(operator.as_str())?)))
    }
}

/// Returns whether a name may be a label of an SLO or an attribute of spans.
fn is_label(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    !name.is_empty() && name.chars().all(is_part)
}

/// Removes surrounding quotes; `None` for a single quote, or text after the closing one.
fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let mut value = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return characters.as_str().is_empty().then_some(value),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                // As in Alertmanager: an unknown escape stays as it is.
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

fn whole(matcher: &str, value: &str) -> Result<Regex, ParseMatcherError> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(MOST_MEMORY).build();
    // On its own first: a stray bracket must not change the meaning of what is added around it.
    build(value)
        .and_then(|_| build(&format!("^(?s:{value})$")))
        .map_err(|error| ParseMatcherError::Expression {
            matcher: matcher.to_owned(),
            value: value.to_owned(),
            reason: reason(&error),
        })
}

/// Returns the last line of the library's error: those before quote the expression with the
/// additions around it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(matcher: &str, value: &str) -> bool {
        matcher.parse::<Matcher>().unwrap().takes(value)
    }

    #[test]
    fn the_four_operators_ask_what_they_ask_in_alertmanager() {
        assert!(matches("team=shop", "shop") && !matches("team=shop", "shops"));
        assert!(matches("team != \"shop\"", "") && !matches("team!=shop", "shop"));
        assert!(matches("slo=~orders.*", "orders-on-time") && !matches("slo=~order", "orders"));
        assert!(matches("slo!~a|b", "ab") && !matches("slo!~a|b", "b"));
        assert!(matches("a=\"say \\\"b\\\\\\n\"", "say \"b\\\n"));
        assert!(
            matches(r#"slo=~"a\d+""#, "a12"),
            "an expression keeps its backslashes"
        );
        assert!(matches("a==b", "=b"), "a value may be anything");
        assert!(matches("a=~.*", "two\nlines"), "whatever stands in a value");
    }

    #[test]
    fn what_is_no_matcher_is_refused_with_one_that_is() {
        for bad in [
            "", "orders", "=a", "a b=c", "a=\"b", "a=\"b\"c", "a=b\"", "a!b",
        ] {
            let error = bad.parse::<Matcher>().unwrap_err();
            assert_eq!(error, ParseMatcherError::Shape(bad.to_owned()));
        }
        let error = "slo=~or(ders".parse::<Matcher>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`or(ders` in `slo=~or(ders` is no regular expression: unclosed group"
        );
        let closing = "slo=~a)|(b".parse::<Matcher>();
        assert!(closing.is_err(), "an expression cannot leave its anchors");
        let huge = format!("slo=~{}", "(a{99}){99}{99}");
        assert!(huge.parse::<Matcher>().is_err(), "nor ask for much memory");
        let long = format!("slo={}", "a".repeat(1_000));
        assert_eq!(
            long.parse::<Matcher>().unwrap_err(),
            ParseMatcherError::TooLong
        );
    }

    proptest! {
        #[test]
        fn a_matcher_reads_back_as_it_was_written(name in "[a-z_.]{1,9}", operator in "=|!=|=~|!~", value: String) {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            if let Ok(matcher) = format!("{name}{operator}\"{quoted}\"").parse::<Matcher>() {
                prop_assert_eq!(&matcher.value, &value);
                prop_assert_eq!(matcher.to_string().parse::<Matcher>().unwrap(), matcher);
            } else {
                prop_assert!(operator.contains('~') || value.len() > 900);
            }
        }
    }
}
