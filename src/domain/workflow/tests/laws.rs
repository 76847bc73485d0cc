//! Laws that hold for any evidence: order, duplicates and interleaving change nothing.

use proptest::prelude::*;

use super::*;

/// A span of the workflow, as its role and its end in seconds.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Start(u16),
    Finish(u16),
    FailedAttempt(u16),
    DeadLetter(u16),
    Cancel(u16),
}

impl Piece {
    fn span(self, number: usize) -> Span {
        let id = format!("a:{}", number + 1);
        let instant = |name: &str, secs: u16| {
            let secs = f64::from(secs);
            span(&id, name, [secs, secs])
        };
        match self {
            Self::Start(secs) => instant("enqueue", secs),
            Self::Finish(secs) => instant("finish", secs),
            Self::FailedAttempt(secs) => instant("finish", secs).failed(),
            Self::DeadLetter(secs) => instant("dead letter", secs),
            Self::Cancel(secs) => instant("cancel", secs),
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    let secs = 0_u16..200;
    prop_oneof![
        3 => secs.clone().prop_map(Piece::Start),
        3 => secs.clone().prop_map(Piece::Finish),
        1 => secs.clone().prop_map(Piece::FailedAttempt),
        1 => secs.clone().prop_map(Piece::DeadLetter),
        1 => secs.prop_map(Piece::Cancel),
    ]
}

/// The verdict by the words of the contract, from the whole set of spans at once; shares no code
/// with what it checks. Everything has arrived and every deadline has passed.
fn oracle(pieces: &[Piece]) -> (Outcome, u32) {
    let of = |pick: fn(&Piece) -> Option<u16>| pieces.iter().filter_map(pick).min().map(u32::from);
    let start = of(|p| {
        if let Piece::Start(s) = p {
            Some(*s)
        } else {
            None
        }
    });
    let finish = of(|p| {
        if let Piece::Finish(s) = p {
            Some(*s)
        } else {
            None
        }
    });
    let fail = of(|p| {
        if let Piece::DeadLetter(s) = p {
            Some(*s)
        } else {
            None
        }
    });
    let cancel = of(|p| {
        if let Piece::Cancel(s) = p {
            Some(*s)
        } else {
            None
        }
    });
    let Some(start) = start else {
        let first = [finish, fail, cancel].into_iter().flatten().min().unwrap();
        return (Outcome::Orphan, first);
    };
    let deadline = start + 60;
    match finish {
        Some(end) if end + 1 < start => (Outcome::Invalid, end),
        Some(end) if end > deadline => (Outcome::Late, deadline),
        Some(end) => (Outcome::Good, end.max(start)),
        None => oracle_without_finish(start, fail, cancel),
    }
}

fn oracle_without_finish(start: u32, fail: Option<u32>, cancel: Option<u32>) -> (Outcome, u32) {
    let deadline = start + 60;
    let cancelled_first = match (fail, cancel) {
        (None, None) => return (Outcome::Timeout, deadline),
        (Some(fail), Some(cancel)) => cancel.min(deadline) < fail.min(deadline),
        (fail, _) => fail.is_none(),
    };
    let (outcome, at) = match cancel {
        Some(cancel) if cancelled_first && cancel > deadline => (Outcome::Late, deadline),
        Some(cancel) if cancelled_first => (Outcome::Cancelled, cancel),
        _ => (Outcome::Failed, fail.unwrap().min(deadline)),
    };
    if at + 1 < start {
        (Outcome::Invalid, at)
    } else {
        (outcome, at.max(start))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Any order, any duplication, any split into requests and any progress of the watermark in
    /// between give what the oracle says, and the counts moved on the way add up to it.
    #[test]
    fn any_order_duplication_and_interleaving_gives_the_same_verdict(
        pieces in proptest::collection::vec(piece(), 1..7),
        schedule in proptest::collection::vec((any::<prop::sample::Index>(), 0_u16..600), 0..14),
    ) {
        let is_evidence = |p: &&Piece| !matches!(p, Piece::FailedAttempt(_));
        prop_assume!(pieces.iter().any(|p| is_evidence(&p)));
        let spans: Vec<_> = pieces.iter().enumerate().map(|(i, p)| p.span(i)).collect();
        let mut world = World::workflow(workflow_slo());
        for (index, watermark) in schedule {
            let watermark = f64::from(watermark).max(world.watermark.as_secs_f64() - at(0.0).as_secs_f64());
            world = world.receive(&[spans[index.index(spans.len())].clone()]).until(watermark);
        }
        // What had not been delivered yet comes at last, all of it once more.
        let world = world.receive(&spans).until(10_000.0).adds_up();
        let (outcome, secs) = oracle(&pieces);
        prop_assert_eq!(world.verdicts(), [(outcome, Some(f64::from(secs)))]);
    }

    #[test]
    fn joining_is_associative_commutative_and_idempotent(
        pieces in proptest::collection::vec(piece(), 3),
    ) {
        let world = World::workflow(workflow_slo());
        let mut findings = Findings::default();
        for (number, piece) in pieces.iter().enumerate() {
            world.classifier.classify(&piece.span(number), at(-1e6), &mut findings);
        }
        prop_assume!(findings.evidence.len() == 3);
        let [a, b, c] = [0, 1, 2].map(|i| Workflow::from(&findings.evidence[i]));
        let join = |x: &Workflow, y: &Workflow| { let mut x = x.clone(); x.join(y); x };
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&a, &a), a);
    }
}
