//! The page of one workflow, from spans that were really received.

use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, minute_long},
    span::{SpanBuilder, span},
};

/// Orders that are correlated by their id, whatever traces their spans are in.
async fn app() -> TestApp {
    let fields = "customer: span.customer.id\n  grace: 5s";
    let orders = minute_long("placed", "shipped", "span.order.id", fields);
    TestApp::new().slo(&orders).at("12:00").await
}

fn of_order(span: SpanBuilder, order: &str) -> SpanBuilder {
    span.attribute("order.id", order)
        .attribute("customer.id", "acme")
}

fn message(queue: &str, service: &str) -> SpanBuilder {
    let message = span("message").service(service);
    message.attribute("messaging.destination.name", queue)
}

/// Placed in trace 1 and sent to the queue there.
fn begin(order: &str) -> [SpanBuilder; 2] {
    [
        span("placed").lasting(0.5),
        message("cards", "shop").producer().between(0.2, 0.4),
    ]
    .map(|span| of_order(span.trace(1), order))
}

/// Taken twice in trace 2, the first time in vain, and shipped there.
fn end(order: &str) -> [SpanBuilder; 3] {
    let cards = || message("cards", "cards").consumer();
    [
        cards().between(2.2, 3.0).error(),
        cards().between(9.0, 11.0),
        span("shipped").at(12.0),
    ]
    .map(|span| of_order(span.trace(2), order))
}

async fn key(app: &TestApp) -> String {
    let sql = "select replace(key::text, '-', '') from workflows";
    sqlx::query_scalar(sql)
        .fetch_one(&mut app.database.connect().await)
        .await
        .unwrap()
}

fn steps(view: &Value) -> Vec<String> {
    let steps = view["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            let name = step["step"].as_str().unwrap();
            match step["wait_seconds"].as_f64() {
                Some(wait) => format!("{} {name} {wait}", step["offset_seconds"]),
                None => format!("{} {name}", step["offset_seconds"]),
            }
        })
        .collect()
}

