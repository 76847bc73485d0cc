//! What an alert says besides its numbers: what else went on, how it came, whom it hurts, where to look.

use std::collections::BTreeMap;

use throughline::domain::{
    alerting::{
        alert::TransitionKind,
        change_event::{ChangeEvent, ChangeEventKind},
        snapshot::{AlertSnapshot, ChangeKind},
    },
    model::time::{TimeRange, Timestamp},
    notify::signed_links::signing::SigningKey,
    slo::{CustomerDetails, Notify, Slo},
};
use uuid::Uuid;

use crate::support::app::{HOUR, MINUTE, ORDERS, TestApp, after, good, slo as slo_of};

fn before(minutes: u32) -> Timestamp {
    after(0) - MINUTE * minutes
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

/// Nothing finishes for ten minutes; after that all is well for two hours.
async fn story(customer_details: CustomerDetails) -> TestApp {
    let mut slo = Slo {
        customer_details,
        service: None,
        notify: Notify::default(),
        ..slo_of(ORDERS)
    };
    slo.alerting.rules.truncate(1);
    let app = TestApp::new().define(slo).history(HOUR * 48, good(10));
    let app = app
        .with(|settings| {
            let viewer = "Jaeger=https://jaeger.example/trace/{trace_id}?from={from_s}";
            settings.enrichment.trace_viewers = vec![viewer.parse().unwrap()];
            settings.enrichment.pseudonyms = Some(SigningKey::new([7; 32]));
        })
        .await;
    app.stall().await;
    app.execute(WORKFLOWS).await;
    app.fill_lists().await;
    app
}

impl TestApp {
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
            reported_by: None,
        };
        let mut tx = self.store.begin("tell of a deploy").await.unwrap();
        tx.insert_change_event(&happening, at).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What was told in all ticks at these minutes, oldest first.
    async fn facts_in(&self, minutes: impl IntoIterator<Item = u32>) -> Vec<AlertSnapshot> {
        self.ticks(minutes).await;
        self.facts().await
    }
}

#[tokio::test]
async fn deploys_around_the_beginning_are_named_and_others_are_not() {
    let story = story(CustomerDetails::Counts).await;
    story.deploy(before(3), Some("shop"), "2.41.0").await;
    story.deploy(after(4), None, "everywhere").await;
    story
        .deploy(before(5), Some("search"), "of another service")
        .await;
    story
        .deploy(before(90), Some("shop"), "of long before")
        .await;
    let facts = story.facts_in([10]).await.remove(0);
    let changes = facts.context.changes.iter();
    let titles: Vec<_> = changes.map(|change| change.title.as_str()).collect();
    assert_eq!(titles, ["deploy of 2.41.0", "deploy of everywhere"]);
    assert_eq!(
        facts.context.changes[0].when(facts.began_at),
        "at 09:57 UTC, 3 min before it began"
    );
}

#[tokio::test]
async fn a_version_that_nobody_told_of_is_seen_in_the_spans() {
    let story = story(CustomerDetails::Counts).await;
    let facts = story.facts_in([10]).await.remove(0);
    let [seen] = facts.context.changes.as_slice() else {
        panic!("{:?}", facts.context.changes);
    };
    assert_eq!(seen.kind, ChangeKind::FirstSeen);
    assert_eq!(seen.title, "resource.service.version = 2.41.0");
}

#[tokio::test]
async fn how_it_came_and_how_sure_it_is_are_frozen_with_the_facts() {
    let story = story(CustomerDetails::Counts).await;
    let facts = story.facts_in([10]).await.remove(0);
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
        let facts = story(how).await.facts_in([10]).await.remove(0);
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
    let story = story(CustomerDetails::Counts).await;
    story.deploy(before(3), Some("shop"), "2.41.0").await;
    let told = story.facts_in(10..=60).await;
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
