//! Where the time goes, on the page and in its `json_view`.

use std::time::Duration;

use sqlx::{PgConnection, types::Json};
use throughline::domain::{counting::durations::DurationHistogram, model::sampling::Weight};

use super::{client::get, fixture};

/// Of 1,000 good and 40 bad workflows of the first SLO: kind and name, mean seconds of both, and
/// when a workflow comes to it.
const STAGES: [(i16, &str, f64, f64, f64); 6] = [
    (3, "checkout", 0.4, 0.5, 0.0),
    (1, "orders", 0.8, 1.1, 0.4),
    (3, "payment", 1.9, 2.0, 1.2),
    (1, "fulfilment <b>", 6.2, 401.0, 3.1),
    (3, "warehouse", 21.0, 24.0, 9.0),
    (6, "", 0.4, 0.4, 30.0),
];

pub(super) async fn fill(connection: &mut PgConnection) {
    for secs in [60, 3_600, 86_400] {
        add(connection, secs, (false, 1_000)).await;
        add(connection, secs, (true, 40)).await;
    }
}

async fn add(connection: &mut PgConnection, secs: u64, (is_bad, workflows): (bool, i64)) {
    let row = "insert into stage_sums (slo_id, resolution, bucket, is_bad, kind, name, events, duration_us, start_offset_us, durations)
        values (1, $1, $2, $3, $4, $5, $6, $6 * $7::numeric, $6 * $8::numeric, $9)";
    let at = fixture::now() - Duration::from_mins(5);
    let bucket = at.floor_to(Duration::from_secs(secs)).to_chrono();
    let whole = (0, "", 0.0, 0.0, 0.0);
    let sum = |of: fn(&(i16, &str, f64, f64, f64)) -> f64| STAGES.iter().map(of).sum::<f64>();
    let from_start_to_end = [sum(|stage| stage.2), sum(|stage| stage.3)];
    for (kind, name, good, bad, first) in STAGES.into_iter().chain([whole]) {
        let mean = if is_bad { bad } else { good };
        let taken = match kind {
            0 => from_start_to_end[usize::from(is_bad)],
            _ => mean,
        };
        let mut durations = DurationHistogram::default();
        for _ in 0..workflows {
            let micros = Duration::from_secs_f64(taken).as_micros();
            durations.add(i64::try_from(micros).unwrap(), Weight::ONE, 1);
        }
        sqlx::query(row)
            .bind(i32::try_from(secs).unwrap())
            .bind(bucket)
            .bind(is_bad)
            .bind(kind)
            .bind(name)
            .bind(workflows)
            .bind(mean * 1e6)
            .bind(first * 1e6)
            .bind(Json(durations))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_stages_add_up_to_the_whole_and_the_slowest_is_named() {
    let shop = fixture::four_weeks().await;
    for range in ["1h", "6h", "24h", "7d", "28d"] {
        let path = format!("/api/v1/slos/orders-on-time?range={range}");
        let json_view = get(&shop.router, &path).await.json();
        let shown = &json_view["latency_breakdown"];
        let stages = shown["stages"].as_array().unwrap();
        let sum = |key: &str| -> f64 { stages.iter().map(|one| one[key].as_f64().unwrap()).sum() };
        for (part, whole) in [
            (
                "good_mean_seconds",
                shown["good_mean_seconds"].as_f64().unwrap(),
            ),
            (
                "bad_mean_seconds",
                shown["bad_mean_seconds"].as_f64().unwrap(),
            ),
            ("share_of_excess_ratio", 1.0),
        ] {
            assert!((sum(part) - whole).abs() < 1e-6, "{range} {part}: {shown}");
        }
        let names: Vec<_> = stages
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, STAGES.map(|stage| stage.1), "{range}");
        assert_eq!(
            (&shown["good_workflows"], &shown["bad_workflows"]),
            (&1_000.into(), &40.into())
        );
    }
    let page = get(&shop.router, "/slos/orders-on-time?range=1h")
        .await
        .body;
    for said in [
        "99 % of the extra time: wait in fulfilment",
        "1,000 good, 40 bad",
        "<th scope=\"row\">wait in fulfilment &#60;b&#62;</th>",
        "<td class=\"num nw\">6 min 41 s</td>",
        "<td class=\"num nw strong\">7 min 9 s</td>",
    ] {
        assert!(page.contains(said), "the page does not say `{said}`");
    }
    let quiet = get(&shop.router, "/slos/stock-synced").await.body;
    assert!(
        quiet.contains("No workflow was judged in the last 6 h"),
        "{quiet}"
    );
}
