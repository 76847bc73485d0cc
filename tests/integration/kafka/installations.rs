//! Two installations that judge a part of all SLOs each, and read one topic by groups of their own.

use super::{Cluster, problems, replicas::all_are_committed};
use crate::{
    support::{database::TestDatabase, service::Site, workload::Workload},
    system::definitions::two_teams,
};

#[tokio::test]
async fn two_installations_read_one_topic_by_two_groups_and_judge_their_own_slos() {
    let cluster = Cluster::new(2);
    let databases = [TestDatabase::create().await, TestDatabase::create().await];
    for database in &databases {
        // Databases of tests are copies of one.
        sqlx::query("update service_state set installation_id = gen_random_uuid()")
            .execute(&mut database.connect().await)
            .await
            .unwrap();
    }
    let site = |database, group: &str, selector| {
        Site::on(database, &two_teams())
            .flag("--kafka-brokers", &cluster.brokers)
            .flag("--kafka-group", group)
            .flag("--slo-selector", selector)
    };
    let checkout = site(&databases[0], "checkout", "team=checkout");
    let others = site(&databases[1], "others", "team!=checkout");
    let (one, other) = tokio::join!(checkout.start(), others.start());
    let workload = Workload::of(300, 1);
    cluster.write(&workload.requests).await;
    for (service, judged, left) in [(&one, "orders", "refunds"), (&other, "refunds", "orders")] {
        service.api.counts_become(judged, workload.expected).await;
        let path = format!("/api/v1/slos/{left}");
        assert_eq!(service.api.status(&path).await, Some(404));
    }
    for (database, service) in databases.iter().zip([&one, &other]) {
        // Each has read all of it, and neither has seen the other in its group.
        all_are_committed(database, workload.requests.len()).await;
        service.api.has_ticked("kafka").await;
        service.api.has_ticked("heartbeat").await;
        assert_eq!(problems(database).await, "");
    }
}
