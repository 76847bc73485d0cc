//! The API as an `OpenAPI` 3.1 document, made from the same operations as `/docs/api`.
//!
//! Schemas come from the Rust types of requests and responses, by `schemars`, which reads the
//! existing attributes of `serde`. Paths and parameters come from the operations; a crate that
//! describes routes as well (`utoipa`, `aide`) would repeat them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    api::GROUPS,
    examples::{SchemaExamples, limit_problem, main_problem},
    operation::{ApiGroup, ApiOperation},
};
use crate::web::{
    error::{ErrorExplanation, WebError},
    pages::overview::first_run::FIRST_SLO,
};

/// Responses in other formats.
const TEXTS: [(&str, &str); 4] = [
    ("/api/v1/workflows", "text/csv"),
    ("/api/v1/slos/{slo}/history", "text/csv"),
    ("/api/v1/reports/{month}", "text/csv"),
    ("/api/v1/reports/{month}", "text/markdown"),
];

/// Makes the document. `security` is what requests need, as `OpenAPI` writes it.
pub(super) fn document(version: &str, security: &Value) -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for group in &GROUPS {
        for operation in group.operations {
            let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
            if let Some(methods) = methods.as_object_mut() {
                let described = schemas.described(group, operation);
                methods.insert(operation.method.to_lowercase(), described);
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Throughline",
            "version": version,
            "description": "Times are RFC 3339 in UTC, shares are from 0 to 1, and durations end in `_seconds`.",
        },
        "tags": GROUPS.iter().map(|group| json!({ "name": group.heading })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas.answers.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": security,
    })
}

/// What a response contains.
#[derive(Debug)]
pub(super) struct AnswerReference {
    /// At the top level, by name.
    pub(super) fields: Vec<String>,
    /// `None` if there is no content, or any.
    example: Option<Value>,
}

/// Returns what the response of an operation contains.
pub(super) fn answer_of(operation: &ApiOperation) -> Option<&'static AnswerReference> {
    static ANSWERS: LazyLock<BTreeMap<(&str, &str), AnswerReference>> = LazyLock::new(all_answers);
    ANSWERS.get(&(operation.method, operation.path))
}

fn all_answers() -> BTreeMap<(&'static str, &'static str), AnswerReference> {
    let mut answers = Schemas::new().answers;
    let operations: Vec<(&ApiOperation, Value)> = GROUPS
        .iter()
        .flat_map(|group| group.operations)
        .map(|operation| (operation, (operation.answer)(&mut answers).to_value()))
        .collect();
    let schemas = answers.take_definitions(true);
    operations
        .iter()
        .map(|(operation, schema)| {
            let example = SchemaExamples::new(&schemas).value("name", schema);
            let answer = AnswerReference {
                fields: fields_of(&schemas, schema),
                example: example.filter(|example| !example.is_null()),
            };
            ((operation.method, operation.path), answer)
        })
        .collect()
}

fn fields_of(schemas: &Map<String, Value>, schema: &Value) -> Vec<String> {
    let of_items = schema.get("items").unwrap_or(schema);
    let name = of_items["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    let fields = name.and_then(|name| schemas.get(name));
    let fields = fields.and_then(|schema| schema["properties"].as_object());
    let names: BTreeSet<&String> = fields.into_iter().flat_map(Map::keys).collect();
    names.into_iter().cloned().collect()
}

/// Returns the headers that say what is left of a limit: of every one to which the request counts.
fn limit_headers() -> Value {
    let header = |about| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "RateLimit-Policy": header("The limits: `q` requests in `w` seconds."),
        "RateLimit": header("What is left of each: `r` requests, and more after `t` seconds."),
    })
}

/// Returns an error in the form in which an operation answers with it.
fn problem_example(operation: &ApiOperation, error: &WebError) -> Value {
    let explanation = error.explanation();
    if is_of_alertmanager(operation) {
        return Value::from(explanation.one_line());
    }
    serde_json::to_value(explanation).unwrap_or_default()
}

/// Returns whether clients of Alertmanager use it, who expect errors as texts.
fn is_of_alertmanager(operation: &ApiOperation) -> bool {
    operation.path.starts_with("/api/v2/")
}

