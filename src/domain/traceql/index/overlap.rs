//! Compares two selectors: whether they may select the same spans.

use crate::domain::model::span::AttributeScope;
use crate::domain::traceql::{
    Selector,
    condition::{Operand, Predicate, ValueTest},
    tree::{Comparison, Intrinsic, Literal, SelectorField},
};

/// The value that a selector requires of a field.
#[derive(Clone, Copy)]
enum DemandedValue<'a> {
    Equal(&'a Literal),
    Like(&'a regex::Regex),
}

type Demanded<'a> = (&'a SelectorField, DemandedValue<'a>);

impl Selector {
    /// Returns whether both may select the same spans: they require the same name or the same value
    /// of an attribute, and nothing different. Selectors that share only a kind or a service do not
    /// count, although a span may match both.
    pub fn may_select_the_same_span_as(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        demanded(&self.condition, &mut ours);
        demanded(&other.condition, &mut theirs);
        let mut names_it = false;
        let pairs = ours.iter().flat_map(|(field, wanted)| {
            let of_field = theirs.iter().filter(move |(other, _)| other == field);
            of_field.map(move |(_, other)| (field, agree(*wanted, *other)))
        });
        for (field, agree) in pairs {
            match agree {
                Some(true) => names_it |= tells_spans_apart(field),
                Some(false) => return false,
                None => {}
            }
        }
        names_it
    }
}

/// Adds the requirements of `condition`; alternatives are left out.
fn demanded<'a>(condition: &'a Predicate, all: &mut Vec<Demanded<'a>>) {
    match condition {
        Predicate::All(parts) => parts.iter().for_each(|part| demanded(part, all)),
        Predicate::Bound(_, inner) => demanded(inner, all),
        Predicate::Test(test) => all.extend(demand(test)),
        Predicate::Any(_)
        | Predicate::Not(_)
        | Predicate::Missing(_)
        | Predicate::Present(_)
        | Predicate::Constant(_) => {}
    }
}

fn demand(test: &ValueTest) -> Option<Demanded<'_>> {
    match test {
        ValueTest::Compare(left, Comparison::Equal, right) => match (left, right) {
            (Operand::Field(field), Operand::Literal(literal))
            | (Operand::Literal(literal), Operand::Field(field)) => {
                Some((field, DemandedValue::Equal(literal)))
            }
            _ => None,
        },
        ValueTest::Pattern {
            operand: Operand::Field(field),
            regex,
            wanted: true,
        } => Some((field, DemandedValue::Like(regex))),
        ValueTest::Compare(..) | ValueTest::Pattern { .. } => None,
    }
}

/// Returns whether one value can satisfy both; `None` if that is unknown.
fn agree(one: DemandedValue<'_>, other: DemandedValue<'_>) -> Option<bool> {
    match (one, other) {
        (DemandedValue::Equal(one), DemandedValue::Equal(other)) => Some(one == other),
        (DemandedValue::Like(regex), DemandedValue::Equal(Literal::Text(text)))
        | (DemandedValue::Equal(Literal::Text(text)), DemandedValue::Like(regex)) => {
            Some(regex.is_match(text))
        }
        (DemandedValue::Like(one), DemandedValue::Like(other)) => {
            (one.as_str() == other.as_str()).then_some(true)
        }
        (DemandedValue::Like(_), DemandedValue::Equal(_))
        | (DemandedValue::Equal(_), DemandedValue::Like(_)) => Some(false),
    }
}

fn tells_spans_apart(field: &SelectorField) -> bool {
    match field {
        SelectorField::Intrinsic(intrinsic) => *intrinsic == Intrinsic::Name,
        SelectorField::Attribute(name) => {
            matches!(name.scope, AttributeScope::Span | AttributeScope::Any)
        }
        SelectorField::EventAttribute(_) | SelectorField::LinkAttribute(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_one_name_are_about_the_same_spans_unless_something_differs() {
        let run = r#"{ name = "run" }"#;
        let like = r#"{ name =~ "Run.*" }"#;
        let job = r#"{ name = "job" && kind = producer && span.state = "queued" }"#;
        for (one, other, are_same) in [
            (run, r#"{ name = "run" && status != error }"#, true),
            (like, r#"{ "RunWorkflow" = name }"#, true),
            (like, r#"{ name =~ "Run.*" && status = ok }"#, true),
            (
                "{ span.job = 1 && kind = internal }",
                "{ span.job = 1 }",
                true,
            ),
            (run, r#"{ name = "done" }"#, false),
            (like, r#"{ name = "Complete" }"#, false),
            (job, r#"{ name = "job" && kind = consumer }"#, false),
            (job, r#"{ name = "job" && span.state = "done" }"#, false),
            (
                "{ kind = consumer && span.a = 1 }",
                "{ kind = consumer && span.b = 1 }",
                false,
            ),
            (
                "{ resource.a = 1 && span.a = 1 }",
                "{ resource.a = 1 }",
                false,
            ),
            (run, r#"{ name = "run" || name = "b" }"#, false),
        ] {
            let (left, right) = (
                Selector::parse(one).unwrap(),
                Selector::parse(other).unwrap(),
            );
            let found = [
                left.may_select_the_same_span_as(&right),
                right.may_select_the_same_span_as(&left),
            ];
            assert_eq!(found, [are_same; 2], "{one} and {other}");
        }
    }
}
