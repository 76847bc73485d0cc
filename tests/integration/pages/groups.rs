//! Groups on the pages: the breakdown of an SLO, the page of each, and how many burn.

use std::{sync::Arc, time::Duration};

use throughline::domain::{
    alerting::{
        alert::{AlertProgress, AlertState, AlertStatus, TransitionKind},
        snapshot::AlertSnapshot,
        status::{SloState, SloStatus},
        suppression::Suppression,
    },
    model::{
        group::Group,
        span::{AttributeName, AttributeScope},
    },
    slo::{Catalog, GroupBy, Severity, Slo},
};
use uuid::Uuid;

use super::{client::get, fixture, has_nothing_inline, links};

pub(super) const SLO: &str = "stock-synced";
/// The row of that SLO.
const ID: i32 = 6;

/// Four weeks of the shop, in which one SLO has these groups: one that pages, one that is held back, a
/// hostile one, and that of all others.
pub(super) async fn grouped() -> (fixture::Shop, Vec<i32>) {
    let shop = fixture::four_weeks().await;
    shop.catalog.send_modify(|catalog| {
        let mut grouped: Catalog = (**catalog).clone();
        let slo: &mut Arc<Slo> = grouped.slos.get_mut(&SLO.parse().unwrap()).unwrap();
        Arc::make_mut(slo).group_by = Some(GroupBy {
            attributes: vec![AttributeName {
                scope: AttributeScope::Span,
                key: "warehouse".to_owned(),
            }],
            max_groups: 3,
        });
        *catalog = Arc::new(grouped);
    });
    let mut ids = Vec::new();
    for (value, state) in [
        (Some("Lyon <b>\"2\"</b>"), SloState::Ok),
        (Some("Leeds"), SloState::Paging),
        (Some("Bremen"), SloState::Ticket),
        (None, SloState::Ok),
    ] {
        ids.push(add(&shop, value, state).await);
    }
    (shop, ids)
}

async fn add(shop: &fixture::Shop, value: Option<&str>, state: SloState) -> i32 {
    let mut connection = shop.database.connect().await;
    let group = Group {
        by: vec!["span.warehouse".to_owned()],
        values: value.map(|value| vec![Some(value.to_owned())]),
    };
    let id: i32 = sqlx::query_scalar(
        "insert into slos (parent_id, group_by, group_key, group_values, first_event_at)
         select id, $2, $3, $4, first_event_at from slos where id = $1 returning id",
    )
    .bind(ID)
    .bind(serde_json::to_value(&group.by).unwrap())
    .bind(Uuid::from_bytes(group.key().0))
    .bind(group.values.as_ref().map(sqlx::types::Json))
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let status: serde_json::Value =
        sqlx::query_scalar("select status from slo_statuses where slo_id = $1")
            .bind(if state == SloState::Paging { 1 } else { ID })
            .fetch_one(&mut connection)
            .await
            .unwrap();
    let mut status: SloStatus = serde_json::from_value(status).unwrap();
    if state == SloState::Ticket {
        status.state = state;
        status.alerts = vec![held_back_ticket()];
    }
    assert_eq!(status.state, state);
    sqlx::query("insert into slo_statuses (slo_id, evaluated_at, status, state)\n             values ($1, $2, $3, $3 ->> 'state')")
        .bind(id)
        .bind(status.evaluated_at.to_chrono())
        .bind(serde_json::to_value(&status).unwrap())
        .execute(&mut connection)
        .await
        .unwrap();
    if state == SloState::Paging {
        assert_eq!(status.alerts[0].state, AlertState::Firing);
        fires(&mut connection, id, group).await;
    }
    id
}

fn held_back_ticket() -> AlertStatus {
    AlertStatus {
        began_at: None,
        severity: Severity::Ticket,
        state: AlertState::Firing,
        since: fixture::now() - Duration::from_mins(29),
        rule: None,
        progress: AlertProgress {
            muted: Some(Suppression::Inhibited { by: Severity::Page }),
            ..AlertProgress::default()
        },
    }
}