#[tokio::test]
async fn the_story_of_a_workflow_goes_across_its_traces() {
    let app = app().await;
    app.at_second(1.0).send(begin("4711")).await;
    app.at_second(13.0).send(end("4711")).await;
    let key = key(&app).await;
    let view = app.api(&format!("/workflows/orders/{key}")).await;
    assert_eq!(
        steps(&view),
        [
            "0.0 started",
            "0.2 sent",
            "2.2 received 2",
            "9.0 received 6",
            "12.0 succeeded",
            "60.0 deadline",
        ]
    );
    assert_eq!(view["steps"][3]["delivery"], 2);
    assert_eq!(view["steps"][2]["is_error"], true);
    assert_eq!(view["label"], "4711");
    assert_eq!(view["customer"], "acme");
    assert_eq!(view["outcome"], "good");
    assert_eq!(
        view["verdict_rule"],
        "It finished after 12 s, and 1 min are allowed."
    );
    assert_eq!(view["traces"].as_array().unwrap().len(), 2);
    assert_eq!(view["missing"], json!([]));
    let sum = |list: &str, field: &str| -> f64 {
        let parts = view[list].as_array().unwrap().iter();
        parts.map(|part| part[field].as_f64().unwrap()).sum()
    };
    assert!((sum("stages", "seconds") - 12.0).abs() < 1e-6, "{view}");
    assert!(
        (sum("sections", "duration_seconds") - 12.0).abs() < 1e-6,
        "{view}"
    );
    let page = app.page(&format!("/workflows/orders/{key}")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    for said in [
        "Good after 12 s",
        "received from <code>cards</code>",
        "by <code>cards</code>, delivery 2",
        "+9 s",
        "12:00:09.000",
        "https://r-jaeger.example/trace/",
    ] {
        assert!(
            page.body.contains(said),
            "the page does not say `{said}`: {}",
            page.body
        );
    }
}

#[tokio::test]
async fn a_workflow_that_is_stuck_says_in_one_sentence_where_it_waits() {
    let app = app().await;
    for order in ["1", "2"] {
        app.at_second(20.0).send(begin(order)).await;
        app.at_second(20.0).send(end(order)).await;
    }
    app.aggregate().await;
    app.execute("delete from workflows").await;
    app.fill_lists().await;
    app.send(begin("4711")).await;
    let key = key(&app).await;
    let path = format!("/workflows/orders/{key}");
    app.at_second(31.4);
    let view = app.api(&path).await;
    let current = &view["current_stage"];
    assert_eq!(current["stage"], "wait in cards");
    assert_eq!(current["seconds"], 31.0);
    // From 0.4 s to 2.2 s, and from 3 s to 9 s.
    assert_eq!(current["usual_seconds"], 7.8);
    let page = app.page(&path).await.body;
    for said in [
        "Waits in <code>cards</code> since 12:00, 31 s; usually 7.8 s",
        "The message sent to <code>cards</code> at 12:00:00 was not received.",
        "in 28.6 s",
    ] {
        assert!(
            page.contains(said),
            "the page does not say `{said}`: {page}"
        );
    }
    app.at_second(300.0).judge().await;
    let view = app.api(&path).await;
    assert_eq!(view["outcome"], "timeout");
    assert_eq!(
        view["verdict_rule"],
        "No end was received by the deadline and the grace after it."
    );
    app.at_second(400.0).send(end("4711")).await;
    let corrections = &app.api(&path).await["corrections"];
    let [correction] = &corrections.as_array().unwrap()[..] else {
        panic!("not one correction: {corrections}");
    };
    for (field, value) in [
        ("at", "2026-11-22T12:06:40Z"),
        ("from", "timeout"),
        ("to", "good"),
        ("reason", "success"),
    ] {
        assert_eq!(correction[field], value, "{correction}");
    }
    let page = app.page(&path).await.body;
    let said = "Never finished became good. An end was received after the verdict.";
    assert!(page.contains(said), "{page}");
}

#[tokio::test]
async fn s31_clocks_that_differ_are_stated() {
    let app = app().await;
    let taken = message("cards", "cards").consumer().between(0.0, 3.0);
    let spans = begin("1").into_iter().chain([of_order(taken, "1")]);
    app.at_second(4.0).send(spans).await;
    let key = key(&app).await;
    let page = app.page(&format!("/workflows/orders/{key}")).await.body;
    assert!(page.contains("Clocks differ by at least 200 ms"), "{page}");
    assert!(page.contains("−200 ms"), "{page}");
}

async fn is_not_found(app: &TestApp, path: &str, key: &str) {
    let answer = app.page(&format!("{path}/{key}")).await;
    assert_eq!(answer.status, 404, "{path}/{key}: {}", answer.body);
    let said = if key.contains("//") {
        "nothing at this address"
    } else {
        "has no workflow"
    };
    assert!(answer.body.contains(said), "{key}: {}", answer.body);
    let is_markup = answer.body.contains("<b>") && !path.starts_with("/api");
    assert!(!is_markup, "{key}");
}

#[tokio::test]
async fn an_address_that_names_no_workflow_is_answered_clearly() {
    let app = app().await;
    let long = "a".repeat(256);
    let unknown = "0123456789abcdef0123456789ABCDEF";
    for key in [
        "4711",
        unknown,
        &long,
        "a/b//c",
        "%2F..%2F..%2Fetc",
        "%D7%A9%D7%9C%D7%95%D7%9D",
        "%E2%80%AEgnp",
        "%00",
        "%3Cb%3E",
    ] {
        is_not_found(&app, "/workflows/orders", key).await;
        is_not_found(&app, "/api/v1/workflows/orders", key).await;
    }
    let answer = app.page("/workflows/orders/%FF%FE").await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert!(
        answer.body.contains("cannot be understood"),
        "{}",
        answer.body
    );
    let answer = app.page(&format!("/workflows/nothing/{unknown}")).await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("there is no SLO"), "{}", answer.body);
}

