//! The page of an SLO with more bad workflows in the last hour than it looks at.

use serde_json::json;
use throughline::domain::workflow::Outcome;

use crate::support::app::{BadWorkflow, MINUTE, ORDERS, TestApp};

impl TestApp {
    /// A workflow without an end that became bad so many minutes ago.
    async fn timed_out(&self, label: &str, ran_for: u32, minutes_ago: u32) {
        let judged_at = self.clock.now() - MINUTE * minutes_ago;
        self.add_bad(BadWorkflow {
            label,
            customer: Some(label),
            started_at: judged_at - MINUTE * ran_for,
            ended_at: None,
            outcome: Outcome::Timeout,
            judged_at,
        })
        .await;
    }

    /// The labels of the worst workflows.
    async fn worst(&self) -> Vec<String> {
        let json_view = self.api("/slos/orders").await;
        let worst = json_view["worst_workflows"].as_array().unwrap().iter();
        worst
            .map(|one| one["label"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn a_page_looks_at_the_first_ten_thousand_bad_workflows_and_says_so() {
    let app = TestApp::new().slo(ORDERS).await;
    app.timed_out("first", 5, 50).await;
    app.timed_out("slowest", 90, 10).await;
    let more = "insert into workflows (slo_id, key, epoch, label, started_at, within_us, trace_id,
             trace_rank, outcome, judged_at)
         select slo_id, gen_random_uuid(), epoch, 'another', started_at, within_us, trace_id,
             trace_rank, outcome, judged_at + interval '1 minute'
         from workflows cross join generate_series(1, 9998) where label = 'first'";
    app.execute(more).await;
    app.fill_lists().await;
    assert_eq!(app.worst().await[..2], ["slowest", "first"]);
    let page = app.page("/slos/orders").await.body;
    assert!(page.contains("The slowest bad workflows of the last hour"));
    app.timed_out("another", 5, 20).await;
    let worst = app.worst().await;
    assert_eq!(worst[0], "first");
    assert!(!worst.contains(&"slowest".to_owned()));
    let json_view = app.api("/slos/orders").await;
    assert_eq!(json_view["bad_workflows_examined"], json!(10_000));
    let page = app.page("/slos/orders").await.body;
    assert!(page.contains("The slowest bad workflows among the first 10,000 of the last hour"));
}