/// The alert that another SLO of the shop has, as that of a group.
async fn fires(connection: &mut sqlx::PgConnection, id: i32, group: Group) {
    sqlx::query(
        "insert into alerts (slo_id, severity, state, version, episode, since, rule)
         select $1, severity, state, version, episode, since, rule from alerts where slo_id = 1",
    )
    .bind(id)
    .execute(&mut *connection)
    .await
    .unwrap();
    let facts: serde_json::Value = sqlx::query_scalar(
        "select snapshot from alert_transitions where slo_id = 1 order by version desc limit 1",
    )
    .fetch_one(&mut *connection)
    .await
    .unwrap();
    let facts = AlertSnapshot {
        slo: SLO.parse().unwrap(),
        display_name: "Stock levels are synced within a minute".to_owned(),
        group: Some(group),
        ..serde_json::from_value(facts).unwrap()
    };
    assert_eq!(facts.kind, TransitionKind::Firing);
    let at = fixture::now() - Duration::from_mins(29);
    sqlx::query(
        "insert into alert_transitions (id, slo_id, severity, version, episode, kind, at, snapshot)
         values ($1, $2, 'page', 5, $3, 'firing', $4, $5)",
    )
    .bind(Uuid::now_v7())
    .bind(id)
    .bind(Uuid::from_u128(9))
    .bind(at.to_chrono())
    .bind(serde_json::to_value(&facts).unwrap())
    .execute(&mut *connection)
    .await
    .unwrap();
}

/// The words of a part of a page, a line per row of a table.
pub(super) fn words(html: &str) -> String {
    let rows = html.replace('\n', " ").replace("</tr>", "\n");
    let text = regex::Regex::new("<svg.*?</svg>|<[^>]*>").unwrap();
    let text = text.replace_all(&rows, " ").into_owned();
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ")
    });
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// What an element holds: from the end of its tag, which has `from` in it.
pub(super) fn between<'a>(html: &'a str, from: &str, to: &str) -> &'a str {
    let (_, tag) = html.split_once(from).expect(from);
    let (_, rest) = tag.split_once('>').expect("the tag ends");
    rest.split_once(to).expect(to).0
}

#[tokio::test]
async fn an_slo_is_broken_down_by_group_with_the_most_urgent_first() {
    let (shop, _) = grouped().await;
    let page = get(&shop.router, "/slos/stock-synced").await;
    assert_eq!(page.status, 200, "{}", page.body);
    has_nothing_inline("/slos/stock-synced", &page.body);
    insta::assert_snapshot!(words(between(&page.body, "id=\"groups\"", "</section>")));
    let json_view = get(&shop.router, "/api/v1/slos/stock-synced").await.json();
    let groups = &json_view["groups"];
    assert_eq!(
        (&groups["total"], &groups["burning"]),
        (&4.into(), &2.into())
    );
    assert_eq!(groups["rows"][0]["values"]["warehouse"], "Leeds");
    assert_eq!(groups["rows"][1]["inhibited"][0], "ticket");
    assert!(json_view["group"].is_null());
}

