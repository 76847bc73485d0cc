//! Every route of every port with every kind of caller, compared with `.github/ACCESS.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use axum::Router;
use regex::Regex;
use throughline::{
    clock::{Clock, ManualClock},
    config::AuthMethod,
    domain::{
        access::{AccessRole, AllowedServices, TokenGrant},
        slo::Catalog,
    },
    ingest::server::{limits::ReceiverLimits, senders::SenderAccess},
};
use tokio::sync::watch;

use super::{FORM, guarded, known_tokens, now, of_role, token};
use crate::{
    pages::{client::Answer, fixture},
    receiver::server::{Commits, Server, client, h2_client},
    support::app::web::request_with,
};

const OTLP_GRPC: [&str; 2] = [
    "/grpc.health.v1.Health/Check",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
];
const OTLP_HTTP: [&str; 2] = ["/", "/v1/traces"];

/// A method and a path.
type Route = (String, String);

fn file() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/ACCESS.md");
    fs::read_to_string(path).unwrap()
}

/// The values of the header `Authorization`, in the order of the columns.
fn callers() -> [Option<String>; 5] {
    let [viewer, editor, admin] = AccessRole::ALL.map(of_role);
    let sender = TokenGrant::Sender(AllowedServices::All);
    let header = |grant| Some(format!("Bearer {}", token(&grant).reveal()));
    [
        None,
        header(sender),
        header(viewer),
        header(editor),
        header(admin),
    ]
}

/// Method and path of every route, as the router's source has them.
fn routes() -> BTreeSet<Route> {
    let source = include_str!("../../../../src/web/mod.rs");
    let path = Regex::new(r#"^\s*"([^"]+)""#).unwrap();
    let method = Regex::new(r"\b(get|post|put|patch|delete)\(").unwrap();
    let mut found = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let path = path.captures(route).expect("a route begins with its path")[1].to_owned();
        let methods = method.captures_iter(route);
        found.extend(methods.map(|method| (method[1].to_uppercase(), path.clone())));
    }
    found
}

/// The routes of the pages' port with the least role that each needs; `None` if it is open.
pub(super) fn table() -> BTreeMap<Route, Option<AccessRole>> {
    let file = file();
    let pages = file.split("## OTLP").next().unwrap();
    let rows = pages.lines().filter(|line| is_row(line)).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [method, path, nobody, _, roles @ ..] = &cells[..] else {
            panic!("`{line}` has too few cells");
        };
        let role = AccessRole::ALL
            .into_iter()
            .zip(roles)
            .find(|(_, cell)| **cell == "yes");
        let need = (*nobody != "yes").then(|| role.expect("a role").0);
        let route = ((*method).to_owned(), path.trim_matches('`').to_owned());
        (route, need)
    });
    rows.collect()
}

fn is_row(line: &str) -> bool {
    line.starts_with("| ") && line.contains("| `")
}

fn row((method, path): &Route, passed: [bool; 5]) -> String {
    let cells = passed.map(|passed| if passed { "yes" } else { "–" });
    format!("| {method} | `{path}` | {} |", cells.join(" | "))
}

/// The file with these rows, a list for each table.
fn rendered(file: &str, tables: [Vec<String>; 3]) -> String {
    let mut tables = tables.into_iter();
    let mut lines = Vec::new();
    for line in file.lines().filter(|line| !is_row(line)) {
        lines.push(line.to_owned());
        if line.starts_with("|---") {
            lines.extend(tables.next().expect("three tables"));
        }
    }
    lines.join("\n") + "\n"
}

/// Whether access control let the request pass; the route itself may have refused it.
fn passed(answer: &Answer) -> bool {
    let has = |text| answer.body.contains(text);
    let is_form = has("<h1>Log in</h1>") && !has("this token is unknown here");
    let asks = is_form || has("the sender is unknown");
    let forbids = has("this needs the role") || has("is for sending spans");
    !(asks && answer.status == 401 || forbids && answer.status == 403)
}

