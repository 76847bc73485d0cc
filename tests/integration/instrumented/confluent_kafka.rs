//! confluent-kafka on Kafka, by `opentelemetry-instrumentation-confluent-kafka`.

use super::{TestBench, template};
use crate::support::broker::Broker;

/// As `press.py` places them, and of these those that a worker takes and forgets.
const ORDERS: usize = 17 + 40 + 20 + 20;
const FORGOTTEN: usize = 2 + 5;

/// `poll` makes one span for each message with a link, `consume` one for all with as many links.
fn printed(work: &str, finish: &str, correlate: &str) -> String {
    format!(
        r#"
apiVersion: throughline/v1
kind: SLO
metadata: {{ name: {work} }}
spec:
  objective: 99%
  window: 30d
  indicator:
    workflow:
      start:  '{{ name = "{work} send" }}'
      finish: '{{ name = "{finish} process" }}'
      fail:   '{{ name = "{work}.refused process" }}'
      within: 5s
      correlate: [{correlate}]
  grace: 3s
"#
    )
    .trim_start()
    .to_owned()
}

fn of_template(work: &str) -> String {
    let edits = [
        ("name: kafka-topic", format!("name: {work}-by-template")),
        ("FIRST_TOPIC", work.to_owned()),
        ("LAST_TOPIC", format!("{work}.printed")),
        ("DEAD_LETTER_TOPIC", format!("{work}.refused")),
    ];
    template(
        "kafka",
        &edits.each_ref().map(|(from, to)| (*from, to.as_str())),
    )
}

#[tokio::test]
async fn messages_of_kafka_are_judged_one_by_one_by_number_and_as_whole_batches() {
    let broker = Broker::kafka().await;
    let whole = "{ links: { batch: whole } }";
    let definitions = [
        printed("posters", "posters.printed", "links"),
        // Ten are taken by one span, and posted one by one: nobody can say which of them was lost.
        printed("letters", "letters.printed", "links"),
        printed("leaflets", "leaflets.printed", whole),
        // The span that takes ten is the end of all of them.
        printed("proofs", "proofs", "links"),
        of_template("posters"),
        of_template("letters"),
    ];
    let world = TestBench::start(&definitions.join("---\n"), &broker.url).await;
    let _workers = world.run("kafka", "press.py", [ORDERS, FORGOTTEN]).await;
    for (slo, kind) in [
        ("posters", "poster"),
        ("letters", "letter"),
        ("leaflets", "leaflet"),
        ("proofs", "proof"),
        ("posters-by-template", "poster"),
        ("letters-by-template", "letter"),
    ] {
        world.assert_counts_are_the_journal_s(slo, kind).await;
    }
}