#[tokio::test]
async fn every_group_has_a_page_and_a_twin() {
    let (shop, ids) = grouped().await;
    let leeds = format!("/slos/stock-synced/groups/{}", ids[1]);
    let page = get(&shop.router, &leeds).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("<h1><bdi>warehouse = Leeds</bdi></h1>"));
    assert!(
        page.body
            .contains("<a href=\"/slos/stock-synced\"><bdi>Stock levels")
    );
    assert!(!page.body.contains("id=\"groups\""));
    let json_view = get(&shop.router, &format!("/api/v1{leeds}")).await.json();
    assert_eq!(json_view["group"]["values"]["warehouse"], "Leeds");
    assert_eq!(
        (&json_view["state"], &json_view["name"]),
        (&"paging".into(), &SLO.into())
    );
    assert_eq!(json_view["transitions"][0]["group"], "warehouse = Leeds");

    let held = format!("/slos/stock-synced/groups/{}", ids[2]);
    let page = get(&shop.router, &held).await;
    let sentence = "Its ticket is not sent, because another alert that fires covers it.";
    assert!(page.body.contains(sentence));

    let hostile = format!("/slos/stock-synced/groups/{}", ids[0]);
    let page = get(&shop.router, &hostile).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("<b>\"2\"") && !page.body.contains("<b>&quot;"));

    for nowhere in [
        "/slos/stock-synced/groups/999",
        "/slos/stock-synced/groups/x",
    ] {
        let page = get(&shop.router, nowhere).await;
        assert_eq!(page.status, 404, "{nowhere}");
        assert!(page.body.contains("has no group"), "{}", page.body);
    }
    let of_another = format!("/slos/orders-on-time/groups/{}", ids[1]);
    assert_eq!(get(&shop.router, &of_another).await.status, 404);
}

#[tokio::test]
async fn the_overview_the_alerts_and_the_metrics_tell_that_groups_burn() {
    let (shop, ids) = grouped().await;
    let overview = get(&shop.router, "/").await;
    assert!(
        overview
            .body
            .contains("href=\"/slos/stock-synced/groups\">2 of 4 groups burn</a>")
    );
    let json_view = get(&shop.router, "/api/v1/slos").await.json();
    assert_eq!(json_view["groups"]["stock-synced"]["burning"], 2);
    let names: Vec<_> = json_view["slos"].as_array().unwrap().iter().collect();
    let place = |name: &str| names.iter().position(|slo| slo["name"] == name).unwrap();
    assert!(place("stock-synced") < place("webhooks-delivered"));
    assert_eq!(
        json_view["slos"].as_array().unwrap().len(),
        7,
        "groups are no SLOs"
    );

    let alerts = get(&shop.router, "/alerts").await;
    let leeds = format!("/slos/stock-synced/groups/{}", ids[1]);
    let links = alerts.body.matches(&format!("href=\"{leeds}\"")).count();
    assert_eq!(links, 2, "where it fires and in the history");
    let json_view = get(&shop.router, "/api/v1/alerts").await.json();
    let firing = json_view["firing"].as_array().unwrap();
    assert!(
        firing
            .iter()
            .any(|alert| alert["group"] == "warehouse = Leeds")
    );

    let metrics = get(&shop.router, "/metrics").await;
    for line in [
        r#"throughline_slo_groups{slo="stock-synced"} 4"#,
        r#"throughline_slo_groups_burning{slo="stock-synced"} 2"#,
    ] {
        assert!(metrics.body.contains(line), "{line}");
    }
    let of_leeds = r#"{group="warehouse = Leeds",outcome="good",slo="stock-synced"}"#;
    assert!(metrics.body.contains(of_leeds));
}

#[tokio::test]
async fn the_list_of_groups_and_all_that_it_links_to_is_there() {
    let (shop, _) = grouped().await;
    let page = get(&shop.router, "/slos/stock-synced/groups").await;
    assert_eq!(page.status, 200);
    has_nothing_inline("/slos/stock-synced/groups", &page.body);
    insta::assert_snapshot!(words(between(&page.body, "<main", "</main>")));
    for target in links("/slos/stock-synced/groups", &page.body) {
        assert_eq!(get(&shop.router, &target).await.status, 200, "{target}");
    }
    let json_view = get(&shop.router, "/api/v1/slos/stock-synced/groups")
        .await
        .json();
    assert_eq!(json_view["rows"].as_array().unwrap().len(), 4);
    assert_eq!(json_view["max_groups"], 3);
    let ungrouped = get(&shop.router, "/slos/orders-on-time/groups").await;
    assert_eq!(ungrouped.status, 404);
}
