//! Who the fixture's events belong to, and what its bad ones have in common.

use sqlx::PgConnection;
use throughline::domain::model::format;

use super::{
    client::get,
    fixture::{self, now},
};

/// 391 customers in the hours that the last one touches, and 180 good workflows beside the bad ones.
pub(super) async fn fill(connection: &mut PgConnection) {
    sqlx::query(
        "insert into customer_counts (slo_id, resolution, bucket, customer, events, bad)
         select 1, 3600, date_trunc('hour', $1::timestamptz) - n % 2 * interval '1 hour',
                case when n <= 7 then (array['acme-eu', 'nordwind', 'kaufhof', 'tinyshop-1182', 'globex', 'initech', 'umbrella'])[n]
                     else 'customer-' || n end,
                4, 0
         from generate_series(1, 391) n",
    )
    .bind(now().to_chrono())
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query(
        "insert into customer_buckets (slo_id, resolution, bucket, customers, overflow_events)
         values (1, 86400, date_trunc('day', $1::timestamptz) - interval '3 days', 10000, 1207)",
    )
    .bind(now().to_chrono())
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query(
        "insert into workflows (slo_id, key, epoch, label, started_at, succeeded_at, within_us, trace_id, trace_rank, customer, outcome, judged_at)
         select 1, gen_random_uuid(), 1, 'ord-' || substr(md5('g' || n), 1, 6), $1::timestamptz - n * interval '14 seconds' - interval '44 seconds',
                $1::timestamptz - n * interval '14 seconds', 300000000, md5('v' || n)::uuid, 0,
                'customer-' || n, 1, $1::timestamptz - n * interval '14 seconds'
         from generate_series(1, 180) n",
    )
    .bind(now().to_chrono())
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query(
        "update workflows w set details = jsonb_build_object('attributes', jsonb_build_array(
             jsonb_build_array('resource.service.version', case when bad or n % 3 = 0 then '2.41.0' else '2.40.3' end),
             jsonb_build_array('span.messaging.destination.partition.id', case when bad then 7 else n % 8 end::text),
             jsonb_build_array('span.order.kind', case when n % 5 = 0 then 'bulk' else 'single' end),
             jsonb_build_array('span.region', case when bad and n % 50 <> 0 or n % 5 < 2 then 'eu-central-1' else 'us-<b>east-1' end)))
         from (select key, outcome <> 1 as bad, row_number() over (partition by outcome = 1 order by judged_at) as n
               from workflows where slo_id = 1 and outcome in (1, 2, 3, 4)) numbered
         where w.key = numbered.key and w.slo_id = 1",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_page_tells_who_is_affected_of_how_many_and_what_the_bad_ones_share() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/slos/orders-on-time?range=1h")
        .await
        .body;
    let json_view = get(&shop.router, "/api/v1/slos/orders-on-time")
        .await
        .json();
    assert!(page.contains("<b>7 of 391 customers</b> in the last hour"));
    assert_eq!(json_view["customers_affected_last_hour"], 7);
    assert_eq!(
        json_view["customers_total_last_hour"],
        serde_json::json!({ "customers": 391, "is_lower_bound": false })
    );
    let common = &json_view["in_common"];
    assert_eq!(
        (&common["bad_sampled"], &common["good_sampled"]),
        (&180.into(), &180.into())
    );
    let differences = common["differences"].as_array().unwrap();
    let named: Vec<_> = differences
        .iter()
        .map(|one| format!("{}={}", one["attribute"], one["value"]).replace('"', ""))
        .collect();
    assert_eq!(
        named,
        [
            "span.messaging.destination.partition.id=7",
            "resource.service.version=2.41.0",
            "span.region=eu-central-1",
        ]
    );
    for one in differences {
        for ratio in ["bad_ratio", "good_ratio"] {
            let text = format::percent(one[ratio].as_f64().unwrap());
            assert!(page.contains(&format!("{text}</td>")), "{ratio} of {one}");
        }
    }
}
