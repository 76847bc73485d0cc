//! The API as an `OpenAPI` 3.1 document, made from the same operations as `/docs/api`.
//!
//! Paths, parameters, bodies and errors are described; results are JSON objects whose fields the document
//! does not list, since pages and API print the same views.

use serde_json::{Map, Value, json};

use super::api::{ApiGroup, ApiOperation, GROUPS};

pub(super) fn document(version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for group in &GROUPS {
        for operation in group.operations {
            let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
            if let Some(methods) = methods.as_object_mut() {
                methods.insert(operation.method.to_lowercase(), described(group, operation));
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
            "schemas": { "Problem": problem() },
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        // A service may ask for no token.
        "security": [{ "token": [] }, {}],
    })
}

fn described(group: &ApiGroup, operation: &ApiOperation) -> Value {
    let summary = operation.about.split(". ").next().unwrap_or_default();
    let mut described = json!({
        "operationId": operation_id(operation),
        "tags": [group.heading],
        "summary": summary.trim_end_matches('.'),
        "description": operation.about,
        "parameters": parameters(operation),
        "responses": {
            "2XX": {
                "description": "The result.",
                "content": { "application/json": { "schema": { "type": "object" } } },
            },
            "default": {
                "description": "What was wrong, and what to do.",
                "content": {
                    "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
                },
            },
        },
    });
    if operation.method == "POST" {
        described["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": { "type": "object" } } },
        });
    }
    described
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
    let repeatable = (operation.method == "POST").then(|| {
        json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A request with the same key is answered as the first one was.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
        })
    });
    in_path.chain(in_query).chain(repeatable).collect()
}

/// Problem details of RFC 9457, with the fields that every error has.
fn problem() -> Value {
    let text = || json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "help"],
        "properties": {
            "type": text(),
            "title": text(),
            "status": { "type": "integer" },
            "detail": text(),
            "help": { "type": "string", "description": "What to do." },
            "did_you_mean": text(),
            "request_id": { "type": "string", "description": "By which the log has more of it." },
        },
    })
}
