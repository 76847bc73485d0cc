//! An SLO with more messages than are stored has the stages of a sample of whole workflows, and of all
//! bad ones; one that needs less is not affected.

use throughline::domain::{
    counting::stages::{Stage, StageSums},
    model::time::TimeRange,
    workflow::{classify::DiscardReason, stage_buffer::SampleLevel, trace_key},
};

use super::world::{another_replica, means, workflow};
use crate::support::{
    app::{HOUR, Replica, TestApp, minute_long, slo},
    span::{SpanBuilder, trace_id},
};

const ORDERS: u64 = 64;
const MAILS: u64 = 8;
/// Of what 20 million spans an hour need, a quarter is too much and an eighth is not.
const LEVEL: SampleLevel = SampleLevel(3);

/// Orders had a hundred times the messages of mails in the last hour. Two replicas know that.
async fn shop() -> (TestApp, Replica) {
    let orders = minute_long("placed", "shipped", "trace", "");
    let mails = orders.replace("name: orders", "name: mails");
    let mails = mails
        .replace("placed", "queued")
        .replace("shipped", "mailed");
    let app = TestApp::new().define(slo(&orders)).define(slo(&mails));
    let app = app.at("06:18").await;
    app.execute(
        "insert into stage_samples (slo_id, hour, spans, bad_spans, level, bad_level)
         select id, '2026-11-22T05:00:00Z', case name when 'orders' then 20000000 else 200000 end,
             0, 0, 0 from slos",
    )
    .await;
    let other = another_replica(&app).await;
    (app, other)
}

/// Orders that waited so long for their cards service.
fn orders(wait: f64) -> impl Iterator<Item = Vec<SpanBuilder>> {
    (1..=ORDERS).map(move |nth| workflow(("placed", "shipped"), nth, 20.0, wait))
}

fn mails() -> impl Iterator<Item = Vec<SpanBuilder>> {
    (1..=MAILS).map(|nth| workflow(("queued", "mailed"), 1_000 + nth, 20.0, 2.0))
}

/// Sends the first half of each workflow to one replica, and the rest to the other.
async fn send(app: &TestApp, other: &Replica, workflows: Vec<Vec<SpanBuilder>>) {
    let halves = |part: fn(&[SpanBuilder]) -> &[SpanBuilder]| -> Vec<SpanBuilder> {
        workflows
            .iter()
            .flat_map(|spans| part(spans).to_vec())
            .collect()
    };
    app.at_second(30.0).send(halves(|spans| &spans[..3])).await;
    other.learn_workflows().await;
    other.send(halves(|spans| &spans[3..])).await;
    app.learn_workflows().await;
}

async fn sums(app: &TestApp, slo: &str) -> (StageSums, StageSums) {
    let mut tx = app.store.begin("read sums").await.unwrap();
    let range = TimeRange::new(app.began - HOUR, app.began + HOUR);
    tx.stage_sums(app.id(slo), range).await.unwrap()
}

fn unsampled(sums: &StageSums) -> i64 {
    sums.by_stage
        .get(&Stage::UNSAMPLED)
        .map_or(0, |sum| sum.events)
}

fn sampled_orders() -> i64 {
    let included = (1..=ORDERS).filter(|nth| LEVEL.includes(trace_key(trace_id(*nth))));
    i64::try_from(included.count()).unwrap()
}