/// Makes schemas. Those of responses are named; those of request bodies are inline, since a type
/// may be read and written in different forms.
struct Schemas {
    answers: SchemaGenerator,
    bodies: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        let inline = settings.clone().with(|settings| {
            settings.inline_subschemas = true;
        });
        Self {
            answers: settings.for_serialize().into_generator(),
            bodies: inline.into_generator(),
        }
    }

    fn described(&mut self, group: &ApiGroup, operation: &ApiOperation) -> Value {
        let summary = operation.about.split(". ").next().unwrap_or_default();
        let mut described = json!({
            "operationId": operation_id(operation),
            "tags": [group.heading],
            "summary": summary.trim_end_matches('.'),
            "description": operation.about,
            "parameters": parameters(operation),
            "responses": self.responses(operation),
        });
        if let Some(content) = self.body(operation) {
            described["requestBody"] = json!({ "required": true, "content": content });
        }
        described
    }

    fn responses(&mut self, operation: &ApiOperation) -> Value {
        let schema = (operation.answer)(&mut self.answers).to_value();
        let mut answered = json!({ "description": "The result.", "headers": limit_headers() });
        if schema["type"] != "null" {
            answered["content"] = json!({ "application/json": { "schema": schema } });
        }
        let answer = answer_of(operation);
        if let Some(example) = answer.and_then(|answer| answer.example.as_ref()) {
            answered["content"]["application/json"]["example"] = example.clone();
        }
        for (_, kind) in TEXTS.iter().filter(|(path, _)| *path == operation.path) {
            answered["content"][*kind] = json!({ "schema": { "type": "string" } });
        }
        let mut responses = json!({
            "2XX": answered,
            "default": {
                "description": "What was wrong, and what to do.",
                "headers": limit_headers(),
                "content": self.error(operation, &main_problem(operation)),
            },
        });
        if operation.method == "GET" {
            responses["304"] = json!({
                "description": "Nothing but the time has changed since the answer whose `ETag` was sent as `If-None-Match`.",
                "headers": limit_headers(),
            });
        }
        let mut headers = limit_headers();
        headers["Retry-After"] =
            json!({ "description": "Seconds to wait.", "schema": { "type": "integer" } });
        responses["429"] = json!({
            "description": "It comes too often.",
            "headers": headers,
            "content": self.error(operation, &limit_problem(operation)),
        });
        responses
    }

    /// Returns the schema of an error, a string for clients of Alertmanager, otherwise problem
    /// details, with `error` as the example.
    fn error(&mut self, operation: &ApiOperation, error: &WebError) -> Value {
        let example = problem_example(operation, error);
        if is_of_alertmanager(operation) {
            let schema = json!({ "type": "string" });
            return json!({ "application/json": { "schema": schema, "example": example } });
        }
        let schema = self.answers.subschema_for::<ErrorExplanation>();
        json!({ "application/problem+json": { "schema": schema, "example": example } })
    }

    fn body(&mut self, operation: &ApiOperation) -> Option<Value> {
        if operation.method == "PUT" {
            let document: Value = serde_saphyr::from_str(FIRST_SLO).ok()?;
            return Some(json!({
                "application/yaml": { "schema": { "type": "string" }, "example": FIRST_SLO },
                "application/json": { "schema": { "type": "object" }, "example": document },
            }));
        }
        let body = operation.body?;
        let example: Value = serde_json::from_str(body.example).ok()?;
        let schema = (body.schema)(&mut self.bodies);
        Some(json!({ "application/json": { "schema": schema, "example": example } }))
    }
}

/// Formats `get_slos_slo_groups`.
fn operation_id(operation: &ApiOperation) -> String {
    let path = operation.path.trim_start_matches("/api/v1");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    std::iter::once(operation.method.to_lowercase().as_str())
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}

fn parameters(operation: &ApiOperation) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let in_path = operation.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({ "name": name, "in": "path", "required": true, "schema": text }))
    });
    let in_query = operation.parameters.iter();
    let in_query = in_query.map(|name| json!({ "name": name, "in": "query", "schema": text }));
    in_path.chain(in_query).chain(headers(operation)).collect()
}

fn headers(operation: &ApiOperation) -> Vec<Value> {
    let header = |name, about, schema| json!({ "name": name, "in": "header", "description": about, "schema": schema });
    let precondition = || {
        let about =
            "The `ETag` that was read: refused with 412 if this definition has changed since.";
        header("If-Match", about, json!({ "type": "string" }))
    };
    match (operation.method, operation.path) {
        ("POST", _) => {
            let about = "A request with the same key is answered as the first one was.";
            let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
            vec![header("Idempotency-Key", about, schema)]
        }
        ("PUT" | "DELETE", "/api/v1/definitions/{name}") => vec![precondition()],
        _ => Vec::new(),
    }
}
