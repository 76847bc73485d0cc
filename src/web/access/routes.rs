//! The need of each route. A route that is not named here needs the role of its method.

use axum::http::Method;

use crate::domain::access::AccessRole;

/// The requirement of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: the URL is signed, or belongs to the login.
    Nothing,
    Role(AccessRole),
    /// A role for all SLOs: it shows or changes what concerns every team.
    WholeService(AccessRole),
}

/// The callback from the provider, which begins a session although it is a GET.
const CALLBACK: &str = "/login/callback";

/// Returns the need of `method` at `route`.
pub(super) fn need(method: &Method, route: &str) -> Need {
    match route {
        "/login"
        | "/login/start"
        | CALLBACK
        | "/logout"
        | "/actions/{action}/{id}"
        | "/charts/{name}" => Need::Nothing,
        // They show samples of the spans of all teams. They only read; some are POST because their input
        // is too long for a URL.
        "/discover" | "/api/v1/discover" | "/explain" | "/api/v1/explain" => {
            Need::WholeService(AccessRole::Viewer)
        }
        "/api/v1/silences/preview" => Need::Role(AccessRole::Viewer),
        "/audit"
        | "/api/v1/audit"
        | "/sessions"
        | "/sessions/{id}/end"
        | "/api/v1/sessions"
        | "/api/v1/sessions/{id}"
        | "/tokens"
        | "/tokens/{id}/end"
        | "/api/v1/tokens"
        | "/api/v1/tokens/{id}" => Need::WholeService(AccessRole::Admin),
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

/// The action of ending one's own session.
pub(super) const LOGOUT: &str = "session.end";

/// Returns the name of the action in the audit log; `None` if the request only reads.
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
        "/logout" => LOGOUT,
        "/sessions/{id}" | "/sessions/{id}/end" => "session.revoke",
        "/tokens" => "token.create",
        "/tokens/{id}" | "/tokens/{id}/end" => "token.revoke",
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
