//! Logins at brokers by name and password.

use super::{Cluster, SpanLog, problems::says};
use crate::support::{
    database::TestDatabase,
    relay::Relay,
    sasl::{Login, Mechanism},
    service::Site,
    workload::{ORDERS, Workload},
};

const MECHANISMS: [(Mechanism, &str); 3] = [
    (Mechanism::Plain, "plain"),
    (Mechanism::ScramSha256, "scram-sha256"),
    (Mechanism::ScramSha512, "scram-sha512"),
];

async fn relay(cluster: &SpanLog, mechanism: Mechanism) -> Relay {
    let login = Login {
        mechanism,
        user: "service",
        password: "a secret",
    };
    Relay::with_login(&cluster.brokers, login).await
}

fn site(relay: &Relay, database: &TestDatabase, mechanism: &str) -> Site {
    Site::on(database, ORDERS)
        .flag("--kafka-brokers", &relay.brokers)
        .flag("--kafka-sasl-mechanism", mechanism)
        .flag("--kafka-username", "service")
}

#[tokio::test]
async fn topics_are_read_after_a_login_by_each_mechanism() {
    for (mechanism, name) in MECHANISMS {
        let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
        let relay = relay(&cluster, mechanism).await;
        let site = site(&relay, &database, name);
        let site = site.variable("THROUGHLINE_KAFKA_PASSWORD", "a secret");
        let service = site.start().await;
        let workload = Workload::good(20, 1);
        cluster.write(&workload.requests).await;
        service.api.counts_become("orders", workload.expected).await;
    }
}

#[tokio::test]
async fn a_wrong_password_reads_nothing_and_is_said() {
    for (mechanism, name) in MECHANISMS {
        let (cluster, database) = (Cluster::new(1), TestDatabase::create().await);
        let relay = relay(&cluster, mechanism).await;
        let site = site(&relay, &database, name);
        let site = site.variable("THROUGHLINE_KAFKA_PASSWORD", "another");
        let _service = site.start().await;
        says(&database, "The brokers do not say how long `otlp_spans` is").await;
    }
}
