//! What an alert says besides its numbers: what else went on, how it came, whom it hurts, where to look.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use throughline::{
    domain::{
        alerting::{
            alert::TransitionKind,
            change_event::{ChangeEvent, ChangeEventKind},
            snapshot::{AlertSnapshot, ChangeKind},
        },
        model::{
            counts::EventCounts,
            ids::SloId,
            span::{AttributeName, AttributeScope},
            time::{TimeRange, Timestamp},
        },
        notify::signed_links::signing::SigningKey,
        slo::{
            AlertRule, Alerting, Catalog, CustomerDetails, Indicator, Severity, Slo,
            WorkflowIndicator,
        },
        traceql::Selector,
    },
    evaluate::{EnrichmentConfig, Evaluator, EvaluatorSettings},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::ledger::Ledger;

const MINUTE: Duration = Duration::from_mins(1);

fn after(minutes: u32) -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap() + MINUTE * minutes
}

fn before(minutes: u32) -> Timestamp {
    after(0) - MINUTE * minutes
}

fn slo(customer_details: CustomerDetails) -> Slo {
    let selector = Selector::parse("{ name = \"order\" }").unwrap();
    let indicator = WorkflowIndicator::new(selector.clone(), selector, MINUTE * 5, Vec::new());
    let window = Duration::from_hours(28 * 24);
    Slo {
        customer: Some(AttributeName {
            scope: AttributeScope::Span,
            key: "customer.id".to_owned(),
        }),
        customer_details,
        alerting: Alerting {
            rules: vec![AlertRule {
                name: "fast-burn".parse().unwrap(),
                severity: Severity::Page,
                factor: 13.44,
                long: MINUTE * 60,
                short: MINUTE * 5,
                pending_for: Duration::ZERO,
            }],
            ..Alerting::default()
        },
        ..Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            window,
            Indicator::Workflow(indicator),
        )
    }
}

/// Ten bad workflows of two customers since 10:01 and ten good ones, by a version that nobody had seen
/// before; the day before all had the old one. All went through the service `shop`.
const WORKFLOWS: &str = r"
    insert into workflows (slo_id, key, epoch, label, started_at, within_us, trace_id, trace_rank,
        customer, outcome, judged_at, details)
    select 1, gen_random_uuid(), 1, 'order ' || n, at - interval '5 minutes', 300000000,
        md5(n::text)::uuid, 0, case when n % 3 = 0 then 'globex' else 'acme' end, outcome, at,
        jsonb_build_object('attributes', jsonb_build_array(
            jsonb_build_array('resource.service.name', 'shop'),
            jsonb_build_array('resource.service.version', version),
            jsonb_build_array('span.region', case when outcome = 4 then 'eu' else 'us' end)))
    from (
        select n, timestamptz '2026-11-22T10:00:00Z' + n * interval '1 minute' as at, 4 as outcome,
            '2.41.0' as version from generate_series(1, 10) n
        union all
        select 100 + n, timestamptz '2026-11-22T09:58:30Z' + n * interval '1 minute', 1, '2.41.0'
        from generate_series(1, 10) n
        union all
        select 200 + n, timestamptz '2026-11-21T18:00:00Z' + n * interval '1 minute', 1, '2.40.3'
        from generate_series(1, 10) n
    ) as rows";

struct Story {
    ledger: Ledger,
    slo: SloId,
    evaluator: Evaluator,
    /// Keeps the definitions there.
    _catalog: watch::Sender<Arc<Catalog>>,
}

impl Story {
    /// Nothing finishes for ten minutes; after that all is well for two hours.
    async fn of_a_stall(customer_details: CustomerDetails) -> Self {
        let mut ledger = Ledger::create().await;
        let id = ledger.declare("orders").await;
        let counts = |good, timeout| EventCounts {
            good,
            timeout,
            ..EventCounts::ZERO
        };
        let history = TimeRange::ending_at(after(0), MINUTE * 60 * 48);
        ledger.fill(id, history, counts(10, 0)).await;
        let stall = TimeRange::new(after(0), after(10));
        ledger.fill(id, stall, counts(0, 10)).await;
        let calm = TimeRange::new(after(10), after(130));
        ledger.fill(id, calm, counts(10, 0)).await;
        ledger.execute(WORKFLOWS).await;
        let slo = slo(customer_details);
        let catalog = Catalog {
            slos: BTreeMap::from([(slo.name.clone(), Arc::new(slo))]),
            targets: BTreeMap::new(),
        };
        let (sender, catalog) = watch::channel(Arc::new(catalog));
        let settings = EvaluatorSettings {
            interval: MINUTE,
            page_base_url: None,
        };
        let surroundings = EnrichmentConfig {
            trace_viewers: vec![
                "Jaeger=https://jaeger.example/trace/{trace_id}?from={from_s}"
                    .parse()
                    .unwrap(),
            ],
            pseudonyms: Some(SigningKey::new([7; 32])),
        };
        Self {
            evaluator: Evaluator::new(ledger.store.clone(), catalog, settings).with(surroundings),
            ledger,
            slo: id,
            _catalog: sender,
        }
    }

