//! Customers' names for roles that may see them: every route, with everything that can hold a name.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::Router;
use regex::Regex;
use serde_json::json;
use sqlx::PgConnection;
use throughline::{
    config::AuthMethod,
    domain::{
        access::AccessRole,
        model::span::{AttributeName, AttributeScope},
        slo::{Catalog, Correlator, HiddenAttributes, Indicator, Slo},
        workflow::shapes::SharedShapes,
    },
    web::{self, CustomerNames, WebState},
};

use super::{bearer, guarded_state, table};
use crate::{
    pages::{
        client::{Answer, get_with, post_with},
        deliveries::give_one_up,
        fixture::{Shop, now},
        groups,
    },
    support::{app::web::access_by, span::span},
};

/// A customer of two SLOs, and a group of one of them.
const NAME: &str = "Leeds";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Addresses besides the routes without parameters.
const OTHERS: [&str; 12] = [
    "/workflows?outcome=late&format=csv",
    "/workflows?outcome=open",
    "/workflows?customer=Leeds",
    "/api/v1/workflows?outcome=open",
    "/api/v1/workflows?outcome=late&format=csv",
    "/api/v1/workflows?customer=Leeds",
    "/customers?name=Leeds",
    "/api/v1/customers?name=Leeds",
    "/api/v1/deliveries?state=failed",
    "/api/v1/silences?state=active",
    "/api/v1/slos/orders-on-time?at=2026-11-22T09:50:00Z",
    "/reports/2026-11?format=csv",
];

/// Where somebody who may see the name does: patterns of addresses.
const NAMED: [&str; 22] = [
    "/slos/orders-on-time",
    "/api/v1/slos/orders-on-time",
    "/slos/stock-synced",
    "/slos/stock-synced/groups",
    "/api/v1/slos/stock-synced/groups",
    "/slos/stock-synced/groups/[0-9]+",
    "/workflows\\?outcome=open",
    "/workflows\\?customer=Leeds",
    "/api/v1/workflows\\?outcome=open",
    "/api/v1/workflows\\?outcome=late&format=csv",
    "/customers/Leeds",
    "/customers\\?name=Leeds",
    "/workflows/orders-on-time/[0-9a-f]+",
    "/api/v1/workflows/orders-on-time/[0-9a-f]+",
    "/incidents/[0-9a-f-]+",
    "/api/v1/incidents/[0-9a-f-]+",
    "/deliveries",
    "/alerts",
    "/api/v1/silences",
    "/api/v2/silences",
    "/api/v2/alerts",
    "/silences",
];

