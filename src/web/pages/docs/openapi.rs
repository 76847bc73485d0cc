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
    operation::{ApiGroup, ApiOperation},
};
use crate::web::error::ErrorExplanation;

/// Operations that reject requests above a rate limit.
const LIMITED: [&str; 2] = ["/api/v1/events", "/api/v1/targets/{target}/test"];

/// Responses in other formats.
const TEXTS: [(&str, &str); 4] = [
    ("/api/v1/workflows", "text/csv"),
    ("/api/v1/slos/{slo}/history", "text/csv"),
    ("/api/v1/reports/{month}", "text/csv"),
    ("/api/v1/reports/{month}", "text/markdown"),
];

pub(super) fn document(version: &str) -> Value {
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
        // A service may require no token.
        "security": [{ "token": [] }, {}],
    })
}

/// Returns the top-level fields of an operation's response.
pub(super) fn answer_fields(operation: &ApiOperation) -> &'static [String] {
    static FIELDS: LazyLock<BTreeMap<(&str, &str), Vec<String>>> = LazyLock::new(|| {
        let mut answers = Schemas::new().answers;
        let operations = GROUPS.iter().flat_map(|group| group.operations);
        operations
            .map(|of| ((of.method, of.path), fields_of(&mut answers, of)))
            .collect()
    });
    let fields = FIELDS.get(&(operation.method, operation.path));
    fields.map_or(&[], Vec::as_slice)
}

fn fields_of(answers: &mut SchemaGenerator, operation: &ApiOperation) -> Vec<String> {
    let schema = (operation.answer)(answers);
    let of_items = schema.get("items").unwrap_or(schema.as_value());
    let name = of_items["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    let fields = name.and_then(|name| answers.definitions().get(name));
    let fields = fields.and_then(|schema| schema["properties"].as_object());
    let names: BTreeSet<&String> = fields.into_iter().flat_map(Map::keys).collect();
    names.into_iter().cloned().collect()
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
        let mut answered = json!({ "description": "The result." });
        if schema["type"] != "null" {
            answered["content"] = json!({ "application/json": { "schema": schema } });
        }
        for (_, kind) in TEXTS.iter().filter(|(path, _)| *path == operation.path) {
            answered["content"][*kind] = json!({ "schema": { "type": "string" } });
        }
        let mut responses = json!({
            "2XX": answered,
            "default": {
                "description": "What was wrong, and what to do.",
                "content": self.error(operation),
            },
        });
        if operation.method == "GET" {
            responses["304"] = json!({
                "description": "Nothing but the time has changed since the answer whose `ETag` was sent as `If-None-Match`.",
            });
        }
        if operation.method == "POST" && LIMITED.contains(&operation.path) {
            responses["429"] = json!({
                "description": "It comes too often.",
                "headers": { "Retry-After": {
                    "description": "Seconds to wait.",
                    "schema": { "type": "integer" },
                } },
                "content": self.error(operation),
            });
        }
        responses
    }

    /// Returns the schema of an error: a string for clients of Alertmanager, otherwise problem
    /// details.
    fn error(&mut self, operation: &ApiOperation) -> Value {
        if operation.path.starts_with("/api/v2/") {
            return json!({ "application/json": { "schema": { "type": "string" } } });
        }
        let problem = self.answers.subschema_for::<ErrorExplanation>();
        json!({ "application/problem+json": { "schema": problem } })
    }

    fn body(&mut self, operation: &ApiOperation) -> Option<Value> {
        if operation.method == "PUT" {
            return Some(json!({
                "application/yaml": { "schema": { "type": "string" } },
                "application/json": { "schema": { "type": "object" } },
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
