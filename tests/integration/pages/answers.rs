//! What the API returns: the same numbers as the pages, and as the tables.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Value, json};
use throughline::{
    clock::ManualClock,
    domain::slo::definition::{Excerpt, Problem, ProblemSeverity},
    store::Store,
    web::{DefinitionsStatus, IngestFacts, router},
};
use tokio::sync::watch;

use super::{
    client::{get, get_with, post_json, web_state},
    fixture,
};
use crate::public_names::{assert_field_words, keys};

#[tokio::test]
async fn the_api_counts_every_event_of_the_window_as_the_tables_have_it() {
    let shop = fixture::four_weeks().await;
    let json_view = get(&shop.router, "/api/v1/slos/orders-on-time")
        .await
        .json();
    let mut connection = shop.database.connect().await;
    let (good, late, failed, timeout, cancelled, orphan): (i64, i64, i64, i64, i64, i64) =
        sqlx::query_as(
            "select sum(good)::bigint, sum(late)::bigint, sum(failed)::bigint, sum(timeout)::bigint,
                    sum(cancelled)::bigint, sum(orphan)::bigint
             from event_counts where slo_id = 1 and resolution = 3600 and bucket >= $1",
        )
        // The fixture has no minutes that long ago, so the window begins with the next whole hour.
        .bind((fixture::now() - Duration::from_hours(28 * 24)).ceil_to(Duration::from_hours(1)).to_chrono())
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let counts = &json_view["counts"];
    let expected = serde_json::json!({
        "good": good, "late": late, "failed": failed, "timeout": timeout, "cancelled": cancelled,
        "orphan": orphan, "invalid": 0, "bad": late + failed + timeout,
        "total": good + late + failed + timeout,
    });
    assert_eq!(counts, &expected);
    let evidence = json_view["evidence"].as_array().unwrap();
    let noted: Vec<_> = evidence
        .iter()
        .map(|one| (one["reason"].as_str().unwrap(), one["count"].as_i64()))
        .collect();
    let expected = [
        ("corrected", Some(11)),
        ("customers_overflow", Some(1_207)),
        ("no_start_time", Some(7)),
        ("too_late", Some(3)),
        ("uncorrelated", Some(1_042)),
    ];
    assert_eq!(noted, expected);
    assert_eq!(
        (&json_view["in_flight"], &json_view["overdue"]),
        (&Value::from(63), &Value::from(8))
    );
    assert_eq!(json_view["alerts"][0]["state"], "firing");
    assert_eq!(json_view["rules"].as_array().unwrap().len(), 4);
    assert!(json_view["rules"][0]["long"]["burn_rate"].as_f64().unwrap() > 13.44);
}

