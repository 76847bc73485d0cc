//! A compiled selector, and its test of a span.

use regex::Regex;

use super::{
    SelectorContext,
    datum::Datum,
    tree::{Arithmetic, Comparison, Intrinsic, Literal, SelectorField},
};
use crate::domain::model::span::{EventView, LinkView, SpanView};

/// True or false for every span.
#[derive(Clone, Debug)]
pub(super) enum Predicate {
    Constant(bool),
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    /// Holds if it holds with any one event and any one link, as far as it uses them. Events and
    /// links that are already bound stay.
    Bound(EventBinding, Box<Predicate>),
    /// A test for nil: for a field of events or links without a bound one, none of them has a
    /// value.
    Missing(SelectorField),
    Present(SelectorField),
    Test(ValueTest),
}

/// A comparison of known values.
#[derive(Clone, Debug)]
pub(super) enum ValueTest {
    Compare(Operand, Comparison, Operand),
    Pattern {
        operand: Operand,
        regex: Regex,
        /// The required result of the regular expression.
        wanted: bool,
    },
}

/// The use of an event and of a link by a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EventBinding {
    pub events: bool,
    pub links: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Literal(Literal),
    Field(SelectorField),
    Negate(Box<Operand>),
    Arithmetic(Arithmetic, Box<(Operand, Operand)>),
    Condition(Box<Predicate>),
}

impl Predicate {
    pub(super) fn holds(&self, span: &dyn SpanView, context: SelectorContext) -> bool {
        self.holds_in(&Scene {
            span,
            context,
            event: None,
            link: None,
            at_hand: EventBinding::default(),
        })
    }

    fn holds_in(&self, scene: &Scene<'_>) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::All(parts) => parts.iter().all(|part| part.holds_in(scene)),
            Self::Any(parts) => parts.iter().any(|part| part.holds_in(scene)),
            Self::Not(inner) => !inner.holds_in(scene),
            Self::Bound(reach, inner) => scene.any(*reach, &|scene| inner.holds_in(scene)),
            Self::Missing(field) => !scene.any(EventBinding::of(field), &|scene| {
                !scene.read(field).is_nil()
            }),
            Self::Present(field) => !scene.read(field).is_nil(),
            Self::Test(test) => test.holds_in(scene),
        }
    }
}

impl ValueTest {
    fn holds_in(&self, scene: &Scene<'_>) -> bool {
        match self {
            Self::Compare(left, comparison, right) => {
                left.value(scene).compares(*comparison, &right.value(scene))
            }
            Self::Pattern {
                operand,
                regex,
                wanted,
            } => {
                let value = operand.value(scene);
                let texts = value.elements().iter().filter_map(Datum::as_text);
                // For an array, any text must match, or none.
                let matched = texts.map(|text| regex.is_match(text));
                matched.reduce(|any, matched| any || matched) == Some(*wanted)
            }
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, scene: &Scene<'a>) -> Datum<'a> {
        match self {
            Self::Literal(literal) => literal.into(),
            Self::Field(field) => scene.read(field),
            Self::Negate(inner) => inner.value(scene).negated(),
            Self::Arithmetic(arithmetic, sides) => sides
                .0
                .value(scene)
                .reckon(*arithmetic, &sides.1.value(scene)),
            Self::Condition(condition) => Datum::Bool(condition.holds_in(scene)),
        }
    }
}

/// Returns the value of a field of a span; nil for a field of events or links.
pub(super) fn read<'a>(span: &'a dyn SpanView, field: &SelectorField) -> Datum<'a> {
    let scene = Scene {
        span,
        context: SelectorContext::default(),
        event: None,
        link: None,
        at_hand: EventBinding::default(),
    };
    scene.read(field)
}

/// The inputs of a test: the span, and the bound event and link.
#[derive(Clone, Copy)]
struct Scene<'a> {
    span: &'a dyn SpanView,
    context: SelectorContext,
    event: Option<&'a dyn EventView>,
    link: Option<&'a dyn LinkView>,
    /// The bound event and link; set even if the span has none.
    at_hand: EventBinding,
}

