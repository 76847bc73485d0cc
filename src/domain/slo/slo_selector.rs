//! Selects the SLOs that an installation judges, by their labels and in the syntax of Kubernetes:
//! `team=checkout`, `team in (checkout, payments), tier!=3, !canary`.
//!
//! Several requirements are all to be met. As in Kubernetes, `!=` and `notin` also match an SLO that has
//! no such label. The namespace of an SLO is its label `namespace`.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// A selector of the SLOs that this installation judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloSelector(Vec<LabelRequirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelRequirement {
    label: String,
    condition: LabelCondition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LabelCondition {
    /// With one of these values.
    In(Vec<String>),
    /// With none of these values, or without the label.
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// The error of a text that is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSloSelector {
    #[error("it is empty: write `team=checkout`, or leave the setting out to judge all SLOs")]
    Empty,
    #[error("there is a comma with no requirement before or after it: delete it")]
    NoRequirement,
    #[error(
        "`{0}` is no requirement: write `team=checkout`, `team!=checkout`, \
         `team in (checkout, payments)`, `team notin (checkout)`, `team` or `!team`"
    )]
    Shape(String),
    #[error("`{0}` has no value: write one, or `{label}` for any", label = label_of(.0))]
    NoValue(String),
}

/// Characters of the syntax, which neither a label nor a value may contain.
const RESERVED: [char; 10] = ['=', '!', ',', '(', ')', '"', '\'', '~', '<', '>'];

impl SloSelector {
    /// Returns whether an SLO with these labels is judged.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|one| one.is_met(labels))
    }
}

impl LabelRequirement {
    fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.label);
        match &self.condition {
            LabelCondition::In(values) => value.is_some_and(|value| values.contains(value)),
            LabelCondition::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            LabelCondition::Exists => value.is_some(),
            LabelCondition::Absent => value.is_none(),
        }
    }
}

impl FromStr for SloSelector {
    type Err = InvalidSloSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSloSelector> {
        if text.trim().is_empty() {
            return Err(InvalidSloSelector::Empty);
        }
        split(text)
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for LabelRequirement {
    type Err = InvalidSloSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSloSelector> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidSloSelector::NoRequirement);
        }
        let invalid = || InvalidSloSelector::Shape(text.to_owned());
        let (label, condition) = if let Some(label) = text.strip_prefix('!') {
            (label, LabelCondition::Absent)
        } else if let Some((label, value)) = text.split_once("!=") {
            (label, LabelCondition::NotIn(vec![value_of(text, value)?]))
        } else if let Some((label, value)) = text.split_once('=') {
            let value = value.strip_prefix('=').unwrap_or(value);
            (label, LabelCondition::In(vec![value_of(text, value)?]))
        } else if let Some((label, values)) = text.split_once('(') {
            let values = values.strip_suffix(')').ok_or_else(invalid)?;
            let values = values.split(',').map(|value| value_of(text, value));
            let values = values.collect::<Result<_, _>>()?;
            match label.trim_end().rsplit_once(char::is_whitespace) {
                Some((label, "in")) => (label, LabelCondition::In(values)),
                Some((label, "notin")) => (label, LabelCondition::NotIn(values)),
                _ => return Err(invalid()),
            }
        } else {
            (text, LabelCondition::Exists)
        };
        let label = label.trim();
        if label.is_empty() || label.contains(char::is_whitespace) || label.contains(RESERVED) {
            return Err(invalid());
        }
        Ok(Self {
            label: label.to_owned(),
            condition,
        })
    }
}

impl fmt::Display for SloSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, one) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{one}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match &self.condition {
            LabelCondition::Exists => write!(f, "{label}"),
            LabelCondition::Absent => write!(f, "!{label}"),
            LabelCondition::In(values) => match &values[..] {
                [value] => write!(f, "{label}={value}"),
                _ => write!(f, "{label} in ({})", values.join(",")),
            },
            LabelCondition::NotIn(values) => match &values[..] {
                [value] => write!(f, "{label}!={value}"),
                _ => write!(f, "{label} notin ({})", values.join(",")),
            },
        }
    }
}

/// Splits at the commas outside of brackets.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
}

fn value_of(requirement: &str, value: &str) -> Result<String, InvalidSloSelector> {
    let value = value.trim();
    if value.is_empty() {
        return Err(InvalidSloSelector::NoValue(requirement.to_owned()));
    }
    if value.contains(RESERVED) {
        return Err(InvalidSloSelector::Shape(requirement.to_owned()));
    }
    Ok(value.to_owned())
}

fn label_of(requirement: &str) -> &str {
    let end = requirement.find(|c: char| c.is_whitespace() || RESERVED.contains(&c));
    requirement
        .get(..end.unwrap_or(requirement.len()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter();
        let labels = labels.map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let selector: SloSelector = selector.parse().unwrap();
        selector.matches(&labels.collect())
    }

    const CHECKOUT: &[(&str, &str)] = &[("team", "checkout"), ("namespace", "shop")];

    #[test]
    fn a_selector_matches_labels_as_kubernetes_does() {
        for (selector, checkout, nothing) in [
            ("team=checkout", true, false),
            ("team==checkout", true, false),
            ("team=payments", false, false),
            ("team!=checkout", false, true),
            ("team!=payments", true, true),
            ("team in (payments, checkout)", true, false),
            ("team notin (payments, checkout)", false, true),
            ("team notin (payments)", true, true),
            ("team", true, false),
            ("!team", false, true),
            ("! canary", true, true),
            ("team=checkout,namespace=shop", true, false),
            ("team=checkout, namespace!=shop", false, false),
            ("namespace in (shop,bank), !canary, team", true, false),
        ] {
            assert_eq!(matches(selector, CHECKOUT), checkout, "{selector}");
            assert_eq!(matches(selector, &[]), nothing, "{selector}");
        }
        assert!(matches("team=a b@c/d", &[("team", "a b@c/d")]));
    }

    #[test]
    fn a_selector_is_written_as_it_is_read() {
        for (text, written) in [
            (" team = checkout ", "team=checkout"),
            ("team in (b, a),!canary", "team in (b,a),!canary"),
            ("team notin(a)", "team!=a"),
            ("a,b!=c, d notin (e,f)", "a,b!=c,d notin (e,f)"),
        ] {
            let selector: SloSelector = text.parse().unwrap();
            assert_eq!(selector.to_string(), written);
            assert_eq!(written.parse(), Ok(selector));
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_advice() {
        let problem = |text: &str| text.parse::<SloSelector>().unwrap_err().to_string();
        assert_eq!(
            problem(" "),
            "it is empty: write `team=checkout`, or leave the setting out to judge all SLOs"
        );
        assert_eq!(
            problem("team= "),
            "`team=` has no value: write one, or `team` for any"
        );
        for text in ["a=b,", ",a=b", "a=b,,c=d"] {
            assert_eq!(
                problem(text),
                "there is a comma with no requirement before or after it: delete it"
            );
        }
        for text in ["team in ()", "team in (a,)", "team!=", "team=="] {
            assert!(problem(text).contains("has no value"), "{text}");
        }
        for text in [
            "=a",
            "!",
            "!!a",
            "team checkout",
            "team in (a",
            "team in a)",
            "team of (a)",
            "in (a)",
            "team=a=b",
            "team=~a.*",
            "team=\"a\"",
            "team>1",
        ] {
            let parsed = text.parse::<SloSelector>();
            let is_refused = matches!(parsed, Err(InvalidSloSelector::Shape(_)));
            assert!(is_refused, "{text}: {parsed:?}");
        }
    }
}
