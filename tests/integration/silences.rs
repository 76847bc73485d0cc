//! Silences where alerts change: what nobody is told of, and what everybody is told all the same.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use throughline::{
    domain::{
        alerting::{
            alert::{AlertState, AlertUpdate},
            silence::{Draft, Ended, Silence},
            status::{SloState, SloStatus},
            suppression::Suppression,
        },
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        slo::{AlertRule, Alerting, Catalog, Indicator, Notify, Severity, Slo, WorkflowIndicator},
        traceql::Selector,
    },
    evaluate::{Evaluator, EvaluatorSettings},
    store::AlertTransition,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::ledger::Ledger;

const MINUTE: Duration = Duration::from_mins(1);

fn after(minutes: u32) -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap() + MINUTE * minutes
}

/// An SLO that fires from minute 10 to 44, and whoever evaluates it.
struct Story {
    ledger: Ledger,
    slo: SloId,
    evaluator: Evaluator,
    _catalog: watch::Sender<Arc<Catalog>>,
}

impl Story {
    async fn begin() -> Self {
        let mut ledger = Ledger::create().await;
        let slo = ledger.declare("orders").await;
        let good = EventCounts {
            good: 10,
            ..EventCounts::ZERO
        };
        let timeouts = EventCounts {
            timeout: 10,
            ..EventCounts::ZERO
        };
        let history = TimeRange::ending_at(after(0), MINUTE * 60 * 48);
        ledger.fill(slo, history, good).await;
        let stall = TimeRange::new(after(0), after(10));
        ledger.fill(slo, stall, timeouts).await;
        let recovery = TimeRange::new(after(10), after(130));
        ledger.fill(slo, recovery, good).await;
        let slos = [("orders".parse().unwrap(), Arc::new(definition()))];
        let (sender, catalog) = watch::channel(Arc::new(Catalog {
            slos: BTreeMap::from(slos),
            targets: BTreeMap::new(),
        }));
        let settings = EvaluatorSettings {
            interval: MINUTE,
            page_base_url: None,
        };
        Self {
            evaluator: Evaluator::new(ledger.store.clone(), catalog, settings),
            ledger,
            slo,
            _catalog: sender,
        }
    }

    async fn ticks(&self, minutes: impl IntoIterator<Item = u32>) {
        for minute in minutes {
            let report = self.evaluator.tick(after(minute)).await.unwrap();
            assert_eq!(report.lost_races, 0);
        }
    }

    async fn silence(&self, matcher: &str, minutes: [u32; 2]) -> Uuid {
        let draft = Draft {
            matchers: vec![matcher.to_owned()],
            starts_at: Some(after(minutes[0])),
            ends_at: Some(after(minutes[1])),
            reason: "upgrade of the queue".to_owned(),
            ..Draft::default()
        };
        let silence = Silence {
            id: Uuid::now_v7(),
            terms: draft.terms(after(0)).unwrap(),
            created_at: after(0),
            ended: None,
        };
        let mut tx = self.ledger.store.begin("add a silence").await.unwrap();
        assert!(tx.insert_silence(&silence).await.unwrap());
        tx.commit().await.unwrap();
        silence.id
    }

    async fn end(&self, silence: Uuid, minute: u32) {
        let ended = Ended {
            at: after(minute),
            by: Some("kim".to_owned()),
        };
        let mut tx = self.ledger.store.begin("end a silence").await.unwrap();
        assert!(tx.end_silence(silence, &ended).await.unwrap());
        tx.commit().await.unwrap();
    }

    /// Every transition, oldest first.
    async fn recorded(&self) -> Vec<AlertTransition> {
        let mut tx = self.ledger.store.begin("read history").await.unwrap();
        let ever = Timestamp::UNIX_EPOCH;
        let mut recorded = tx.transitions(Some(self.slo), ever, 100).await.unwrap();
        recorded.reverse();
        recorded
    }

    async fn kinds(&self) -> Vec<&'static str> {
        let recorded = self.recorded().await;
        recorded.iter().map(|one| one.facts.kind.as_str()).collect()
    }

    async fn status(&self) -> SloStatus {
        let mut tx = self.ledger.store.begin("read a status").await.unwrap();
        let name = "orders".parse().unwrap();
        tx.slo(&name).await.unwrap().unwrap().status.unwrap()
    }
}

fn rule(name: &str, factor: f64, minutes: [u32; 2]) -> AlertRule {
    AlertRule {
        name: name.parse().unwrap(),
        severity: Severity::Page,
        factor,
        long: MINUTE * minutes[0],
        short: MINUTE * minutes[1],
        pending_for: Duration::ZERO,
    }
}

fn definition() -> Slo {
    let selector = Selector::parse("{ name = \"order\" }").unwrap();
    let indicator = WorkflowIndicator::new(selector.clone(), selector, MINUTE * 5, Vec::new());
    Slo {
        labels: BTreeMap::from([("team".to_owned(), "shop".to_owned())]),
        alerting: Alerting {
            rules: vec![
                rule("fast-burn", 13.44, [60, 5]),
                rule("slow-burn", 5.6, [360, 30]),
            ],
            ..Alerting::default()
        },
        notify: Notify {
            page: vec!["oncall".parse().unwrap()],
            ticket: Vec::new(),
        },
        ..Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            MINUTE * 60 * 24 * 28,
            Indicator::Workflow(indicator),
        )
    }
}