fn names(view: &Value) -> Vec<&str> {
    let workflows = view["workflows"].as_array().unwrap().iter();
    workflows
        .map(|one| one["label"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_workflow_is_found_by_name_trace_and_customer_on_every_replica() {
    let app = app().await;
    let other = app.replica();
    app.at_second(13.0).send(begin("4711-a")).await;
    other.send(end("4711-a")).await;
    other.send(begin("4711-b")).await;
    other.send(begin("815")).await;
    let behind = app.api("/workflows?q=4711").await;
    assert_eq!(names(&behind), [""; 0]);
    tokio::join!(app.index(), other.index());
    let trace = crate::support::span::trace_id(1).to_string();
    for (query, found) in [
        ("q=4711", vec!["4711-a", "4711-b"]),
        ("q=4711-b", vec!["4711-b"]),
        ("q=+815%20", vec!["815"]),
        ("q=%D7%A9", vec![]),
        ("q=%00", vec![]),
        ("q=%EF%BF%BF", vec![]),
        ("q=acme", vec!["815", "4711-b", "4711-a"]),
        ("customer=acme&outcome=good", vec!["4711-a"]),
        ("q=4711&outcome=open", vec!["4711-b"]),
        ("q=4711&slo=orders", vec!["4711-a", "4711-b"]),
        ("stage=cards", vec!["4711-b", "815"]),
        ("stage=parcels", vec![]),
        ("min_duration=12s&max_duration=12s", vec!["4711-a"]),
        ("outcome=bad", vec![]),
        (
            "from=2026-11-22T12:00:00Z&to=2026-11-22T12:00:01Z&q=81",
            vec!["815"],
        ),
        ("to=2026-11-22T12:00:00Z", vec![]),
    ] {
        let view = app.api(&format!("/workflows?{query}")).await;
        let mut names = names(&view);
        if !query.contains("4711") {
            names.sort_unstable();
        }
        let mut found = found;
        if !query.contains("4711") {
            found.sort_unstable();
        }
        assert_eq!(names, found, "{query}");
    }
    let whole = app.api(&format!("/workflows?q={trace}")).await;
    assert_eq!(names(&whole).len(), 3);
    let part = app.api(&format!("/workflows?q={}", &trace[..20])).await;
    assert_eq!(names(&part).len(), 3);
    app.at_second(300.0).judge().await;
    let bad = app.api("/workflows?outcome=bad&q=815").await;
    assert_eq!(names(&bad), ["815"]);
    assert_eq!(names(&app.api("/workflows?outcome=timeout").await).len(), 2);
}

#[tokio::test]
async fn a_list_goes_on_where_the_last_answer_ended() {
    let app = app().await;
    for order in 0..7 {
        app.at_second(1.0).send(begin(&format!("o{order}"))).await;
    }
    app.index().await;
    for query in ["q=o", "q=acme", "slo=orders", "outcome=open"] {
        let mut all = Vec::new();
        let mut next = Some(format!("/api/v1/workflows?{query}&limit=3"));
        while let Some(path) = next.take() {
            let answer = app.page(&path).await;
            all.extend(names(&answer.json()).into_iter().map(str::to_owned));
            let link = answer.header("link").strip_suffix(">; rel=\"next\"");
            next = link.map(|link| link[1..].to_owned());
        }
        all.sort();
        let expected: Vec<String> = (0..7).map(|order| format!("o{order}")).collect();
        assert_eq!(all, expected, "{query}");
    }
}

#[tokio::test]
async fn a_list_is_a_page_and_a_file_for_a_spreadsheet() {
    let app = app().await;
    app.at_second(1.0).send(begin("=1+\"1\"")).await;
    app.index().await;
    let page = app.page("/workflows?q=%3D1").await;
    assert_eq!(page.status, 200);
    for said in [
        "/workflows/orders/",
        "=1+&#34;1&#34;",
        "wait in cards",
        "In flight",
    ] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    let file = app.page("/api/v1/workflows?format=csv").await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = file.body.lines().collect();
    assert!(lines[0].starts_with("slo,key,label,customer,outcome,started_at"));
    assert!(
        lines[1].contains("\"'=1+\"\"1\"\"\",\"acme\",\"open\""),
        "{}",
        lines[1]
    );
    let exported = app
        .command(["export", "workflows", "--slo", "orders"])
        .await;
    assert_eq!(exported, file.body);
    for (query, said) in [
        ("limit=0", "`limit` is a number from 1 to 500"),
        ("nothing=1", "there is no parameter `nothing` here"),
        ("slo=none", "there is no SLO `none`"),
        ("after=x", "`after` does not come from an earlier response"),
    ] {
        let answer = app.page(&format!("/api/v1/workflows?{query}")).await;
        assert!((400..=404).contains(&answer.status), "{query}");
        assert!(answer.body.contains(said), "{query}: {}", answer.body);
    }
}