/// Calls a route, with 1 for each of its parameters.
async fn ask(router: &Router, caller: Option<&str>, (method, path): &Route) -> Answer {
    let address = Regex::new(r"\{[a-z]+\}").unwrap().replace_all(path, "1");
    let kind = if path.starts_with("/api/") {
        ("content-type", "application/json")
    } else {
        FORM
    };
    let authorization = caller.map(|token| ("authorization", token));
    let headers: Vec<_> = authorization.into_iter().chain([kind]).collect();
    request_with(router, (method, &address), &headers, "").await
}

async fn pages() -> Vec<String> {
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let mut all: Vec<Route> = routes().into_iter().collect();
    all.sort_by(|(verb, path), (other_verb, other)| path.cmp(other).then(verb.cmp(other_verb)));
    let mut rows = Vec::new();
    for route in &all {
        let mut may_call = [false; 5];
        for (may, caller) in may_call.iter_mut().zip(callers()) {
            *may = passed(&ask(&router, caller.as_deref(), route).await);
        }
        rows.push(row(route, may_call));
    }
    rows
}

/// A receiver of both protocols that knows the same tokens.
async fn receiver() -> Server {
    let (_, tokens) = watch::channel(known_tokens());
    let clock = Clock::Manual(ManualClock::new(now()));
    Server::admitting((Commits::AtOnce, ReceiverLimits::default()), |metrics| {
        SenderAccess::by_token(tokens, clock, metrics.clone())
    })
    .await
}

/// Sends an empty request, and returns whether its sender was accepted.
async fn takes(request: reqwest::RequestBuilder, caller: Option<String>) -> bool {
    let headers = caller.map(|token| ("authorization", token));
    let request = headers.into_iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    let answer = request.send().await.unwrap();
    let code = answer.headers().get("grpc-status");
    answer.status() != 401 && code.is_none_or(|code| code != "16")
}

async fn grpc(server: &Server) -> Vec<String> {
    let source = include_str!("../../../../src/ingest/grpc/mod.rs");
    assert_eq!(source.matches(".route(").count(), OTLP_GRPC.len());
    let mut rows = Vec::new();
    for path in OTLP_GRPC {
        let mut cells = [false; 5];
        for (cell, caller) in cells.iter_mut().zip(callers()) {
            let request = h2_client()
                .post(format!("{}{path}", server.grpc))
                .header("content-type", "application/grpc")
                .body([0; 5].to_vec());
            *cell = takes(request, caller).await;
        }
        rows.push(row(&("POST".to_owned(), path.to_owned()), cells));
    }
    rows
}

async fn http(server: &Server) -> Vec<String> {
    let source = include_str!("../../../../src/ingest/http.rs");
    assert_eq!(source.matches(".route(").count(), OTLP_HTTP.len());
    let mut rows = Vec::new();
    for path in OTLP_HTTP {
        let mut cells = [false; 5];
        for (cell, caller) in cells.iter_mut().zip(callers()) {
            let request = client()
                .post(format!("{}{path}", server.http))
                .header("content-type", "application/x-protobuf");
            *cell = takes(request, caller).await;
        }
        rows.push(row(&("POST".to_owned(), path.to_owned()), cells));
    }
    rows
}

#[tokio::test]
async fn every_route_of_every_port_lets_pass_whom_the_table_says_and_nobody_else() {
    let server = receiver().await;
    let tables = [pages().await, grpc(&server).await, http(&server).await];
    let (file, found) = (file(), rendered(&file(), tables));
    if found != file {
        let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ACCESS.md");
        fs::write(&written, &found).unwrap();
        let differs = found.lines().filter(|line| !file.contains(line));
        panic!(
            "`.github/ACCESS.md` differs from {}:\n{}",
            written.display(),
            differs.collect::<Vec<_>>().join("\n")
        );
    }
}
