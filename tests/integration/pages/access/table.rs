//! Every route with every role.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use regex::Regex;
use throughline::{
    config::AuthMethod,
    domain::{access::AccessRole, slo::Catalog},
};

use super::{FORM, bearer, guarded};
use crate::{
    pages::{client::Answer, fixture},
    support::app::web::request_with,
};

/// What each route needs: `open`, or the least role. Health checks and static files are open.
const TABLE: &str = "
GET    /                                        viewer
GET    /login                                   open
POST   /login                                   open
GET    /login/start                             open
GET    /login/callback                          open
POST   /logout                                  open
GET    /slos/{slo}                              viewer
GET    /slos/{slo}/durations                    viewer
GET    /slos/{slo}/history                      viewer
GET    /slos/{slo}/explain                      viewer
GET    /explain                                 viewer
POST   /explain                                 viewer
GET    /discover                                viewer
GET    /discover/templates/{name}               viewer
GET    /slos/{slo}/groups                       viewer
GET    /slos/{slo}/groups/{group}               viewer
GET    /workflows                               viewer
GET    /customers                               viewer
GET    /customers/{customer}                    viewer
GET    /workflows/{slo}/{key}                   viewer
GET    /alerts                                  viewer
GET    /incidents/{id}                          viewer
GET    /i/{id}                                  viewer
POST   /incidents/{id}/acknowledge              editor
POST   /incidents/{id}/notes                    editor
GET    /actions/{action}/{id}                   open
POST   /actions/{action}/{id}                   open
GET    /silences                                viewer
GET    /silences/new                            viewer
POST   /silences/new                            editor
POST   /silences/{id}/expire                    editor
GET    /reports                                 viewer
GET    /reports/{month}                         viewer
GET    /definitions                             viewer
GET    /audit                                   admin
GET    /sessions                                admin
POST   /sessions/{id}/end                       admin
GET    /tokens                                  admin
POST   /tokens                                  admin
POST   /tokens/{id}/end                         admin
GET    /time-zone                               viewer
GET    /docs                                    viewer
GET    /docs/definitions                        viewer
GET    /docs/selectors                          viewer
GET    /docs/metrics                            viewer
GET    /docs/settings                           viewer
GET    /docs/api                                viewer
GET    /deliveries                              viewer
GET    /deliveries/{id}                         viewer
POST   /deliveries/{id}/retry                   editor
GET    /events                                  viewer
GET    /targets                                 viewer
POST   /targets/{target}/test                   admin
GET    /charts/{name}                           open
GET    /assets/{name}                           open
GET    /favicon/{state}                         open
GET    /healthz                                 open
GET    /readyz                                  open
GET    /metrics                                 viewer
GET    /api/v1/slos/{slo}/groups                viewer
GET    /api/v1/slos/{slo}/explain               viewer
POST   /api/v1/explain                          viewer
GET    /api/v1/discover                         viewer
GET    /api/v1/discover/templates               viewer
GET    /api/v1/discover/templates/{name}        viewer
GET    /api/v1/workflows/{slo}/{key}            viewer
GET    /api/v1/customers/{customer}             viewer
GET    /api/v1/alerts                           viewer
GET    /api/v1/incidents/{id}                   viewer
POST   /api/v1/incidents/{id}/acknowledge       editor
POST   /api/v1/incidents/{id}/notes             editor
POST   /api/v1/silences/preview                 viewer
GET    /api/v1/silences/{id}                    viewer
DELETE /api/v1/silences/{id}                    editor
GET    /api/v1/definitions                      viewer
GET    /api/v1/definitions/{name}               viewer
PUT    /api/v1/definitions/{name}               admin
DELETE /api/v1/definitions/{name}               admin
POST   /api/v1/definitions/apply                admin
POST   /api/v1/definitions/clear                admin
GET    /api/v1/docs/definitions                 viewer
GET    /api/v1/docs/selectors                   viewer
GET    /api/v1/docs/metrics                     viewer
GET    /api/v1/docs/settings                    viewer
GET    /api/v1/docs/api                         viewer
GET    /api/v1/openapi.json                     viewer
GET    /api/v1/deliveries/{id}                  viewer
POST   /api/v1/deliveries/{id}/retry            editor
GET    /api/v1/targets                          viewer
POST   /api/v1/targets/{target}/test            admin
GET    /api/v1/targets/{target}/test/{test}     viewer
GET    /api/v1/slos                             viewer
GET    /api/v1/workflows                        viewer
GET    /api/v1/customers                        viewer
GET    /api/v1/slos/{slo}                       viewer
GET    /api/v1/slos/{slo}/history               viewer
GET    /api/v1/reports/{month}                  viewer
GET    /api/v1/slos/{slo}/durations             viewer
GET    /api/v1/slos/{slo}/groups/{group}        viewer
GET    /api/v1/deliveries                       viewer
GET    /api/v1/events                           viewer
POST   /api/v1/events                           editor
GET    /api/v1/audit                            admin
GET    /api/v1/sessions                         admin
DELETE /api/v1/sessions/{id}                    admin
GET    /api/v1/tokens                           admin
DELETE /api/v1/tokens/{id}                      admin
GET    /api/v1/silences                         viewer
POST   /api/v1/silences                         editor
GET    /api/v2/silences                         viewer
POST   /api/v2/silences                         editor
GET    /api/v2/silence/{id}                     viewer
DELETE /api/v2/silence/{id}                     editor
GET    /api/v2/alerts                           viewer
GET    /api/v2/alerts/groups                    viewer
GET    /api/v2/receivers                        viewer
GET    /api/v2/status                           viewer
";

