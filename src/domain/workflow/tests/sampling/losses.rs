//! Batches whose spans could not keep all of their links: some ends are lost.

use proptest::prelude::*;

use crate::domain::workflow::tests::*;

/// Returns an SLO whose workflows `enqueue` at `a:n` identify themselves; one `finish` links to
/// those that it ends.
fn by_order() -> SloUnderTest {
    SloUnderTest::workflow(WorkflowIndicator {
        correlate: by_attribute("order.id"),
        ..workflow_slo()
    })
}

fn start(order: &str, secs: f64) -> Span {
    span("a:1", "enqueue", [secs, secs + 0.1]).with("order.id", order)
}

/// Makes a span that ends both orders, and further ones whose links were dropped.
fn batch(name: &str, [first, second]: [&str; 2], secs: f64, dropped: u32) -> Span {
    let mut batch = span("p:1", name, [secs - 1.0, secs])
        .linked_with("a:1", "", &[("order.id", first)])
        .linked_with("a:1", "", &[("order.id", second)]);
    batch.dropped_links_count = dropped;
    batch
}

fn outcomes(world: &SloUnderTest) -> Vec<Outcome> {
    world
        .verdicts()
        .into_iter()
        .map(|(outcome, _)| outcome)
        .collect()
}

#[test]
fn s10_a_workflow_whose_end_may_be_among_lost_links_is_no_timeout() {
    let orders: Vec<Span> = ["o1", "o2", "o3"].map(|order| start(order, 0.0)).to_vec();
    let world = by_order()
        .receive(&orders)
        .receive(&[batch("finish", ["o1", "o2"], 44.0, 372)])
        .until(180.0)
        .adds_up();
    assert_eq!(
        world.verdicts(),
        [
            (Outcome::Good, Some(44.0)),
            (Outcome::Good, Some(44.0)),
            (Outcome::EvidenceLost, Some(60.0))
        ]
    );
}

#[test]
fn s10_a_loss_that_becomes_known_after_the_timeout_takes_it_back() {
    let world = by_order()
        .receive(&[start("o3", 0.0)])
        .until(180.0)
        .has(Outcome::Timeout, 60.0)
        .receive(&[batch("finish", ["o1", "o2"], 44.0, 1)]);
    let of_start = (Outcome::EvidenceLost, Some(60.0));
    assert!(
        world.verdicts().contains(&of_start),
        "{:?}",
        world.verdicts()
    );
    assert_eq!(world.noted(WorkflowNote::Corrected), 1);
    world.adds_up();
}

#[test]
fn s10_an_end_that_is_told_after_all_decides() {
    by_order()
        .receive(&[start("o3", 0.0)])
        .receive(&[batch("finish", ["o3", "o3x"], 200.0, 9)])
        .receive(&[batch("finish", ["o1", "o2"], 30.0, 9)])
        .until(400.0)
        .adds_up()
        .verdicts_include(Outcome::Late, 60.0)
        .receive(&[span("b:1", "finish", [49.0, 50.0]).with("order.id", "o3")])
        .adds_up()
        .verdicts_include(Outcome::Good, 50.0);
}

#[test]
fn s10_what_was_lost_before_the_start_or_after_the_deadline_excuses_nothing() {
    for secs in [-61.0, 121.0] {
        let world = by_order()
            .receive(&[start("o3", 0.0)])
            .receive(&[batch("finish", ["o1", "o2"], secs, 9)])
            .until(400.0)
            .adds_up();
        assert!(outcomes(&world).contains(&Outcome::Timeout), "{secs}");
    }
}

#[test]
fn s10_a_failure_that_was_lost_hides_no_timeout() {
    for (name, outcome) in [
        ("dead letter", Outcome::Timeout),
        ("cancel", Outcome::EvidenceLost),
        ("finish", Outcome::EvidenceLost),
    ] {
        let world = by_order()
            .receive(&[start("o3", 0.0), batch(name, ["o1", "o2"], 44.0, 9)])
            .until(400.0)
            .adds_up();
        assert!(outcomes(&world).contains(&outcome), "{name}");
    }
}