    async fn deploy(&self, at: Timestamp, service: Option<&str>, version: &str) {
        let happening = ChangeEvent {
            id: Uuid::now_v7(),
            kind: ChangeEventKind::Deploy,
            at,
            title: format!("deploy of {version}"),
            service: service.map(str::to_owned),
            version: Some(version.to_owned()),
            url: None,
            labels: BTreeMap::new(),
            told_by: None,
        };
        let mut tx = self.ledger.store.begin("tell of a deploy").await.unwrap();
        tx.insert_change_event(&happening, at).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What was told in all ticks at these minutes, oldest first.
    async fn told(&self, minutes: impl IntoIterator<Item = u32>) -> Vec<AlertSnapshot> {
        for minute in minutes {
            self.evaluator.tick(after(minute)).await.unwrap();
        }
        let mut tx = self.ledger.store.begin("read history").await.unwrap();
        let told = tx
            .transitions(Some(self.slo), Timestamp::UNIX_EPOCH, 100)
            .await
            .unwrap();
        let mut told: Vec<_> = told.into_iter().map(|told| told.facts).collect();
        told.reverse();
        told
    }
}

#[tokio::test]
async fn deploys_around_the_first_bad_workflow_are_named_and_others_are_not() {
    let story = Story::of_a_stall(CustomerDetails::Counts).await;
    story.deploy(before(3), Some("shop"), "2.41.0").await;
    story.deploy(after(4), None, "everywhere").await;
    story
        .deploy(before(5), Some("search"), "of another service")
        .await;
    story
        .deploy(before(90), Some("shop"), "of long before")
        .await;
    let facts = story.told([10]).await.remove(0);
    let changes = facts.context.changes.iter();
    let titles: Vec<_> = changes.map(|change| change.title.as_str()).collect();
    assert_eq!(titles, ["deploy of 2.41.0", "deploy of everywhere"]);
    assert_eq!(
        facts.context.changes[0].when(facts.first_bad_at),
        "at 09:57 UTC, 4 min before the first bad one"
    );
}

#[tokio::test]
async fn a_version_that_nobody_told_of_is_seen_in_the_spans() {
    let story = Story::of_a_stall(CustomerDetails::Counts).await;
    let facts = story.told([10]).await.remove(0);
    let [seen] = facts.context.changes.as_slice() else {
        panic!("{:?}", facts.context.changes);
    };
    assert_eq!(seen.kind, ChangeKind::FirstSeen);
    assert_eq!(seen.title, "resource.service.version = 2.41.0");
}

#[tokio::test]
async fn how_it_came_and_how_sure_it_is_are_frozen_with_the_facts() {
    let story = Story::of_a_stall(CustomerDetails::Counts).await;
    let facts = story.told([10]).await.remove(0);
    let trend = facts.context.trend.as_ref().unwrap();
    assert_eq!(trend.range(), TimeRange::ending_at(after(10), MINUTE * 360));
    assert_eq!(trend.bad_basis_points.last(), Some(&Some(10_000)));
    assert_eq!(trend.sparkline(0.01), "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█");
    let compared = facts.context.compared.unwrap();
    assert_eq!(
        (compared.bad, compared.good),
        (9, 10),
        "the tenth is of this moment"
    );
    assert_eq!(facts.differences[0].attribute, "span.region");
    assert_eq!(facts.context.data_until, Some(after(10)));
    assert_eq!(
        facts.worst[0].links[0].url,
        format!(
            "https://jaeger.example/trace/{}?from={}",
            facts.worst[0].trace_id,
            (after(1) - MINUTE * 10).as_secs()
        )
    );
}

#[tokio::test]
async fn messages_name_customers_only_where_the_team_wants_it() {
    let told = async |how| {
        let facts = Story::of_a_stall(how).await.told([10]).await.remove(0);
        let top = facts.context.top_customers.iter();
        let top: Vec<_> = top.map(|one| one.customer.clone()).collect();
        let worst = facts.worst[0].customer.clone();
        (facts.customers_affected, top, worst)
    };
    assert_eq!(told(CustomerDetails::None).await, (None, vec![], None));
    assert_eq!(told(CustomerDetails::Counts).await, (Some(2), vec![], None));
    let names = vec!["acme".to_owned(), "globex".to_owned()];
    let acme = Some("acme".to_owned());
    assert_eq!(told(CustomerDetails::Names).await, (Some(2), names, acme));
    let (affected, top, worst) = told(CustomerDetails::Hashed).await;
    assert_eq!((affected, top.len()), (Some(2), 2));
    assert!(
        top.iter().all(|name| name.starts_with("customer-")),
        "{top:?}"
    );
    assert_eq!(worst.as_ref(), Some(&top[0]), "one pseudonym in all places");
}

#[tokio::test]
async fn an_end_is_told_beside_what_it_was_like_at_the_beginning() {
    let story = Story::of_a_stall(CustomerDetails::Counts).await;
    story.deploy(before(3), Some("shop"), "2.41.0").await;
    let told = story.told(10..=60).await;
    let [fired, resolved] = told.as_slice() else {
        panic!("{told:#?}");
    };
    assert_eq!(resolved.kind, TransitionKind::Resolved);
    assert_eq!(resolved.context.changes, fired.context.changes);
    let summary = resolved.episode_summary.as_ref().unwrap();
    let before = summary.before.as_ref().unwrap();
    assert_eq!(before.bad_ratio, fired.long.counts.bad_ratio());
    assert_eq!(before.difference.as_ref(), fired.differences.first());
    assert_eq!(
        before.good_ratio_now, None,
        "no sampled event of these five minutes"
    );
}