/// Method and path of every route, as the router's source has them.
fn routes() -> BTreeSet<(String, String)> {
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

/// The least role of each route; `None` if it is open.
pub(super) fn table() -> BTreeMap<(String, String), Option<AccessRole>> {
    let lines = TABLE.trim().lines().map(|line| {
        let [method, path, need] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("`{line}` has not three parts");
        };
        let need = (need != "open").then(|| need.parse().unwrap());
        ((method.to_owned(), path.to_owned()), need)
    });
    lines.collect()
}

/// Whether access control let the request pass; the route itself may have refused it.
fn passed(answer: &Answer) -> bool {
    let has = |text| answer.body.contains(text);
    let is_form = has("<h1>Log in</h1>") && !has("this token is unknown here");
    let asks = is_form || has("the sender is unknown");
    let forbids = has("this needs the role");
    !(asks && answer.status == 401 || forbids && answer.status == 403)
}

/// Calls a route, with 1 for each of its parameters.
async fn ask(
    router: &Router,
    role: Option<AccessRole>,
    (method, path): &(String, String),
) -> Answer {
    let address = Regex::new(r"\{[a-z]+\}").unwrap().replace_all(path, "1");
    let kind = if path.starts_with("/api/") {
        ("content-type", "application/json")
    } else {
        FORM
    };
    let authorization = role.map(bearer);
    let authorization = authorization
        .iter()
        .map(|token| ("authorization", token.as_str()));
    let headers: Vec<_> = authorization.chain([kind]).collect();
    request_with(router, (method, &address), &headers, "").await
}

#[tokio::test]
async fn every_route_lets_pass_whom_the_table_says_and_nobody_else() {
    let table = table();
    let listed: BTreeSet<_> = table.keys().cloned().collect();
    assert_eq!(listed, routes(), "a route is missing in the table, or gone");
    let shop = fixture::empty(Catalog::default()).await;
    let router = guarded(&shop, AuthMethod::Token);
    let roles = [None].into_iter().chain(AccessRole::ALL.map(Some));
    let mut wrong = Vec::new();
    for role in roles {
        for (route, need) in &table {
            let answer = ask(&router, role, route).await;
            let is_wrong = passed(&answer) != (*need <= role);
            wrong.extend(is_wrong.then(|| format!("{route:?} as {role:?}: {}", answer.status)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