#[tokio::test]
async fn the_small_slo_is_whole_and_the_large_one_a_sample_of_whole_workflows() {
    let (app, other) = shop().await;
    send(&app, &other, orders(2.0).chain(mails()).collect()).await;
    app.at_second(31.0).aggregate().await;

    let whole = [
        "shop 2.0 -",
        "wait in cards 2.0 -",
        "cards 1.0 -",
        "wait in parcels 1.0 -",
        "parcels 1.0 -",
    ];
    let (good, bad) = sums(&app, "mails").await;
    assert_eq!((good.workflows, unsampled(&good)), (8, 0));
    assert_eq!(means(&good, &bad), whole);

    let sampled = sampled_orders();
    assert!((1..32).contains(&sampled), "{sampled}");
    let (good, bad) = sums(&app, "orders").await;
    assert_eq!((good.workflows, unsampled(&good)), (64, 64 - sampled));
    assert_eq!(means(&good, &bad), whole);
    let rows = app.number("select count(*) from stage_spans").await;
    assert_eq!(rows, 4 * (8 + sampled));
    // Their duration is counted all the same.
    app.at_second(722.0);
    let durations = app.api("/slos/orders/durations?range=1h").await;
    assert_eq!(durations["good"]["events"], 64.0);
    assert_eq!(durations["stages"].as_array().unwrap().len(), whole.len());
}

#[tokio::test]
async fn page_api_and_metrics_say_how_many_workflows_the_sample_has() {
    let (app, other) = shop().await;
    send(&app, &other, orders(2.0).collect()).await;
    app.at_second(31.0).aggregate().await;
    app.at_second(722.0).aggregate().await;

    let left_out = 64 - sampled_orders();
    let reason = DiscardReason::StagesNotSampled.as_str();
    assert_eq!(app.evidence_counts(reason).await, left_out);
    let metric =
        format!("throughline_slo_evidence{{reason=\"{reason}\",slo=\"orders\"}} {left_out}\n");
    let metrics = app.page("/metrics").await.body;
    assert!(metrics.contains(&metric), "{metrics}");

    let view = app.api("/slos/orders?range=1h").await;
    let stages = &view["latency_breakdown"];
    let ratio = stages["good_sampled_ratio"].as_f64().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "of 64")]
    let expected = sampled_orders() as f64 / 64.0;
    assert!((ratio - expected).abs() < 1e-9, "{ratio}");
    let said = format!(
        "Stages are those of a sample: of {:.0} % of the good workflows.",
        expected * 100.0
    );
    let page = app.page("/slos/orders?range=1h").await.body;
    assert!(page.contains(&said), "{page}");
    let page = app.page("/slos/mails?range=1h").await.body;
    assert!(!page.contains("of a sample"), "{page}");
}

#[tokio::test]
async fn all_bad_workflows_are_in_the_sample() {
    let (app, other) = shop().await;
    send(&app, &other, orders(90.0).collect()).await;
    app.at_second(31.0).aggregate().await;
    let (_, bad) = sums(&app, "orders").await;
    assert_eq!(
        (bad.workflows, unsampled(&bad)),
        (64, 64 - sampled_orders())
    );
    // Both replicas have a part of the others in memory.
    app.learn_workflows().await;
    other.learn_workflows().await;
    app.at_second(37.0).aggregate().await;
    let (good, bad) = sums(&app, "orders").await;
    assert_eq!((bad.workflows, unsampled(&bad)), (64, 0));
    let whole = [
        "shop - 2.0",
        "wait in cards - 90.0",
        "cards - 1.0",
        "wait in parcels - 1.0",
        "parcels - 1.0",
    ];
    assert_eq!(means(&good, &bad), whole);
    let reason = DiscardReason::StagesNotSampled.as_str();
    assert_eq!(app.evidence_counts(reason).await, 0);
}

/// A replica that starts has nothing in memory of what came before.
#[tokio::test]
async fn a_bad_workflow_of_which_a_part_is_lost_has_no_stages() {
    let (app, other) = shop().await;
    send(&app, &other, orders(90.0).collect()).await;
    let late = app.replica();
    late.learn_workflows().await;
    app.at_second(31.0).aggregate().await;
    app.learn_workflows().await;
    other.learn_workflows().await;
    app.at_second(37.0).aggregate().await;
    let (_, bad) = sums(&app, "orders").await;
    let left_out = 64 - sampled_orders();
    assert_eq!((bad.workflows, unsampled(&bad)), (64, left_out));
    let reason = DiscardReason::StagesNotSampled.as_str();
    assert_eq!(app.evidence_counts(reason).await, left_out);
}