#[test]
fn s10_links_beyond_those_that_are_looked_at_are_lost_as_well() {
    let batch = (0..1_001).fold(span("p:1", "finish", [50.0, 52.0]), |batch, order| {
        batch.linked_with("a:1", "", &[("order.id", &format!("o{order}"))])
    });
    let world = by_order()
        .receive(&[start("other", 0.0), batch])
        .until(400.0)
        .adds_up();
    assert!(outcomes(&world).contains(&Outcome::EvidenceLost));
}

#[test]
fn s10_losses_of_one_slo_excuse_no_timeout_of_another() {
    let slo = |start: &str, finish: &str| {
        Indicator::Workflow(WorkflowIndicator {
            start: selector(start),
            finish: selector(finish),
            correlate: by_attribute("order.id"),
            ..workflow_slo()
        })
    };
    let world = SloUnderTest::several([
        slo(r#"{ name = "enqueue" }"#, r#"{ name = "finish" }"#),
        slo(r#"{ name = "enqueue" }"#, r#"{ name = "shipped" }"#),
    ])
    .receive(&[start("o3", 0.0), batch("finish", ["o1", "o2"], 44.0, 9)])
    .until(400.0);
    assert!(
        world
            .verdicts_of(1)
            .contains(&(Outcome::EvidenceLost, Some(60.0)))
    );
    assert_eq!(world.verdicts_of(2), [(Outcome::Timeout, Some(60.0))]);
}

#[test]
fn s10_what_is_not_remembered_any_more_stays_lost() {
    let mut world = by_order()
        .receive(&[start("o3", 0.0), batch("finish", ["o1", "o2"], 44.0, 9)])
        .until(400.0);
    world.losses.clear();
    let customer = start("o3", 0.0).with("customer.id", "acme");
    world
        .receive(&[customer])
        .adds_up()
        .verdicts_include(Outcome::EvidenceLost, 60.0);
}

impl SloUnderTest {
    #[track_caller]
    fn verdicts_include(self, outcome: Outcome, secs: f64) -> Self {
        let verdicts = self.verdicts();
        assert!(verdicts.contains(&(outcome, Some(secs))), "{verdicts:?}");
        self
    }
}

/// Returns a few orders, some of which end, and batches that lose links.
fn spans() -> Vec<Span> {
    let mut spans: Vec<Span> = (0..6)
        .map(|order| start(&format!("o{order}"), f64::from(order) * 40.0))
        .collect();
    spans.push(start("o2", 50.0));
    spans.push(span("b:1", "finish", [49.0, 50.0]).with("order.id", "o1"));
    spans.push(batch("finish", ["o0", "o3"], 170.0, 2));
    spans.push(batch("finish", ["o0", "o9"], 55.0, 0));
    spans.push(batch("dead letter", ["o8", "o7"], 230.0, 3));
    spans
}

proptest! {
    #[test]
    fn s10_when_a_loss_becomes_known_changes_nothing(
        order in Just(spans()).prop_shuffle(), ticks in prop::collection::vec(0_u16..500, 11),
    ) {
        let mut latest = 0;
        let world = order.iter().zip(ticks).fold(by_order(), |world, (span, tick)| {
            latest = latest.max(tick);
            world.receive(std::slice::from_ref(span)).until(f64::from(latest))
        });
        let world = world.until(1_000.0).adds_up();
        let at_once = by_order().receive(&spans()).until(1_000.0);
        prop_assert_eq!(world.verdicts(), at_once.verdicts());
        prop_assert!(outcomes(&at_once).contains(&Outcome::EvidenceLost));
        prop_assert!(outcomes(&at_once).contains(&Outcome::Timeout));
    }
}