/// A silence of the customer's alerts; its id.
async fn silenced(shop: &Shop) -> String {
    let silence = json!({
        "matchers": [format!("group={NAME}")], "duration": "1h", "reason": "upgrade"
    });
    let silence = silence.to_string();
    let answer = post_with(&shop.router, "/api/v1/silences", &[JSON], &silence).await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// The shop with the customer wherever names can be.
struct Named {
    shop: Shop,
    addresses: BTreeSet<String>,
}

impl Named {
    async fn new() -> Self {
        let (shop, groups) = groups::grouped().await;
        shop.catalog.send_modify(|catalog| {
            let mut named: Catalog = (**catalog).clone();
            let grouped: &mut Arc<Slo> = named.slos.get_mut(&groups::SLO.parse().unwrap()).unwrap();
            Arc::make_mut(grouped).customer = Some(attribute("warehouse"));
            let orders = named.slos.get_mut(&"orders-on-time".parse().unwrap());
            let Indicator::Workflow(workflow) = &mut Arc::make_mut(orders.unwrap()).indicator
            else {
                panic!("an order is a workflow");
            };
            let attribute = attribute("customer.id");
            let by = Correlator::Attribute {
                attribute,
                run: None,
            };
            workflow.correlate.insert(0, by);
            *catalog = Arc::new(named);
        });
        let mut connection = shop.database.connect().await;
        let delivery = give_one_up(&mut connection).await;
        rename(&mut connection).await;
        let silence = silenced(&shop).await;
        let sql = "select distinct snapshot ->> 'incident' from alert_transitions";
        let mut ids: Vec<String> = sqlx::query_scalar(sql)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        ids.extend([delivery.to_string(), silence]);
        let sql = "select replace(key::text, '-', '') from workflows where customer = $1 limit 3";
        let keys: Vec<String> = sqlx::query_scalar(sql)
            .bind(NAME)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
        let values = |parameter: &str| match parameter {
            "{slo}" => vec!["orders-on-time".to_owned(), groups::SLO.to_owned()],
            "{group}" => groups.clone(),
            "{id}" => ids.clone(),
            "{key}" => keys.clone(),
            "{customer}" => vec![NAME.to_owned()],
            "{month}" => vec!["2026-11".to_owned()],
            _ => vec!["1".to_owned()],
        };
        let paths = table::table().into_keys();
        let paths = paths.filter(|(method, _)| method == "GET");
        let mut addresses: BTreeSet<_> =
            paths.flat_map(|(_, path)| filled(path, &values)).collect();
        addresses.extend(OTHERS.map(str::to_owned));
        Self { shop, addresses }
    }

    /// The pages that name customers from this role on.
    fn router(&self, role: AccessRole) -> Router {
        guarded_state(WebState {
            customers: CustomerNames::of_role(role),
            shapes: sampled(&self.shop),
            ..self.shop.state.clone()
        })
    }
}

/// Spans of the customer, as a replica keeps them.
fn sampled(shop: &Shop) -> SharedShapes {
    let shapes = SharedShapes::new();
    let hidden = HiddenAttributes::of(shop.catalog.borrow().slos.values());
    for order in 1..=6 {
        let sent = span("orders publish").producer().trace(order).at(0.0);
        let sent = sent.lasting(0.1).attribute("customer.id", NAME);
        let span = sent.build(now() - Duration::from_mins(1));
        let candidate = shapes.look(&span, &hidden, now());
        shapes.add(now(), candidate.into_iter().collect());
    }
    shapes
}

fn attribute(key: &str) -> AttributeName {
    AttributeName {
        scope: AttributeScope::Span,
        key: key.to_owned(),
    }
}

/// Every combination of values for the parameters of a path.
fn filled(path: String, values: &dyn Fn(&str) -> Vec<String>) -> Vec<String> {
    let parameter = Regex::new(r"\{[a-z]+\}").unwrap();
    let Some(found) = parameter.find(&path) else {
        return vec![path];
    };
    let found = found.as_str().to_owned();
    let all = values(&found).into_iter();
    all.flat_map(|value| filled(path.replacen(&found, &value, 1), values))
        .collect()
}

/// Puts the name wherever the tables can hold one.
async fn rename(connection: &mut PgConnection) {
    for sql in [
        "update workflows set customer = 'Leeds', label = 'Leeds' where customer = 'acme-eu'",
        "update bad_workflows set customer = 'Leeds' where customer = 'acme-eu'",
        "update customer_counts set customer = 'Leeds' where customer = 'acme-eu'",
        "update workflows set details = jsonb_set(details, '{attributes}', (details -> 'attributes')
             || '[[\"span.customer.id\", \"Leeds\"]]') where outcome in (2, 3, 4) and details ? 'attributes'",
        "update delivery_attempts set excerpt = 'unknown field in: Leeds'",
        "update alert_transitions set snapshot = snapshot || jsonb_build_object(
             'context', coalesce(snapshot -> 'context', '{}') || '{\"top_customers\": [{\"customer\": \"Leeds\", \"bad\": 9}]}',
             'in_common', '[{\"attribute\": \"span.customer.id\", \"value\": \"Leeds\", \"bad_ratio\": 0.9, \"good_ratio\": 0.1}]'::jsonb,
             'worst_workflows', (select coalesce(jsonb_agg(worst || '{\"customer\": \"Leeds\"}'
                     || case when snapshot ->> 'slo' = 'orders-on-time' then '{\"workflow\": \"Leeds\"}'::jsonb else '{}' end), '[]')
                 from jsonb_array_elements(snapshot -> 'worst_workflows') worst))",
    ] {
        sqlx::query(sql).execute(&mut *connection).await.unwrap();
    }
}

async fn ask(router: &Router, role: AccessRole, address: &str) -> Answer {
    get_with(router, address, &[("authorization", &bearer(role))]).await
}

