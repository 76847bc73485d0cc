//! The operations of the JSON API, as `/docs/api` lists them.

use serde_json::Value;

use super::{
    ApiDocs, DefinitionDocs, MetricDocs, SettingDocs,
    operation::{ApiGroup, delete, get, post, put},
};
use crate::{
    domain::{
        alerting::{
            change_event::{ChangeEvent, ChangeEventReport},
            incident::IncidentNote,
        },
        traceql::SelectorReference,
    },
    web::{
        access::{
            sessions::{RevokedSession, SessionsView},
            tokens::{RevokedToken, TokensView},
        },
        alertmanager::{
            AlertFilter, AlertGroupView, GettableAlert, GettableSilence, PostableSilence,
            PostedSilence, ReceiverView, SilenceFilter, StatusView,
        },
        pages::{
            alerts::AlertsView,
            audit::{AuditQuery, AuditView},
            customer::{CustomerPageView, CustomerQuery},
            definitions::{
                ApplyRequest, ApplyResponse, DefinitionsView, DeletedAnswer, WriteQuery,
                WrittenAnswer,
            },
            deliveries::{
                DeliveriesQuery, DeliveriesView, DeliveryView, RetryRequest, RetryResponse,
            },
            discover::{
                DiscoverView,
                templates::{TemplateList, TemplateView},
            },
            events::{EventsQuery, EventsView},
            explain::{ExplainView, PastedDefinition},
            incidents::{AcknowledgeForm, AcknowledgedView, IncidentView, NoteForm},
            overview::{Filter, OverviewView},
            reports::{MonthReport, ReportQuery},
            silences::{PreviewView, SilenceRequest, SilenceView, SilencesView, Wanted},
            slo::{DurationsView, GroupListView, HistoryQuery, HistoryView, SloQuery, SloView},
            targets::{
                TargetsView,
                test::{TestBegun, TestRequest, TestView},
            },
            workflow::StoryView,
            workflows::{WorkflowsQuery, WorkflowsView},
        },
        query::PartQuery,
    },
};

