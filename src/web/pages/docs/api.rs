//! The operations of the JSON API, as `/docs/api` lists them.

use serde::Serialize;

use crate::web::{
    pages::{
        audit::AuditQuery, customer::CustomerQuery, deliveries::DeliveriesQuery,
        events::EventsQuery, overview::Filter, silences::Wanted, slo::SloQuery,
        workflows::WorkflowsQuery,
    },
    query::Parameters,
};

/// One method of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ApiOperation {
    pub(super) method: &'static str,
    /// Parts in braces are replaced.
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    /// Of the query; any other is refused.
    pub(super) parameters: &'static [&'static str],
}

impl ApiOperation {
    const fn with<P: Parameters>(self) -> Self {
        Self {
            parameters: P::NAMES,
            ..self
        }
    }
}

/// Operations that people look for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ApiGroup {
    pub(super) heading: &'static str,
    pub(super) operations: &'static [ApiOperation],
}

pub(super) const GROUPS: [ApiGroup; 9] = [
    ApiGroup {
        heading: "SLOs",
        operations: &[
            get(
                "/api/v1/slos",
                "SLOs by name, with their state, budget and burn rates. Filter with `q` (name, service or label), `state` and `label` (`key=value`). At most `limit` (200); `after` is the name that the last answer ended with.",
            )
            .with::<Filter>(),
            get(
                "/api/v1/slos/{slo}",
                "One SLO with its windows, rules, stages, affected customers and evidence. `range` (`1h`, `6h`, `24h`, `7d`, `28d`) sets the time that is shown.",
            )
            .with::<SloQuery>(),
            get(
                "/api/v1/slos/{slo}/groups",
                "The groups of an SLO with `groupBy`, the most urgent first.",
            ),
            get(
                "/api/v1/slos/{slo}/durations",
                "How long workflows and their stages took, as exponential histograms by the time of the verdict, with quantiles. `range` as above.",
            )
            .with::<SloQuery>(),
            get(
                "/api/v1/slos/{slo}/explain",
                "What the selectors of an SLO match among the spans of the last hour, and what keeps others from matching.",
            ),
            post(
                "/api/v1/explain",
                "The same for a definition that is not in force. Body: `{\"definition\": YAML}`. Nothing is changed.",
            ),
            get(
                "/api/v1/discover",
                "Flows through queues among the spans that this replica received in the last hour: their queues, how often they run, how long they take, and for each the definition of an SLO to begin with.",
            ),
            get(
                "/api/v1/discover/templates",
                "Definitions to edit, for systems that many people run. The same for every service.",
            ),
            get(
                "/api/v1/discover/templates/{name}",
                "One of them as YAML, with the reason for each choice. Lines to edit are marked `EDIT`.",
            ),
            get(
                "/api/v1/slos/{slo}/groups/{group}",
                "One group, with the fields of an SLO.",
            )
            .with::<SloQuery>(),
        ],
    },
    ApiGroup {
        heading: "Workflows",
        operations: &[
            get(
                "/api/v1/workflows",
                "Workflows. `q` finds by name or the beginning of a name, trace id (at least 8 digits) or customer; without it the newest come first. Filter with `slo`, `outcome` (`bad` is late, failed and timeout), `stage` (where open ones are), `customer`, `from` and `to` (start), `min_duration` and `max_duration`. At most `limit` (50, at most 500); `after` is `next` of the last answer. `format=csv` or `Accept: text/csv` answers with comma-separated values. `search_lag_seconds`: how far the search is behind.",
            )
            .with::<WorkflowsQuery>(),
            get(
                "/api/v1/customers/{customer}",
                "One customer: events of the last 28 days by SLO, workflows that are open, and the newest workflows.",
            ),
            get(
                "/api/v1/customers",
                "The same, by `name`: for names that no path can have, which are `.` and `..`.",
            )
            .with::<CustomerQuery>(),
            get(
                "/api/v1/workflows/{slo}/{key}",
                "One workflow: its steps in all traces, its stages, its verdict with the rule that gave it, what is missing, and its incidents. `key` is the `key` of a workflow in other answers.",
            ),
        ],
    },
    ApiGroup {
        heading: "Alerts and incidents",
        operations: &[
            get(
                "/api/v1/alerts",
                "Alerts that are firing, and the transitions of the last days with their deliveries.",
            ),
            get(
                "/api/v1/incidents/{id}",
                "One incident: what was sent, its timeline, its cost and its notes.",
            ),
            post(
                "/api/v1/incidents/{id}/acknowledge",
                "Acknowledges an incident. Body: `{\"by\": NAME}`, unless a proxy names the user.",
            ),
            post(
                "/api/v1/incidents/{id}/notes",
                "Adds a note. Body: `{\"text\": TEXT, \"by\": NAME}`.",
            ),
        ],
    },
    ApiGroup {
        heading: "Silences",
        operations: &[
            get(
                "/api/v1/silences",
                "Silences. `state` is `active`, `pending` or `expired`.",
            )
            .with::<Wanted>(),
            post(
                "/api/v1/silences",
                "Creates a silence. Body: `matchers`, `starts_at`, `ends_at` or `duration`, `repeat`, `reason`, `created_by`, `force`.",
            ),
            post(
                "/api/v1/silences/preview",
                "What a silence would match now, and what it would have suppressed. Body as for creating one.",
            ),
            get("/api/v1/silences/{id}", "One silence."),
            delete("/api/v1/silences/{id}", "Expires a silence."),
        ],
    },
    ApiGroup {
        heading: "Change events",
        operations: &[
            get(
                "/api/v1/events",
                "Change events of the last 28 days, newest first. `service` selects those of one service.",
            )
            .with::<EventsQuery>(),
            post(
                "/api/v1/events",
                "Reports a deploy or another change. Body: `kind` (`deploy`, `flag` or `note`), `title`, `at`, `service`, `version`, `url`, `labels`.",
            ),
        ],
    },
    ApiGroup {
        heading: "Deliveries and targets",
        operations: &[
            get(
                "/api/v1/deliveries",
                "Deliveries of notifications, newest first. Filter with `state` and `target`; `before` is the id to go on from.",
            )
            .with::<DeliveriesQuery>(),
            get("/api/v1/deliveries/{id}", "One delivery with all attempts."),
            post(
                "/api/v1/deliveries/{id}/retry",
                "Sends a delivery that failed permanently again, and those that follow it in its incident. Body: `{}`.",
            ),
            get(
                "/api/v1/targets",
                "Notification targets with the state of their circuit breakers.",
            ),
            post(
                "/api/v1/targets/{target}/test",
                "Sends a test notification, at most one a minute for each target. Body: `scenario`, and `render` to only show it.",
            ),
            get(
                "/api/v1/targets/{target}/test/{test}",
                "How the messages of a test were delivered.",
            ),
        ],
    },
    ApiGroup {
        heading: "Definitions",
        operations: &[
            get(
                "/api/v1/definitions",
                "The active definitions, and the problems of the files.",
            ),
            post(
                "/api/v1/definitions/apply",
                "Activates the files of this replica, although other replicas have other ones. Body: `{}`.",
            ),
            post(
                "/api/v1/definitions/clear",
                "Accepts that the files declare no SLO any more. Body: `{}`.",
            ),
        ],
    },
    ApiGroup {
        heading: "Access",
        operations: &[get(
            "/api/v1/audit",
            "The audit log, newest first: every change that was made or tried. Needs the role admin. Filter with `who` and `action`; `before` is `next` of the last answer.",
        )
        .with::<AuditQuery>()],
    },
    ApiGroup {
        heading: "Reference",
        operations: &[
            get("/api/v1/docs/definitions", "The fields of definitions."),
            get(
                "/api/v1/docs/selectors",
                "The fields, operators and values of selectors.",
            ),
            get("/api/v1/docs/metrics", "The metrics."),
            get("/api/v1/docs/settings", "The settings."),
            get("/api/v1/docs/api", "These operations."),
            get(
                "/api/v1/openapi.json",
                "These operations as an OpenAPI 3.1 document, for tools that read one.",
            ),
        ],
    },
];

const fn get(path: &'static str, about: &'static str) -> ApiOperation {
    ApiOperation {
        method: "GET",
        path,
        about,
        parameters: &[],
    }
}

const fn post(path: &'static str, about: &'static str) -> ApiOperation {
    ApiOperation {
        method: "POST",
        path,
        about,
        parameters: &[],
    }
}

const fn delete(path: &'static str, about: &'static str) -> ApiOperation {
    ApiOperation {
        method: "DELETE",
        path,
        about,
        parameters: &[],
    }
}