impl<'a> Scene<'a> {
    /// Returns whether `test` holds with any event and any link, as far as `reach` uses them. If
    /// the span has none, it is tested without one.
    fn any(&self, reach: EventBinding, test: &dyn Fn(&Scene<'_>) -> bool) -> bool {
        if !reach.events || self.at_hand.events {
            return self.any_link(reach, test);
        }
        let mut has_none = true;
        let mut scene = *self;
        scene.at_hand.events = true;
        let holds = self.span.any_event(&mut |event| {
            has_none = false;
            let scene = Scene {
                event: Some(event),
                ..scene
            };
            scene.any_link(reach, test)
        });
        holds || (has_none && scene.any_link(reach, test))
    }

    fn any_link(&self, reach: EventBinding, test: &dyn Fn(&Scene<'_>) -> bool) -> bool {
        if !reach.links || self.at_hand.links {
            return test(self);
        }
        let mut has_none = true;
        let mut scene = *self;
        scene.at_hand.links = true;
        let holds = self.span.any_link(&mut |link| {
            has_none = false;
            test(&Scene {
                link: Some(link),
                ..scene
            })
        });
        holds || (has_none && test(&scene))
    }

    fn read(&self, field: &SelectorField) -> Datum<'a> {
        let value = match field {
            SelectorField::Intrinsic(intrinsic) => return self.intrinsic(*intrinsic),
            SelectorField::Attribute(name) => self.span.attribute(name.scope, &name.key),
            SelectorField::EventAttribute(key) => self.event.and_then(|event| event.attribute(key)),
            SelectorField::LinkAttribute(key) => self.link.and_then(|link| link.attribute(key)),
        };
        value.map_or(Datum::Nil, Datum::from)
    }

    fn intrinsic(&self, intrinsic: Intrinsic) -> Datum<'a> {
        let span = self.span;
        match intrinsic {
            Intrinsic::Name => Datum::Text(span.name().into()),
            Intrinsic::Status => Datum::Status(span.status()),
            Intrinsic::StatusMessage => Datum::Text(span.status_message().into()),
            Intrinsic::Kind => Datum::Kind(span.kind()),
            Intrinsic::Duration => self.duration(),
            Intrinsic::SpanId => span.span_id().into(),
            Intrinsic::ParentId => span.parent_span_id().map_or(Datum::Nil, Datum::from),
            Intrinsic::TraceId => span.trace_id().into(),
            Intrinsic::EventName => self
                .event
                .map_or(Datum::Nil, |event| Datum::Text(event.name().into())),
            Intrinsic::EventTimeSinceStart => self.event.map_or(Datum::Nil, |event| {
                Datum::Duration(nanos_between(
                    span.start_unix_nano(),
                    event.time_unix_nano(),
                ))
            }),
            Intrinsic::LinkTraceId => self
                .link
                .and_then(LinkView::trace_id)
                .map_or(Datum::Nil, Datum::from),
            Intrinsic::LinkSpanId => self
                .link
                .and_then(LinkView::span_id)
                .map_or(Datum::Nil, Datum::from),
            Intrinsic::InstrumentationName => text_or_nil(span.instrumentation_name()),
            Intrinsic::InstrumentationVersion => text_or_nil(span.instrumentation_version()),
            Intrinsic::WorkflowDuration => self
                .context
                .workflow_duration_ns
                .map_or_else(|| self.duration(), Datum::Duration),
        }
    }

    fn duration(&self) -> Datum<'a> {
        Datum::Duration(nanos_between(
            self.span.start_unix_nano(),
            self.span.end_unix_nano(),
        ))
    }
}

/// Returns nil for an empty text: a scope without a name has no name and no version.
fn text_or_nil(text: &str) -> Datum<'_> {
    if text.is_empty() {
        return Datum::Nil;
    }
    Datum::Text(text.into())
}

/// Returns the difference; negative if `to` is the earlier one.
fn nanos_between(from: u64, to: u64) -> i64 {
    let nanos = i128::from(to) - i128::from(from);
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}