pub(super) const GROUPS: [ApiGroup; 10] = [
    ApiGroup {
        heading: "SLOs",
        operations: &[
            get::<OverviewView>(
                "/api/v1/slos",
                "SLOs by name, with their state, budget and burn rates. Filter with `q` (name, service or label), `state` and `label` (`key=value`). At most `limit` (200); `after` is the name that the last answer ended with.",
            )
            .with::<Filter>(),
            get::<SloView>(
                "/api/v1/slos/{slo}",
                "One SLO with its windows, rules, stages, affected customers and evidence. `range` (`1h`, `6h`, `24h`, `7d`, `28d`) sets the time that is shown.",
            )
            .with::<SloQuery>(),
            get::<GroupListView>(
                "/api/v1/slos/{slo}/groups",
                "The groups of an SLO with `groupBy`, the most urgent first.",
            ),
            get::<DurationsView>(
                "/api/v1/slos/{slo}/durations",
                "How long workflows and their stages took, as exponential histograms by the time of the verdict, with quantiles. `range` as above.",
            )
            .with::<SloQuery>(),
            get::<HistoryView>(
                "/api/v1/slos/{slo}/history",
                "What each `day`, `week` or `month` (`by`, in UTC) counted: good and bad events, the share of the period's budget that was spent, the objective and the revision of the definitions in force at its end, and the incidents that fired in it with their cost. 31 periods, newest first; `before` is `next` of the last answer. `format=csv` or `Accept: text/csv` answers with comma-separated values.",
            )
            .with::<HistoryQuery>(),
            get::<MonthReport>(
                "/api/v1/reports/{month}",
                "The same of one month, such as `2026-11`, for every SLO, or for those whose label `team` is `team`. `format=csv` and `format=markdown` answer with a table.",
            )
            .with::<ReportQuery>(),
            get::<ExplainView>(
                "/api/v1/slos/{slo}/explain",
                "What the selectors of an SLO match among the spans of the last hour, and what keeps others from matching.",
            ),
            post::<ExplainView>(
                "/api/v1/explain",
                "The same for a definition that is not in force. Body: `{\"definition\": YAML}`. Nothing is changed.",
            )
            .takes::<PastedDefinition>(r#"{"definition": "apiVersion: throughline/v1\nkind: SLO\n..."}"#),
            get::<DiscoverView>(
                "/api/v1/discover",
                "Flows through queues among the spans that this replica received in the last hour: their queues, how often they run, how long they take, and for each the definition of an SLO to begin with.",
            ),
            get::<TemplateList>(
                "/api/v1/discover/templates",
                "Definitions to edit, for systems that many people run. The same for every service.",
            ),
            get::<TemplateView>(
                "/api/v1/discover/templates/{name}",
                "One of them as YAML, with the reason for each choice. Lines to edit are marked `EDIT`.",
            ),
            get::<SloView>(
                "/api/v1/slos/{slo}/groups/{group}",
                "One group, with the fields of an SLO.",
            )
            .with::<SloQuery>(),
        ],
    },
    ApiGroup {
        heading: "Workflows",
        operations: &[
            get::<WorkflowsView>(
                "/api/v1/workflows",
                "Workflows. `q` finds by name or the beginning of a name, trace id (at least 8 digits) or customer; without it the newest come first. Filter with `slo`, `outcome` (`bad` is late, failed and timeout), `stage` (where open ones are), `customer`, `from` and `to` (start), `min_duration` and `max_duration`. At most `limit` (50, at most 500); `after` is `next` of the last answer. `format=csv` or `Accept: text/csv` answers with comma-separated values. `search_lag_seconds`: how far the search is behind.",
            )
            .with::<WorkflowsQuery>(),
            get::<CustomerPageView>(
                "/api/v1/customers/{customer}",
                "One customer: events of the last 28 days by SLO, workflows that are open, and the newest workflows.",
            ),
            get::<CustomerPageView>(
                "/api/v1/customers",
                "The same, by `name`, for the names `.` and `..`, which a path cannot contain.",
            )
            .with::<CustomerQuery>(),
            get::<StoryView>(
                "/api/v1/workflows/{slo}/{key}",
                "One workflow: its steps in all traces, its stages, its verdict and the reason for it, missing spans, and its incidents. `key` is the `key` of a workflow in other responses.",
            ),
        ],
    },
    ApiGroup {
        heading: "Alerts and incidents",
        operations: &[
            get::<AlertsView>(
                "/api/v1/alerts",
                "Alerts that are firing, and the transitions of the last days with their deliveries.",
            ),
            get::<IncidentView>(
                "/api/v1/incidents/{id}",
                "One incident: what was sent, its timeline, its cost and its notes.",
            ),
            post::<AcknowledgedView>(
                "/api/v1/incidents/{id}/acknowledge",
                "Acknowledges an incident. Body: `{\"by\": NAME}`, unless a proxy names the user.",
            )
            .takes::<AcknowledgeForm>(r#"{"by": "kim"}"#),
            post::<IncidentNote>(
                "/api/v1/incidents/{id}/notes",
                "Adds a note. Body: `{\"text\": TEXT, \"by\": NAME}`.",
            )
            .takes::<NoteForm>(r#"{"text": "the queue was full", "by": "kim"}"#),
        ],
    },
    ApiGroup {
        heading: "Silences",
        operations: &[
            get::<SilencesView>(
                "/api/v1/silences",
                "Silences. `state` is `active`, `pending` or `expired`; `before` is `next` of the last answer.",
            )
            .with::<Wanted>(),
            post::<SilenceView>(
                "/api/v1/silences",
                "Creates a silence. Body: `matchers`, `starts_at`, `ends_at` or `duration`, `repeat`, `reason`, `created_by`, `force`.",
            )
            .takes::<SilenceRequest>(r#"{"matchers": ["slo=\"orders\"", "severity=\"page\""], "duration": "2h", "reason": "queue upgrade"}"#),
            post::<PreviewView>(
                "/api/v1/silences/preview",
                "What a silence would match now, and what it would have suppressed. Body as for creating one.",
            )
            .takes::<SilenceRequest>(r#"{"matchers": ["team=~\"pay.*\""]}"#),
            get::<SilenceView>("/api/v1/silences/{id}", "One silence."),
            delete::<SilenceView>("/api/v1/silences/{id}", "Expires a silence."),
        ],
    },
    ApiGroup {
        heading: "Alertmanager",
        operations: &[
            get::<Vec<GettableSilence>>(
                "/api/v2/silences",
                "Silences in the form of Alertmanager's API, for `amtool` and karma. `filter` is a matcher such as `slo=\"orders\"`, and may be there several times.",
            )
            .with::<SilenceFilter>(),
            post::<PostedSilence>(
                "/api/v2/silences",
                "Creates a silence. Body: `matchers` (`name`, `value`, `isRegex`, `isEqual`), `startsAt`, `endsAt`, `createdBy`, `comment`. With the `id` of a silence it replaces that silence. A silence that repeats cannot be changed here.",
            )
            .takes::<PostableSilence>(r#"{"matchers": [{"name": "alertname", "value": "orders", "isRegex": false, "isEqual": true}], "startsAt": "2030-01-01T10:00:00Z", "endsAt": "2030-01-01T12:00:00Z", "createdBy": "kim", "comment": "queue upgrade"}"#),
            get::<GettableSilence>("/api/v2/silence/{id}", "One silence in the same form."),
            delete::<()>("/api/v2/silence/{id}", "Expires a silence."),
            get::<Vec<GettableAlert>>(
                "/api/v2/alerts",
                "Alerts that are firing, with the labels that silences match. `filter` is a matcher, `receiver` an expression for names of targets; `active`, `silenced` and `inhibited` are `true` or `false`.",
            )
            .with::<AlertFilter>(),
            get::<Vec<AlertGroupView>>(
                "/api/v2/alerts/groups",
                "The same alerts, grouped by target and SLO. Alerts without a target have the receiver `nobody`.",
            )
            .with::<AlertFilter>(),
            get::<Vec<ReceiverView>>("/api/v2/receivers", "The notification targets."),
            get::<StatusView>("/api/v2/status", "The version, and since when this replica runs."),
        ],
    },
    ApiGroup {
        heading: "Change events",
        operations: &[
            get::<EventsView>(
                "/api/v1/events",
                "Change events of the last 28 days, newest first. `service` selects those of one service; `before` is `next` of the last answer.",
            )
            .with::<EventsQuery>(),
            post::<ChangeEvent>(
                "/api/v1/events",
                "Reports a deploy or another change. Body: `kind` (`deploy`, `flag` or `note`), `title`, `at`, `service`, `version`, `url`, `labels`.",
            )
            .takes::<ChangeEventReport>(r#"{"kind": "deploy", "title": "checkout 1.42", "service": "checkout", "version": "1.42"}"#),
        ],
    },
    ApiGroup {
        heading: "Deliveries and targets",
        operations: &[
            get::<DeliveriesView>(
                "/api/v1/deliveries",
                "Deliveries of notifications, newest first. Filter with `state` and `target`; `before` is the id from which the next page starts.",
            )
            .with::<DeliveriesQuery>(),
            get::<DeliveryView>("/api/v1/deliveries/{id}", "One delivery with all attempts."),
            post::<RetryResponse>(
                "/api/v1/deliveries/{id}/retry",
                "Retries a delivery that failed permanently, and the later ones of its incident. Body: `{}`.",
            )
            .takes::<RetryRequest>("{}"),
            get::<TargetsView>(
                "/api/v1/targets",
                "Notification targets with the state of their circuit breakers.",
            ),
            post::<TestBegun>(
                "/api/v1/targets/{target}/test",
                "Sends a test notification, at most one a minute for each target. Body: `scenario`, and `render` to only show it.",
            )
            .takes::<TestRequest>(r#"{"scenario": "firing", "render": true}"#),
            get::<TestView>(
                "/api/v1/targets/{target}/test/{test}",
                "How the messages of a test were delivered.",
            ),
        ],
    },
    ApiGroup {
        heading: "Definitions",
        operations: &[
            get::<DefinitionsView>(
                "/api/v1/definitions",
                "The active definitions, what the API wrote of them (`written`), and the problems of the files.",
            ),
            get::<WrittenAnswer>(
                "/api/v1/definitions/{name}",
                "One definition that the API wrote, with an `ETag` that changes with it.",
            ),
            put::<WrittenAnswer>(
                "/api/v1/definitions/{name}",
                "Writes one definition: an SLO, an AlertPolicy or an Exclusion of this name. Body: YAML (`Content-Type: application/yaml`) or JSON. All definitions are checked together, and `problems` lists all errors. They are in force on all replicas two seconds later, as the next revision. A file that declares the same kind and name takes precedence (`overridden_by`). `If-Match` with the `ETag` that was read refuses the write with 412 if this definition has changed since; `If-None-Match: *` only creates. `dryRun=true` checks only. Needs the role admin. Targets are declared in files only.",
            )
            .with::<WriteQuery>(),
            delete::<DeletedAnswer>(
                "/api/v1/definitions/{name}",
                "Deletes a definition that the API wrote. `If-Match` and `dryRun` as above. Needs the role admin.",
            )
            .with::<WriteQuery>(),
            post::<ApplyResponse>(
                "/api/v1/definitions/apply",
                "Activates the files of this replica, even if other replicas have different ones. Body: `{}`.",
            )
            .takes::<ApplyRequest>("{}"),
            post::<ApplyResponse>(
                "/api/v1/definitions/clear",
                "Accepts that the files declare no SLO any more. Body: `{}`.",
            )
            .takes::<ApplyRequest>("{}"),
        ],
    },
    ApiGroup {
        heading: "Access",
        operations: &[
            get::<AuditView>(
                "/api/v1/audit",
                "The audit log, newest first: every change that was made or tried. Needs the role admin. Filter with `who` and `action`; `before` is `next` of the last answer.",
            )
            .with::<AuditQuery>(),
            get::<SessionsView>(
                "/api/v1/sessions",
                "Who is logged in with a browser, newest first. Needs the role admin. `before` is `next` of the last answer.",
            )
            .with::<PartQuery>(),
            delete::<RevokedSession>(
                "/api/v1/sessions/{id}",
                "Ends a session: the browser has to log in again. Needs the role admin.",
            ),
            get::<TokensView>(
                "/api/v1/tokens",
                "The API tokens by name, including expired and revoked ones, without their secrets. Needs the role admin. They are made on the page `/tokens` and by `throughline token create`.",
            ),
            delete::<RevokedToken>(
                "/api/v1/tokens/{id}",
                "Revokes a token, and ends the sessions that began with it. Needs the role admin.",
            ),
        ],
    },
    ApiGroup {
        heading: "Reference",
        operations: &[
            get::<DefinitionDocs>("/api/v1/docs/definitions", "The fields of definitions."),
            get::<SelectorReference>(
                "/api/v1/docs/selectors",
                "The fields, operators and values of selectors.",
            ),
            get::<MetricDocs>("/api/v1/docs/metrics", "The metrics."),
            get::<SettingDocs>("/api/v1/docs/settings", "The settings."),
            get::<ApiDocs>("/api/v1/docs/api", "These operations."),
            get::<Value>(
                "/api/v1/openapi.json",
                "These operations as an OpenAPI 3.1 document, for tools that read one.",
            ),
        ],
    },
];