#[tokio::test]
async fn t34_what_is_silenced_is_recorded_with_its_reason_and_told_to_nobody() {
    let mut story = Story::begin().await;
    let silence = story.silence("team=shop", [5, 200]).await;
    story.ticks(10..=12).await;
    let recorded = story.recorded().await;
    let muted = Suppression::Silenced {
        silence,
        until: after(200),
    };
    assert_eq!(story.kinds().await, ["firing"]);
    assert_eq!(recorded[0].suppression, Some(muted));
    assert_eq!(recorded[0].facts.long.counts.timeout, 100);
    assert!(story.ledger.deliveries().await.is_empty());
    let status = story.status().await;
    assert_eq!(
        status.state,
        SloState::Paging,
        "it is evaluated and shown as ever"
    );
    assert_eq!(status.alerts[0].progress.muted, Some(muted));
}

#[tokio::test]
async fn t34_what_still_fires_when_its_silence_ends_is_told_at_once() {
    let mut story = Story::begin().await;
    let silence = story.silence("slo=orders", [5, 20]).await;
    story.ticks(10..=19).await;
    assert!(story.ledger.deliveries().await.is_empty());
    story.ticks([20]).await;
    let recorded = story.recorded().await;
    assert_eq!(story.kinds().await, ["firing", "unmuted"]);
    assert_eq!(recorded[1].suppression, None);
    assert_eq!(recorded[1].facts.fired_at, Some(after(10)));
    assert_eq!(
        recorded[1].facts.development,
        Some(AlertUpdate::Unmuted {
            was: Suppression::Silenced {
                silence,
                until: after(20)
            }
        })
    );
    assert_eq!(
        story.ledger.deliveries().await,
        ["oncall unmuted slo/orders/page 0"]
    );
    story.ticks(21..=60).await;
    assert_eq!(story.kinds().await, ["firing", "unmuted", "resolved"]);
    assert_eq!(story.ledger.deliveries().await.len(), 2, "and then its end");
}

#[tokio::test]
async fn t34_a_silence_that_somebody_ends_is_over_at_once() {
    let story = Story::begin().await;
    let silence = story.silence("slo=orders", [5, 200]).await;
    story.ticks(10..=12).await;
    story.end(silence, 13).await;
    story.ticks([13]).await;
    let told = story.recorded().await.remove(1);
    assert_eq!(
        told.facts.development,
        Some(AlertUpdate::Unmuted {
            was: Suppression::Silenced {
                silence,
                until: after(13)
            }
        }),
        "it is told when it was over, not when it would have been"
    );
}

#[tokio::test]
async fn t34_the_end_of_what_people_were_told_of_is_never_muted() {
    let mut story = Story::begin().await;
    story.ticks([10]).await;
    story.silence("slo=orders", [11, 200]).await;
    story.ticks(11..=60).await;
    assert_eq!(story.kinds().await, ["firing", "resolved"]);
    assert_eq!(story.recorded().await[1].suppression, None);
    assert_eq!(
        story.ledger.deliveries().await,
        [
            "oncall firing slo/orders/page 0",
            "oncall resolved slo/orders/page 0"
        ]
    );
}

#[tokio::test]
async fn t34_what_nobody_was_told_of_ends_without_a_word_and_says_why() {
    let mut story = Story::begin().await;
    let silence = story.silence("severity=page", [5, 200]).await;
    story.ticks(10..=60).await;
    let recorded = story.recorded().await;
    assert_eq!(story.kinds().await, ["firing", "resolved"]);
    assert!(recorded.iter().all(|one| one.suppression
        == Some(Suppression::Silenced {
            silence,
            until: after(200)
        })));
    assert!(story.ledger.deliveries().await.is_empty());
}

#[tokio::test]
async fn t34_a_silence_of_others_or_of_later_mutes_nothing() {
    let mut story = Story::begin().await;
    story.silence("team=billing", [5, 200]).await;
    story.silence("slo=orders", [100, 200]).await;
    story.ticks([10]).await;
    assert_eq!(story.ledger.deliveries().await.len(), 1);
}

#[tokio::test]
async fn t34_one_silence_follows_another_without_a_word_between() {
    let mut story = Story::begin().await;
    story.silence("slo=orders", [5, 20]).await;
    let longer = story.silence("team=shop", [15, 30]).await;
    story.ticks(10..=29).await;
    assert!(story.ledger.deliveries().await.is_empty());
    story.ticks([30]).await;
    let told = story.recorded().await.remove(1);
    let Some(AlertUpdate::Unmuted { was }) = told.facts.development else {
        panic!("{:?}", told.facts.kind);
    };
    let until = after(30);
    assert_eq!(
        was,
        Suppression::Silenced {
            silence: longer,
            until
        }
    );
}

#[tokio::test]
async fn t34_a_silence_that_begins_while_it_fires_is_followed_by_a_word_as_well() {
    let story = Story::begin().await;
    story.ticks([10]).await;
    story.silence("slo=orders", [11, 20]).await;
    story.ticks(11..=19).await;
    assert_eq!(story.kinds().await, ["firing"]);
    assert!(story.status().await.alerts[0].progress.muted.is_some());
    story.ticks([20]).await;
    assert_eq!(story.kinds().await, ["firing", "unmuted"]);
    assert_eq!(story.status().await.alerts[0].state, AlertState::Firing);
    assert_eq!(story.status().await.alerts[0].progress.muted, None);
}
