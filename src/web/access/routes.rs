//! What each route needs. A route that is not named here needs the role of its method.

use axum::http::Method;

use crate::domain::access::AccessRole;

/// What a request must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: the address has a signature of its own, or it is where people log in.
    Nothing,
    Role(AccessRole),
    /// A role for all SLOs: it shows or changes what concerns every team.
    WholeService(AccessRole),
}

/// Where the provider sends browsers that have logged in, which begins a session although it is a GET.
const CALLBACK: &str = "/login/callback";

/// The need of `method` at `route`.
pub(super) fn need(method: &Method, route: &str) -> Need {
    match route {
        "/login"
        | "/login/start"
        | CALLBACK
        | "/logout"
        | "/actions/{action}/{id}"
        | "/charts/{name}" => Need::Nothing,
        // These read, although their input is too long for an address.
        "/explain" | "/api/v1/explain" | "/api/v1/silences/preview" => {
            Need::Role(AccessRole::Viewer)
        }
        "/audit"
        | "/api/v1/audit"
        | "/sessions"
        | "/sessions/{id}/end"
        | "/api/v1/sessions"
        | "/api/v1/sessions/{id}" => Need::WholeService(AccessRole::Admin),
        "/metrics" => Need::WholeService(AccessRole::Viewer),
        _ if reads(method) => Need::Role(AccessRole::Viewer),
        "/api/v1/definitions/{name}" => Need::Role(AccessRole::Admin),
        "/targets/{target}/test"
        | "/api/v1/targets/{target}/test"
        | "/api/v1/definitions/apply"
        | "/api/v1/definitions/clear" => Need::WholeService(AccessRole::Admin),
        _ => Need::Role(AccessRole::Editor),
    }
}

/// The name of what a request does, in the audit log; `None` if it only reads.
pub(super) fn action(method: &Method, route: &str) -> Option<&'static str> {
    if route == CALLBACK {
        return Some("session.begin");
    }
    if reads(method) {
        return None;
    }
    let name = route.trim_start_matches("/api/v1");
    Some(match name.trim_start_matches("/api/v2") {
        "/explain" | "/silences/preview" => return None,
        "/login" => "session.begin",
        "/logout" => "session.end",
        "/sessions/{id}" | "/sessions/{id}/end" => "session.revoke",
        "/incidents/{id}/acknowledge" => "incident.acknowledge",
        "/incidents/{id}/notes" => "incident.note",
        "/actions/{action}/{id}" => "message.action",
        "/silences" | "/silences/new" => "silence.create",
        "/silences/{id}" | "/silences/{id}/expire" | "/silence/{id}" => "silence.expire",
        "/definitions/{name}" if method == Method::DELETE => "definition.delete",
        "/definitions/{name}" => "definition.write",
        "/definitions/apply" => "definitions.apply",
        "/definitions/clear" => "definitions.clear",
        "/deliveries/{id}/retry" => "delivery.retry",
        "/events" => "event.report",
        "/targets/{target}/test" => "target.test",
        _ => "other",
    })
}

pub(super) const fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