#[tokio::test]
async fn customers_have_names_for_roles_that_may_see_them_and_nobody_else() {
    let named = Named::new().await;
    let router = named.router(AccessRole::Editor);
    let mut by_editors = BTreeSet::new();
    for address in &named.addresses {
        let answer = ask(&router, AccessRole::Viewer, address).await;
        assert!(answer.status < 500, "{address}: {}", answer.body);
        assert!(!answer.body.contains(NAME), "{address}: {}", answer.body);
        for header in ["location", "link"] {
            assert!(!answer.header(header).contains(NAME), "{address}");
        }
        let answer = ask(&router, AccessRole::Editor, address).await;
        if answer.body.contains(NAME) {
            by_editors.insert(address.as_str());
        }
    }
    for pattern in NAMED {
        let pattern = Regex::new(&format!("^{pattern}$")).unwrap();
        assert!(
            by_editors.iter().any(|address| pattern.is_match(address)),
            "an editor sees the name at {pattern}, not only at {by_editors:?}"
        );
    }
    assert!(
        !by_editors.contains("/metrics"),
        "metrics leave the service"
    );
    let router = named.router(AccessRole::Viewer);
    let by_default = ask(&router, AccessRole::Viewer, "/api/v1/slos/orders-on-time").await;
    assert!(by_default.body.contains(NAME));
}

#[tokio::test]
async fn who_sees_no_names_sees_pseudonyms_and_learns_which_role_is_needed() {
    let named = Named::new().await;
    let router = named.router(AccessRole::Admin);
    let slo = ask(&router, AccessRole::Editor, "/api/v1/slos/orders-on-time").await;
    let slo = slo.json();
    let customers = slo["customers"].as_array().unwrap().iter();
    let customers: BTreeSet<_> = customers
        .map(|one| one["customer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        customers.len(),
        7,
        "no two rows look the same: {customers:?}"
    );
    let pseudonym = named.shop.state.signing_key.pseudonym(NAME);
    assert!(customers.contains(&pseudonym), "the same as in messages");
    let listed = ask(
        &router,
        AccessRole::Editor,
        "/api/v1/workflows?outcome=late",
    )
    .await;
    assert!(listed.body.contains(&pseudonym), "the same everywhere");
    for address in [
        "/customers/Leeds",
        "/api/v1/customers?name=Leeds",
        "/workflows?customer=Leeds",
    ] {
        let refused = ask(&router, AccessRole::Editor, address).await;
        assert_eq!(refused.status, 403, "{address}");
        let text = "this needs the role admin, because it is about customers by their names";
        assert!(refused.body.contains(text), "{address}: {}", refused.body);
    }
    let found = ask(&router, AccessRole::Editor, "/api/v1/workflows?q=Leeds").await;
    assert_eq!(found.json()["workflows"], json!([]), "{}", found.body);
    let preview = json!({ "matchers": ["group=~\"L.*\""] }).to_string();
    let headers = [JSON, ("authorization", &bearer(AccessRole::Editor))];
    let preview = post_with(&router, "/api/v1/silences/preview", &headers, &preview).await;
    assert_eq!(
        preview.json()["matches"],
        json!([]),
        "no guess finds a name"
    );
}

#[tokio::test]
async fn a_role_for_some_slos_names_the_customers_of_these() {
    let named = Named::new().await;
    let state = WebState {
        customers: CustomerNames::of_role(AccessRole::Editor),
        access: access_by(AuthMethod::Proxy, Arc::default(), |_| {}),
        ..named.shop.state.clone()
    };
    let router = web::router(state);
    let service = "checkout";
    let role = format!("viewer, editor@team/{service}");
    let headers = [("x-forwarded-user", "dana"), ("x-forwarded-role", &role)];
    let own = get_with(&router, "/api/v1/slos/orders-on-time", &headers).await;
    assert!(own.body.contains(NAME), "{}", own.body);
    let other = get_with(&router, "/api/v1/slos/stock-synced/groups", &headers).await;
    assert_eq!(other.status, 200);
    assert!(!other.body.contains(NAME), "{}", other.body);
    let page = get_with(&router, "/customers/Leeds", &headers).await;
    assert_eq!(page.status, 200, "{}", page.body);
}
