//! Definitions that are written by the API: checked, numbered, and never lost to another writer.

use axum::Router;
use serde_json::{Value, json};
use throughline::{domain::slo::definition::DefinitionFile, store::Store};
use tokio::task::JoinSet;

use super::{
    client::{Answer, get, get_with, request_with},
    fixture::{self, now},
};

const YAML: (&str, &str) = ("content-type", "application/yaml");
const JSON: (&str, &str) = ("content-type", "application/json");

fn slo(name: &str) -> String {
    format!(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name} }}\nspec:\n  \
         objective: 99%\n  window: 30d\n  indicator:\n    \
         span: {{ match: '{{ name = \"{name}\" }}', good: '{{ true }}' }}\n"
    )
}

async fn put(router: &Router, path: &str, body: &str) -> Answer {
    put_with(router, path, &[YAML], body).await
}

async fn put_with(router: &Router, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let path = format!("/api/v1/definitions/{path}");
    request_with(router, ("PUT", &path), headers, body).await
}

async fn delete_with(router: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let path = format!("/api/v1/definitions/{path}");
    request_with(router, ("DELETE", &path), headers, "").await
}

async fn files_in_force(store: &Store, text: &str) {
    let mut tx = store.begin("activate definitions").await.unwrap();
    let file = DefinitionFile {
        path: "shop.yaml".to_owned(),
        text: text.to_owned(),
    };
    tx.put_definitions_in_force(&[file], now()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Names that the newest set has of the API.
async fn written(router: &Router) -> Vec<(String, bool)> {
    let listed = get(router, "/api/v1/definitions").await.json();
    let written = listed["written"].as_array().unwrap().iter();
    written
        .map(|one| {
            let name = one["name"].as_str().unwrap().to_owned();
            (name, one["in_force"].as_bool().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_definition_is_written_read_replaced_and_deleted() {
    let shop = fixture::empty(fixture::catalog()).await;
    files_in_force(&shop.state.store, &slo("orders")).await;
    let router = &shop.router;
    let created = put(router, "checkout", &slo("checkout")).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let mut created = created.json();
    assert_eq!(
        (&created["revision"], &created["kind"]),
        (&json!(2), &json!("SLO"))
    );
    assert_eq!(created["in_force"], true);
    assert_eq!(created["definition"], slo("checkout"));

    let warnings = created.as_object_mut().unwrap().remove("warnings").unwrap();
    let warning = warnings[0]["message"].as_str().unwrap();
    assert!(warning.starts_with("no target is notified"), "{warning}");

    let path = "/api/v1/definitions/checkout";
    let read = get(router, path).await;
    assert_eq!(read.json(), created);
    let known = get_with(router, path, &[("if-none-match", read.header("etag"))]).await;
    assert_eq!((known.status, &*known.body), (304, ""));

    let same = put(router, "checkout", &slo("checkout")).await;
    assert_eq!((same.status, &same.json()["revision"]), (200, &json!(2)));
    let changed = put(router, "checkout", &slo("checkout").replace("99%", "95%")).await;
    assert_eq!(
        (changed.status, &changed.json()["revision"]),
        (200, &json!(3))
    );
    assert_eq!(written(router).await, [("checkout".to_owned(), true)]);
    let page = get(router, "/definitions").await;
    assert!(page.body.contains("Written by the API"), "{}", page.body);

    let deleted = delete_with(router, "checkout", &[]).await;
    assert_eq!(
        (deleted.status, &deleted.json()["revision"]),
        (200, &json!(4))
    );
    assert_eq!(written(router).await, []);
    for gone in [
        get(router, path).await,
        delete_with(router, "checkout", &[]).await,
    ] {
        assert_eq!(gone.status, 404, "{}", gone.body);
    }
}

#[tokio::test]
async fn a_json_body_is_a_definition_too_and_a_form_is_none() {
    let shop = fixture::empty(fixture::catalog()).await;
    let body = json!({
        "apiVersion": "throughline/v1", "kind": "SLO", "metadata": { "name": "a" },
        "spec": {
            "objective": "99%", "window": "30d",
            "indicator": { "span": { "match": "{ true }", "good": "{ true }" } },
        },
    });
    let created = put_with(&shop.router, "a", &[JSON], &body.to_string()).await;
    assert_eq!(created.status, 201, "{}", created.body);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let refused = put_with(&shop.router, "a", &[form], "a=b").await;
    assert_eq!(refused.status, 415);
    let help = refused.json()["help"].to_string();
    assert!(help.contains("application/yaml"), "{help}");
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once_and_nothing_is_changed() {
    let shop = fixture::empty(fixture::catalog()).await;
    files_in_force(&shop.state.store, &slo("orders")).await;
    let wrong = slo("other")
        .replace("99%", "101%")
        .replace("window", "windw");
    let refused = put(&shop.router, "checkout", &wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    let problem = refused.json();
    let problems = problem["problems"].as_array().unwrap().iter();
    let problems: Vec<&Value> = problems.filter(|one| one["severity"] == "error").collect();
    let messages: Vec<&str> = problems
        .iter()
        .map(|one| one["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages.iter().any(|message| message.contains("windw")));
    assert!(
        messages
            .iter()
            .any(|message| message.contains("named `other`"))
    );
    assert!(problems.iter().all(|one| one["file"] == "api:checkout"));

    let target = "apiVersion: throughline/v1\nkind: AlertNotificationTarget\nmetadata: { name: t }\n\
                  spec: { webhook: { url: https://example.com/hook } }\n";
    for (name, body, said) in [
        ("t", target, "a target cannot be written"),
        ("a", "", "there is no definition"),
        ("a", "kind: [", "api:a"),
    ] {
        let refused = put(&shop.router, name, body).await;
        assert_eq!(refused.status, 422, "{body}");
        assert!(refused.body.contains(said), "{}", refused.body);
    }
    assert_eq!(put(&shop.router, "A_b", &slo("a")).await.status, 422);
    let bytes = put(&shop.router, "a", "\0").await;
    assert_eq!(bytes.status, 422, "{}", bytes.body);
    assert_eq!(written(&shop.router).await, []);
}

#[tokio::test]
async fn a_definition_that_another_one_needs_is_not_deleted() {
    let shop = fixture::empty(fixture::catalog()).await;
    let policy = "apiVersion: throughline/v1\nkind: AlertPolicy\nmetadata: { name: calm }\nspec:\n  \
                  rules:\n    - { name: slow, severity: ticket, burnRate: { spend: 50%, long: 1d, short: 2h } }\n";
    let made = put(&shop.router, "calm", policy).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let uses = format!("{}  alertPolicies: [calm]\n", slo("checkout"));
    let made = put(&shop.router, "checkout", &uses).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let refused = delete_with(&shop.router, "calm", &[]).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("api:checkout"), "{}", refused.body);
}

#[tokio::test]
async fn a_write_that_expects_another_definition_is_refused() {
    let shop = fixture::empty(fixture::catalog()).await;
    let router = &shop.router;
    let with = async |header: (&'static str, &str), body: &str| {
        put_with(router, "a", &[YAML, header], body).await
    };
    let tag = async || {
        let read = get(router, "/api/v1/definitions/a").await;
        read.header("etag").to_owned()
    };
    assert_eq!(with(("if-match", "*"), &slo("a")).await.status, 412);
    assert_eq!(with(("if-none-match", "*"), &slo("a")).await.status, 201);
    assert_eq!(with(("if-none-match", "*"), &slo("a")).await.status, 412);
    let first = tag().await;
    put(router, "b", &slo("b")).await;
    assert_eq!(tag().await, first, "another definition changes nothing");
    let changed = slo("a").replace("99%", "95%");
    let one_of = format!("\"other\", W/{first}");
    assert_eq!(with(("if-match", &one_of), &changed).await.status, 200);
    let refused = with(("if-match", &first), &slo("a")).await;
    assert_eq!(refused.status, 412);
    assert!(
        refused.body.contains("has changed since it was read"),
        "{}",
        refused.body
    );
    let stale = delete_with(router, "a", &[("if-match", &first)]).await;
    assert_eq!(stale.status, 412);
    let deleted = delete_with(router, "a", &[("if-match", &tag().await)]).await;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    let shop = fixture::empty(fixture::catalog()).await;
    let names: Vec<String> = (0..8).map(|number| format!("slo-{number}")).collect();
    let mut writes = JoinSet::new();
    for name in names.clone() {
        let router = shop.router.clone();
        writes.spawn(async move { put(&router, &name, &slo(&name)).await.status });
    }
    assert_eq!(writes.join_all().await, [201; 8]);
    let all: Vec<String> = written(&shop.router)
        .await
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(all, names);
}

#[tokio::test]
async fn a_dry_run_answers_and_changes_nothing() {
    let shop = fixture::empty(fixture::catalog()).await;
    let router = &shop.router;
    let tried = put(router, "a?dryRun=true", &slo("a")).await;
    assert_eq!(
        (tried.status, &tried.json()["in_force"]),
        (201, &json!(true))
    );
    assert_eq!(written(router).await, []);
    put(router, "a", &slo("a")).await;
    assert_eq!(delete_with(router, "a?dryRun=true", &[]).await.status, 200);
    assert_eq!(written(router).await, [("a".to_owned(), true)]);
    assert_eq!(put(router, "a?dryRun=maybe", &slo("a")).await.status, 400);
    assert_eq!(put(router, "a?dry=true", &slo("a")).await.status, 400);
}

#[tokio::test]
async fn a_name_that_a_file_declares_is_written_and_said_not_to_be_in_force() {
    let shop = fixture::empty(fixture::catalog()).await;
    files_in_force(&shop.state.store, &slo("orders")).await;
    let stored = put(&shop.router, "orders", &slo("orders").replace("99%", "95%")).await;
    assert_eq!(stored.status, 201, "{}", stored.body);
    let stored: Value = stored.json();
    assert_eq!(stored["in_force"], false);
    assert_eq!(stored["overridden_by"], "shop.yaml:1");
    let page = get(&shop.router, "/definitions").await;
    let said = "not in force: <code>shop.yaml:1</code> takes precedence";
    assert!(page.body.contains(said), "{}", page.body);
}
