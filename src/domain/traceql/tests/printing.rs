//! Prints a tree with the minimum of parentheses, and generates trees.

use proptest::prelude::*;

use crate::domain::{
    model::span::{AttributeName, AttributeScope, SpanKind, SpanStatus},
    traceql::tree::{Arithmetic, Comparison, Expr, Expression, Intrinsic, Literal, SelectorField},
};

pub(super) fn print(node: &Expression) -> String {
    format!("{{ {} }}", expression(node, 0))
}

/// Prints `node` where an operator of strength `minimum` or more is allowed.
fn expression(node: &Expression, minimum: u8) -> String {
    let (strength, text) = match &node.expr {
        Expr::Literal(literal) => (9, self::literal(literal)),
        Expr::Field(field) => (9, self::field(field)),
        // A sign is allowed wherever a value is, but includes all stronger operators on its right:
        // parentheses around it are always correct.
        Expr::Not(inner) => (0, format!("!{}", expression(inner, 5))),
        Expr::Negate(inner) => (0, format!("-{}", expression(inner, 4))),
        Expr::All(parts) => (1, chain(parts, " && ")),
        Expr::Any(parts) => (1, chain(parts, " || ")),
        Expr::Compare(comparison, left, right) => {
            let sign = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "!=",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
                Comparison::Matches => "=~",
                Comparison::NotMatches => "!~",
            };
            (
                2,
                format!("{} {sign} {}", expression(left, 2), expression(right, 3)),
            )
        }
        Expr::Arithmetic(arithmetic, left, right) => {
            let (sign, strength) = match arithmetic {
                Arithmetic::Add => ("+", 3),
                Arithmetic::Subtract => ("-", 3),
                Arithmetic::Multiply => ("*", 5),
                Arithmetic::Divide => ("/", 5),
                Arithmetic::Remainder => ("%", 5),
                Arithmetic::Power => ("^", 6),
            };
            let (above, beside) = (strength + 1, strength);
            let sides = if *arithmetic == Arithmetic::Power {
                (above, beside)
            } else {
                (beside, above)
            };
            let (left, right) = (expression(left, sides.0), expression(right, sides.1));
            (strength, format!("{left} {sign} {right}"))
        }
    };
    if strength < minimum || strength == 0 {
        format!("({text})")
    } else {
        text
    }
}

fn chain(parts: &[Expression], sign: &str) -> String {
    let parts: Vec<_> = parts.iter().map(|part| expression(part, 2)).collect();
    parts.join(sign)
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => quoted(text),
        Literal::Int(value) => value.to_string(),
        Literal::Float(value) => format!("{value:?}"),
        Literal::Duration(nanos) => format!("{}ms{}ns", nanos / 1_000_000, nanos % 1_000_000),
        Literal::Bool(value) => value.to_string(),
        Literal::Nil => "nil".to_owned(),
        Literal::Status(status) => format!("{status:?}").to_lowercase(),
        Literal::Kind(kind) => format!("{kind:?}").to_lowercase(),
    }
}

/// Quotes with TraceQL's escapes; Rust's own escapes differ.
fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        c if c.is_control() => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

fn field(field: &SelectorField) -> String {
    let (scope, key) = match field {
        SelectorField::Intrinsic(Intrinsic::EventName) => return "event:name".to_owned(),
        SelectorField::Intrinsic(Intrinsic::Duration) => return "span:duration".to_owned(),
        SelectorField::Intrinsic(_) => return "name".to_owned(),
        SelectorField::EventAttribute(key) => ("event", key),
        SelectorField::LinkAttribute(key) => ("link", key),
        SelectorField::Attribute(name) => {
            let scope = match name.scope {
                AttributeScope::Span => "span",
                AttributeScope::Resource => "resource",
                AttributeScope::Any => "",
                AttributeScope::Instrumentation => "instrumentation",
            };
            (scope, &name.key)
        }
    };
    let key = key.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{scope}.\"{key}\"")
}

fn any_leaf() -> impl Strategy<Value = Expr> {
    let scope = prop::sample::select(vec![
        AttributeScope::Span,
        AttributeScope::Resource,
        AttributeScope::Any,
        AttributeScope::Instrumentation,
    ]);
    prop_oneof![
        any::<String>().prop_map(|text| Expr::Literal(Literal::Text(text))),
        (0..i64::MAX).prop_map(|value| Expr::Literal(Literal::Int(value))),
        (0.0..1e300).prop_map(|value| Expr::Literal(Literal::Float(value))),
        (0..i64::MAX).prop_map(|nanos| Expr::Literal(Literal::Duration(nanos))),
        any::<bool>().prop_map(|value| Expr::Literal(Literal::Bool(value))),
        Just(Expr::Literal(Literal::Nil)),
        Just(Expr::Literal(Literal::Status(SpanStatus::Unset))),
        Just(Expr::Literal(Literal::Kind(SpanKind::Producer))),
        prop::sample::select(vec![
            Intrinsic::Name,
            Intrinsic::Duration,
            Intrinsic::EventName
        ])
        .prop_map(|intrinsic| Expr::Field(SelectorField::Intrinsic(intrinsic))),
        (scope, ".+").prop_map(|(scope, key)| {
            Expr::Field(SelectorField::Attribute(AttributeName { scope, key }))
        }),
        ".+".prop_map(|key| Expr::Field(SelectorField::EventAttribute(key))),
        "[a-z.]+".prop_map(|key| Expr::Field(SelectorField::LinkAttribute(key))),
    ]
}

/// Makes any tree that a text could be parsed to, whether its types fit or not.
pub(super) fn any_tree() -> impl Strategy<Value = Expression> {
    let node = |expr| Expression::leaf(expr, 0..0);
    any_leaf()
        .prop_map(node)
        .prop_recursive(5, 40, 4, move |inner| {
            let boxed = || inner.clone().prop_map(Box::new);
            let comparison = prop::sample::select(vec![
                Comparison::Equal,
                Comparison::NotEqual,
                Comparison::Less,
                Comparison::LessOrEqual,
                Comparison::Greater,
                Comparison::GreaterOrEqual,
                Comparison::Matches,
                Comparison::NotMatches,
            ]);
            let arithmetic = prop::sample::select(vec![
                Arithmetic::Add,
                Arithmetic::Subtract,
                Arithmetic::Multiply,
                Arithmetic::Divide,
                Arithmetic::Remainder,
                Arithmetic::Power,
            ]);
            prop_oneof![
                boxed().prop_map(Expr::Not),
                boxed().prop_map(Expr::Negate),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::All),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Any),
                (comparison, boxed(), boxed()).prop_map(|(sign, l, r)| Expr::Compare(sign, l, r)),
                (arithmetic, boxed(), boxed())
                    .prop_map(|(sign, l, r)| Expr::Arithmetic(sign, l, r)),
            ]
            .prop_map(node)
        })
}
