//! Laws that hold for any evidence: order, duplicates and interleaving change nothing.

use proptest::prelude::*;

use super::{
    oracle::{OracleShape, OracleSpan, oracle},
    *,
};

impl OracleSpan {
    fn span(self, number: usize) -> Span {
        let id = format!("a:{}", number + 1);
        let instant = |name: &str, secs: u16| {
            let secs = f64::from(secs);
            span(&id, name, [secs, secs])
        };
        let of_leg = |span: Span, leg: u8| span.with("item", i64::from(leg));
        match self {
            Self::Start(secs) => instant("enqueue", secs),
            Self::Opens(secs) => instant("step", secs),
            Self::StartExpecting(secs, legs) => {
                instant("enqueue", secs).with("legs", i64::from(legs))
            }
            Self::Finish(secs, leg) => of_leg(instant("finish", secs), leg),
            Self::FailedAttempt(secs) => instant("finish", secs).failed(),
            Self::DeadLetter(secs, leg) => of_leg(instant("dead letter", secs), leg),
            Self::Cancel(secs) => instant("cancel", secs),
            Self::Pause(from, to) => {
                let mut span = instant("approval", from);
                span.end_unix_nano = nanos(f64::from(to));
                span
            }
        }
    }
}

fn piece() -> impl Strategy<Value = OracleSpan> {
    let secs = 0_u16..200;
    let leg = 0_u8..3;
    prop_oneof![
        2 => secs.clone().prop_map(OracleSpan::Start),
        2 => secs.clone().prop_map(OracleSpan::Opens),
        2 => (secs.clone(), 0_u8..4).prop_map(|(at, legs)| OracleSpan::StartExpecting(at, legs)),
        4 => (secs.clone(), leg.clone()).prop_map(|(at, leg)| OracleSpan::Finish(at, leg)),
        1 => secs.clone().prop_map(OracleSpan::FailedAttempt),
        2 => (secs.clone(), leg).prop_map(|(at, leg)| OracleSpan::DeadLetter(at, leg)),
        1 => secs.clone().prop_map(OracleSpan::Cancel),
        2 => (secs, 1_u16..90).prop_map(|(from, length)| OracleSpan::Pause(from, from + length)),
    ]
}

fn shape() -> impl Strategy<Value = OracleShape> {
    let complete = prop_oneof![
        3 => Just(None),
        2 => Just(Some(Completion::All)),
        1 => Just(Some(Completion::Any)),
        1 => (1_u32..4).prop_map(|legs| Some(Completion::AtLeast(legs))),
    ];
    let cancelled = prop_oneof![
        Just(CancelPolicy::Exclude),
        Just(CancelPolicy::Good),
        Just(CancelPolicy::Bad),
    ];
    (complete, cancelled).prop_map(|(complete, cancelled)| OracleShape {
        complete,
        cancelled,
    })
}

fn slo_of(shape: OracleShape) -> WorkflowIndicator {
    WorkflowIndicator {
        opens: Some(selector(r#"{ name = "step" }"#)),
        pause: Some(selector(r#"{ name = "approval" }"#)),
        legs: shape.complete.map(|complete| FanOut {
            expect: Some(attribute("legs")),
            by: Some(attribute("item")),
            complete,
        }),
        cancelled: shape.cancelled,
        ..workflow_slo()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Any order, any duplication, any split into requests and any progress of the watermark in
    /// between give the oracle's result, and the differences of the counts add up to it.
    #[test]
    fn any_order_duplication_and_interleaving_gives_the_same_verdict(
        shape in shape(),
        pieces in proptest::collection::vec(piece(), 1..9),
        schedule in proptest::collection::vec((any::<prop::sample::Index>(), 0_u16..600), 0..14),
    ) {
        let is_evidence = |p: &&OracleSpan| !matches!(p, OracleSpan::FailedAttempt(_));
        prop_assume!(pieces.iter().any(|p| is_evidence(&p)));
        let spans: Vec<_> = pieces.iter().enumerate().map(|(i, p)| p.span(i)).collect();
        let mut world = SloUnderTest::workflow(slo_of(shape));
        for (index, watermark) in schedule {
            let watermark = f64::from(watermark).max(world.watermark.as_secs_f64() - at(0.0).as_secs_f64());
            world = world.receive(&[spans[index.index(spans.len())].clone()]).until(watermark);
        }
        // Spans that were not yet delivered arrive at last, and all others once more.
        let world = world.receive(&spans).until(10_000.0).adds_up();
        let (outcome, secs) = oracle(shape, &pieces);
        prop_assert_eq!(world.verdicts(), [(outcome, Some(f64::from(secs)))]);
    }

    #[test]
    fn joining_is_associative_commutative_and_idempotent(
        shape in shape(),
        pieces in proptest::collection::vec(piece(), 3..5),
    ) {
        let world = SloUnderTest::workflow(slo_of(shape));
        let mut findings = ClassifiedBatch::default();
        for (number, piece) in pieces.iter().enumerate() {
            world.classifier.classify(&piece.span(number), at(-1e6), &mut findings);
        }
        prop_assume!(findings.evidence.len() >= 3);
        let [a, b, c] = [0, 1, 2].map(|i| Workflow::from(&findings.evidence[i]));
        let join = |x: &Workflow, y: &Workflow| { let mut x = x.clone(); x.join(y); x };
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&a, &a), a);
    }
}