#[tokio::test]
async fn an_event_is_in_the_api_before_the_next_evaluation() {
    let shop = fixture::four_weeks().await;
    let path = "/api/v1/slos/stock-synced";
    let before = get(&shop.router, path).await.json()["counts"]["failed"]
        .as_i64()
        .unwrap();
    let mut connection = shop.database.connect().await;
    for length in [60, 3_600, 86_400] {
        let bucket = fixture::now().floor_to(Duration::from_secs(length));
        sqlx::query("insert into event_counts (slo_id, resolution, bucket, writer, failed) values (6, $1, $2, 7, 5)")
            .bind(i32::try_from(length).unwrap())
            .bind(bucket.to_chrono())
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let after = get(&shop.router, path).await.json()["counts"]["failed"]
        .as_i64()
        .unwrap();
    assert_eq!(after, before + 5);
}

#[tokio::test]
async fn every_number_that_the_page_counts_is_in_its_twin() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/slos/orders-on-time").await.body;
    let json_view = get(&shop.router, "/api/v1/slos/orders-on-time")
        .await
        .json();
    let mut numbers = Vec::new();
    numbers_of(&json_view, &mut numbers);
    let flow = &page[page.find("id=\"flow\"").unwrap()..];
    let shown = regex::Regex::new("<dt>([0-9,]+)</dt>").unwrap();
    let mut seen = 0;
    for found in shown.captures_iter(flow) {
        let n: f64 = found[1].replace(',', "").parse().unwrap();
        assert!(
            numbers.iter().any(|number| number.to_bits() == n.to_bits()),
            "{n} is not in the json_view"
        );
        seen += 1;
    }
    assert_eq!(seen, 14);
    let text = page.replace("<code>", "`").replace("</code>", "`");
    for one in json_view["evidence"].as_array().unwrap() {
        for words in ["meaning", "next_step"] {
            let words = one[words].as_str().unwrap().replace('\'', "&#39;");
            assert!(text.contains(&words), "the page does not say `{words}`");
        }
    }
    for list in ["worst_workflows", "in_flight_oldest"] {
        let rows = json_view[list].as_array().unwrap();
        assert_eq!(rows.len(), 8);
        for row in rows {
            assert!(page.contains(row["trace_id"].as_str().unwrap()), "{row}");
            assert!(page.contains(row["label"].as_str().unwrap()), "{row}");
        }
    }
    for customer in json_view["customers"].as_array().unwrap() {
        let cell = format!("<td class=\"num strong\">{}</td>", customer["bad"]);
        assert!(page.contains(&cell), "{customer}");
    }
    assert_eq!(
        json_view["budget_history"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()["budget_remaining_ratio"],
        json_view["budget_remaining_ratio"]
    );
}

fn numbers_of(value: &Value, numbers: &mut Vec<f64>) {
    match value {
        Value::Number(number) => numbers.extend(number.as_f64()),
        Value::Array(values) => values.iter().for_each(|value| numbers_of(value, numbers)),
        Value::Object(fields) => fields.values().for_each(|value| numbers_of(value, numbers)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_is_in_order_of_urgency_and_the_api_in_that_of_names_and_a_filter_narrows_both() {
    let shop = fixture::four_weeks().await;
    let page = get(&shop.router, "/").await.body;
    let place = |name: &str| page.find(&format!("href=\"/slos/{name}\"")).unwrap();
    let urgent = [
        "orders-on-time",
        "refunds-settled",
        "fraud-checked",
        "stock-synced",
    ];
    assert!(urgent.map(place).is_sorted(), "{:?}", urgent.map(place));
    let names = async |path: &str| -> Vec<String> {
        let json_view = get(&shop.router, path).await.json();
        let slos = json_view["slos"].as_array().unwrap().clone();
        slos.iter()
            .map(|slo| slo["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names("/api/v1/slos").await,
        [
            "fraud-checked",
            "invoices-ready",
            "orders-on-time",
            "payouts-sent",
            "refunds-settled",
            "stock-synced",
            "webhooks-delivered",
        ]
    );
    assert_eq!(
        names("/api/v1/slos?q=team%3Dpayments").await,
        ["payouts-sent", "refunds-settled"]
    );
    assert_eq!(names("/api/v1/slos?state=paging").await, ["orders-on-time"]);
}

#[tokio::test]
async fn one_address_answers_people_with_a_page_and_programs_with_json() {
    let shop = fixture::four_weeks().await;
    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let program = [("accept", "application/json")];
    for path in ["/", "/slos/orders-on-time", "/alerts", "/definitions"] {
        let page = get_with(&shop.router, path, &browser).await;
        assert_eq!(
            page.header("content-type"),
            "text/html; charset=utf-8",
            "{path}"
        );
        let json_view = get_with(&shop.router, path, &program).await;
        assert_eq!(
            json_view.header("content-type"),
            "application/json",
            "{path}"
        );
        assert!(json_view.header("vary").contains("accept"), "{path}");
        json_view.json();
    }
}

#[tokio::test]
async fn alerts_tell_what_fires_and_who_was_told() {
    let shop = fixture::four_weeks().await;
    let json_view = get(&shop.router, "/api/v1/alerts").await.json();
    let firing = json_view["firing"].as_array().unwrap();
    assert_eq!(firing.len(), 2);
    assert_eq!(
        (&firing[0]["slo"], &firing[0]["severity"]),
        (&Value::from("orders-on-time"), &Value::from("page"))
    );
    let newest = &json_view["transitions"][0];
    assert_eq!(newest["kind"], "firing");
    assert_eq!(newest["deliveries"][0]["target"], "oncall");
    assert_eq!(newest["deliveries"][0]["http_status"], 202);
}

#[tokio::test]
async fn prometheus_reads_budget_burn_and_events_of_every_slo() {
    let shop = fixture::four_weeks().await;
    let text = get(&shop.router, "/metrics").await.body;
    for line in [
        r#"throughline_slo_objective_ratio{slo="orders-on-time"} 0.995"#,
        r#"throughline_alert_firing{severity="page",slo="orders-on-time"} 1"#,
        r#"throughline_slo_workflows_overdue{slo="orders-on-time"} 8"#,
        r#"throughline_slo_evidence{reason="uncorrelated",slo="orders-on-time"} 1042"#,
        r#"throughline_slo_burn_rate{rule="fast-burn",slo="orders-on-time",window="1h"}"#,
        r#"throughline_slo_events_window{outcome="timeout",slo="orders-on-time"}"#,
        r#"throughline_slo_error_budget_remaining_ratio{slo="refunds-settled"} -0."#,
    ] {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
    assert!(
        !text.contains("fraud-checked\",window"),
        "no burn rate without events"
    );
}

#[tokio::test]
async fn readiness_gives_its_reasons_and_liveness_needs_none() {
    let shop = fixture::four_weeks().await;
    assert_eq!(get(&shop.router, "/healthz").await.status, 200);
    let ready = get(&shop.router, "/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["ready"]),
        (200, &Value::from(true))
    );

    let nowhere = Store::at("postgres://nobody@127.0.0.1:1/none", 1).unwrap();
    let (_catalog, catalog) = watch::channel(Arc::default());
    let (_definitions, definitions) = watch::channel(Arc::new(DefinitionsStatus {
        folder: "slo-definitions".to_owned(),
        loaded_at: None,
        problems: vec!["a.yaml:1:1 no `kind`".to_owned()],
        findings: Vec::new(),
        pending: None,
    }));
    let alone = router(web_state(
        nowhere,
        ManualClock::new(fixture::now()),
        catalog,
        definitions,
        IngestFacts::default(),
    ));
    let ready = get(&alone, "/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.json()["reasons"],
        serde_json::json!([
            "the database does not answer",
            "no definitions could be loaded from `slo-definitions`",
            "a.yaml:1:1 no `kind`",
        ])
    );
    assert_eq!(get(&alone, "/healthz").await.status, 200);
    let page = get(&alone, "/").await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("the database does not answer"));
}

#[tokio::test]
async fn every_key_of_the_api_is_a_word_of_the_field() {
    let shop = fixture::four_weeks().await;
    let alerts = get(&shop.router, "/api/v1/alerts").await.json();
    let incident = alerts["firing"][0]["incident"].as_str().unwrap();
    let silence =
        json!({ "matchers": ["slo=orders-on-time"], "duration": "1h", "reason": "upgrade" });
    let event = json!({ "kind": "deploy", "service": "shop", "version": "2" });
    let mut found = BTreeSet::new();
    for (path, body) in [("/api/v1/silences", silence), ("/api/v1/events", event)] {
        let answer = post_json(&shop.router, path, &body).await;
        assert!(answer.status < 300, "{path}: {}", answer.body);
        keys(&answer.json(), &mut found);
    }
    for path in [
        "/api/v1/slos",
        "/api/v1/slos/orders-on-time",
        "/api/v1/alerts",
        &format!("/api/v1/incidents/{incident}"),
        "/api/v1/deliveries",
        "/api/v1/events",
        "/api/v1/silences",
        "/api/v1/targets",
        "/api/v1/definitions",
        "/api/v1/docs/definitions",
        "/api/v1/docs/selectors",
        "/api/v1/docs/metrics",
        "/api/v1/docs/settings",
        "/api/v1/docs/api",
        "/api/v1/nowhere",
    ] {
        keys(&get(&shop.router, path).await.json(), &mut found);
    }
    for key in ["budget_remaining_ratio", "fallback_for", "reported_by"] {
        assert!(found.contains(key), "no `{key}` in {found:?}");
    }
    assert_field_words(&found);
}

#[tokio::test]
async fn text_that_cannot_be_stored_is_a_fault_of_the_request_wherever_it_stands() {
    let shop = fixture::four_weeks().await;
    for path in [
        "/events?service=%00",
        "/api/v1/events?service=%00",
        "/?q=%00",
        "/deliveries?state=%00",
        "/slos/%00",
        "/slos/orders-on-time?range=%00",
        "/slos/orders-on-time/groups?q=%00",
        "/slos/orders-on-time/groups/%00",
        "/incidents/%00",
        "/silences/new?slo=%00",
        "/charts/%00?token=%00",
        "/api/v1/deliveries/%00",
        "/api/v1/targets/%00/test/%00",
    ] {
        let answer = get(&shop.router, path).await;
        assert!(answer.status < 500, "{path}: {}", answer.body);
    }
    let events = get(&shop.router, "/events?service=%00").await;
    assert_eq!(events.status, 400);
    assert!(events.body.contains("NUL character"), "{}", events.body);

    let silence = json!({ "matchers": ["slo=a\0"], "duration": "1h", "reason": "a\0b" });
    let event = json!({ "kind": "deploy", "service": "a\0b", "version": "\0" });
    for (path, body) in [("/api/v1/silences", silence), ("/api/v1/events", event)] {
        let answer = post_json(&shop.router, path, &body).await;
        assert!(answer.status < 500, "{path}: {}", answer.body);
    }
}

/// As after a mistake of whoever restored the database.
#[tokio::test]
async fn a_row_that_cannot_be_read_is_not_taken_for_an_outage_of_the_database() {
    let shop = fixture::four_weeks().await;
    let mut past = shop.database.connect().await;
    sqlx::query("update slo_statuses set status = '[]'")
        .execute(&mut past)
        .await
        .unwrap();
    let page = get(&shop.router, "/").await;
    assert_eq!(page.status, 500);
    assert!(!page.body.contains("does not answer"), "{}", page.body);
    assert!(page.body.contains("fault of the service"), "{}", page.body);
}

#[tokio::test]
async fn p27_definitions_show_when_rules_fire_and_what_is_wrong_underlined() {
    let shop = fixture::four_weeks().await;
    let finding = Problem {
        severity: ProblemSeverity::Warning,
        file: "returns.yaml".to_owned(),
        line: 14,
        column: 5,
        message: "no events match `good`".to_owned(),
        help: Some("check `good`".to_owned()),
        excerpt: Some(Excerpt {
            text: "    good: '{ false }'".to_owned(),
            span: 4..8,
        }),
    };
    shop.definitions.send_modify(|status| {
        let mut warned = (**status).clone();
        warned.findings = vec![finding];
        *status = warned.into();
    });
    let page = get(&shop.router, "/definitions").await.body;
    for text in [
        "returns.yaml:14:5",
        "14 |     good: &#39;{ false }&#39;\n   |     ^^^^",
        "no events match <code>good</code>",
        "13.44× over 1 h and 5 min",
        "6.7 % bad at the usual traffic",
        "on at least 5 bad events; resolves after 5 min",
    ] {
        assert!(page.contains(text), "no `{text}` in {page}");
    }
    let json = get(&shop.router, "/api/v1/definitions").await.json();
    assert_eq!(json["findings"][0]["line"], 14);
    assert_eq!(json["slos"][0]["rules"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn p26_the_overview_is_sorted_filtered_and_grouped_by_its_address() {
    let shop = fixture::four_weeks().await;
    let row = regex::Regex::new(r#"<th scope="row"><a href="/slos/([^"]+)">"#).unwrap();
    let names = async |query: &str| -> Vec<String> {
        let page = get(&shop.router, &format!("/?{query}")).await.body;
        let rows = row.captures_iter(&page);
        rows.map(|found| found[1].to_owned()).collect()
    };
    assert_eq!(names("").await[0], "orders-on-time");
    assert_eq!(names("sort=budget").await[0], "refunds-settled");
    let by_name = names("sort=name").await;
    assert_eq!(by_name[0], "fraud-checked");
    assert_eq!(
        names("label=team%3Dpayments&sort=name").await,
        ["payouts-sent", "refunds-settled"]
    );
    let grouped = names("group=service&sort=name").await;
    assert_eq!(grouped[0], "invoices-ready", "billing comes first");
    let page = get(&shop.router, "/?group=service&label=team%3Dpayments")
        .await
        .body;
    assert!(
        page.contains("<th scope=\"rowgroup\" colspan=\"13\"><bdi>payments</bdi>"),
        "{page}"
    );
    assert!(page.contains("<option value=\"team=payments\" selected>team=payments (2)</option>"));
    assert!(
        page.contains("href=\"/?state=Paging&amp;label=team%3Dpayments&amp;group=service\"")
            || page.contains("href=\"/?state=Paging&#38;label=team%3Dpayments&#38;group=service\""),
        "{page}"
    );
}
