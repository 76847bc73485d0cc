//! Ends that a sender kept for hours: the budget is corrected, and nobody is told a second time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use throughline::{
    domain::{
        alerting::alert::TransitionKind,
        model::{
            counts::EventCounts,
            group::GroupValues,
            ids::{SloId, TraceId},
            sampling::EndSampling,
            time::{TimeRange, Timestamp},
        },
        slo::{AlertRule, Alerting, Catalog, Indicator, Notify, Severity, Slo, WorkflowIndicator},
        traceql::Selector,
        workflow::{EventKey, Evidence, Fact, Judging, Losses, gather},
    },
    evaluate::{EvaluationReport, Evaluator, EvaluatorSettings},
    store::Writer,
};
use tokio::sync::watch;

use crate::support::ledger::Ledger;

const MINUTE: Duration = Duration::from_mins(1);
const WITHIN: Duration = Duration::from_mins(5);
const ORDERS: u8 = 100;

fn after(minutes: u32) -> Timestamp {
    Timestamp::from_secs(1_795_328_280) + MINUTE * minutes
}

fn slo() -> Slo {
    let selector = Selector::parse("{ name = \"order\" }").unwrap();
    let indicator = WorkflowIndicator::new(selector.clone(), selector, WITHIN, Vec::new());
    let rule = AlertRule {
        name: "fast-burn".parse().unwrap(),
        severity: Severity::Page,
        factor: 13.44,
        long: MINUTE * 60,
        short: MINUTE * 5,
        pending_for: Duration::ZERO,
    };
    Slo {
        alerting: Alerting {
            rules: vec![rule],
            ..Alerting::default()
        },
        notify: Notify {
            page: vec!["oncall".parse().unwrap()],
            ticket: Vec::new(),
        },
        ..Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            Duration::from_hours(28 * 24),
            Indicator::Workflow(indicator),
        )
    }
}

/// Ten orders a minute, whose deadlines are in the first ten minutes of the story.
fn started_at(order: u8) -> Timestamp {
    after(u32::from(order / 10)) - WITHIN
}

fn said(slo: SloId, order: u8, fact: Fact) -> Evidence {
    let id = [order + 1; 16];
    Evidence {
        slo,
        key: EventKey(id),
        label: format!("order {order}"),
        fact,
        trace_id: TraceId::from_slice(&id).unwrap(),
        customer: None,
        sample: None,
        group: GroupValues::default(),
    }
}

struct World {
    ledger: Ledger,
    slo: SloId,
    evaluator: Evaluator,
}

impl World {
    async fn begin() -> Self {
        let mut ledger = Ledger::create().await;
        let id = ledger.declare("orders").await;
        let mut tx = ledger.store.begin("prepare").await.unwrap();
        tx.ensure_epoch(after(0), Duration::from_hours(168))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let good = EventCounts {
            good: 10,
            ..EventCounts::ZERO
        };
        let before = TimeRange::ending_at(after(0), Duration::from_hours(48));
        ledger.fill(id, before, good).await;
        let later = TimeRange::new(after(10), after(150));
        ledger.fill(id, later, good).await;
        let slos = BTreeMap::from([(slo().name.clone(), Arc::new(slo()))]);
        let catalog = Catalog {
            slos,
            targets: BTreeMap::new(),
        };
        let (_, catalog) = watch::channel(Arc::new(catalog));
        let settings = EvaluatorSettings {
            interval: MINUTE,
            page_base_url: None,
        };
        Self {
            evaluator: Evaluator::new(ledger.store.clone(), catalog, settings),
            slo: id,
            ledger,
        }
    }

    /// What a request says is recorded, and what is due by then is judged.
    async fn receive(&self, watermark: Timestamp, fact: impl Fn(u8) -> Fact) {
        let judging = |_| Judging {
            grace: MINUTE,
            watermark,
            skew_tolerance: Judging::DEFAULT_SKEW_TOLERANCE,
            ends: EndSampling::default(),
            losses: Losses::NoneKnown,
        };
        let evidence: Vec<_> = (0..ORDERS)
            .map(|order| said(self.slo, order, fact(order)))
            .collect();
        let mut tx = self.ledger.store.begin("record").await.unwrap();
        let moves = tx
            .record_workflows(&gather(&evidence), &judging)
            .await
            .unwrap();
        tx.add_counts(Writer(0), &moves).await.unwrap();
        let (_, moves) = tx.judge_due(watermark, 1_000, &judging).await.unwrap();
        tx.add_counts(Writer(0), &moves).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn ticks(&self, minutes: std::ops::Range<u32>) -> EvaluationReport {
        let mut all = EvaluationReport::default();
        for minute in minutes {
            self.ledger
                .was_evaluated_until(after(minute) - MINUTE)
                .await;
            let report = self.evaluator.tick(after(minute)).await.unwrap();
            all.fired += report.fired;
            all.resolved += report.resolved;
        }
        all
    }

    async fn bad_in_the_stall(&self) -> i64 {
        let mut tx = self.ledger.store.begin("read").await.unwrap();
        let stall = TimeRange::new(after(0), after(10));
        tx.sums(&[(self.slo, stall)]).await.unwrap()[0].bad()
    }
}

#[tokio::test]
async fn an_end_delivered_two_hours_late_corrects_the_budget_and_sends_no_second_page() {
    let world = World::begin().await;
    let started = |order| Fact::Started {
        at: started_at(order),
        within: WITHIN,
    };
    world.receive(after(12), started).await;
    assert_eq!(world.bad_in_the_stall().await, i64::from(ORDERS));
    assert_eq!(world.ticks(12..13).await.fired, 1);
    assert_eq!(world.ticks(13..132).await.resolved, 1);

    let in_time = |order| Fact::Succeeded {
        at: started_at(order) + MINUTE * 4,
    };
    world.receive(after(132), in_time).await;
    assert_eq!(world.bad_in_the_stall().await, 0);
    assert_eq!(world.ticks(132..145).await, EvaluationReport::default());
    let mut tx = world.ledger.store.begin("read history").await.unwrap();
    let told = tx
        .transitions(Some(world.slo), Timestamp::UNIX_EPOCH, 10)
        .await
        .unwrap();
    let kinds: Vec<_> = told.into_iter().map(|told| told.facts.kind).collect();
    assert_eq!(kinds, [TransitionKind::Resolved, TransitionKind::Firing]);
}
