//! Examples of answers, made from their schemas, and of problems, made from the errors themselves.
//! Their values are made up; their fields and types are those of the code.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::operation::ApiOperation;
use crate::web::{
    access::error::AccessError,
    error::WebError,
    pages::{definitions::DefinitionError, deliveries::DeliveryError},
    write::rate_limit::RequestLimit,
};

/// Makes examples of schemas whose references are to the keys of `schemas`.
pub(super) struct SchemaExamples<'a> {
    schemas: &'a Map<String, Value>,
    /// Names of the schemas that are being followed.
    open: Vec<&'a str>,
}

impl<'a> SchemaExamples<'a> {
    pub(super) const fn new(schemas: &'a Map<String, Value>) -> Self {
        Self {
            schemas,
            open: Vec::new(),
        }
    }

    /// Returns a value of `schema`, as the field `name`: null if any is one, `None` if the schema
    /// contains itself.
    pub(super) fn value(&mut self, name: &'a str, schema: &'a Value) -> Option<Value> {
        if let Some(value) = schema.get("const") {
            return Some(value.clone());
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.first().cloned();
        }
        let limits = ["$ref", "anyOf", "oneOf", "type"];
        if limits.iter().all(|limit| schema.get(limit).is_none()) {
            return Some(Value::Null);
        }
        let followed = self.followed(name, schema);
        let chosen = self.first_choice(name, schema);
        let own = self.of_type(name, schema);
        merged([followed, chosen, own])
    }

    fn followed(&mut self, name: &'a str, schema: &'a Value) -> Option<Value> {
        let target = schema["$ref"].as_str()?.rsplit('/').next()?;
        if self.open.contains(&target) {
            return None;
        }
        let schema = self.schemas.get(target)?;
        self.open.push(target);
        let value = self.value(name, schema);
        self.open.pop();
        value
    }

    fn first_choice(&mut self, name: &'a str, schema: &'a Value) -> Option<Value> {
        let choices = schema.get("anyOf").or(schema.get("oneOf"))?.as_array()?;
        let found = choices
            .iter()
            .filter(|choice| choice["type"] != "null")
            .find_map(|choice| self.value(name, choice));
        let null = || {
            let has_null = choices.iter().any(|choice| choice["type"] == "null");
            has_null.then_some(Value::Null)
        };
        found.or_else(null)
    }

    fn of_type(&mut self, name: &'a str, schema: &'a Value) -> Option<Value> {
        let types = &schema["type"];
        let first = types.as_array().and_then(|types| types.first());
        match first.unwrap_or(types).as_str()? {
            "object" => self.object(schema),
            "array" => self.array(name, schema),
            "string" => Some(Value::from(text(name, schema))),
            "integer" => Some(bounded(schema, json!(whole(name)))),
            "number" => Some(bounded(schema, json!(fraction(name)))),
            "boolean" => Some(Value::Bool(false)),
            _ => Some(Value::Null),
        }
    }

    fn object(&mut self, schema: &'a Value) -> Option<Value> {
        let mut fields = Map::new();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = self.value(name, field) {
                fields.insert(name.clone(), value);
            }
        }
        let others = schema.get("additionalProperties");
        let others = others.filter(|others| others.as_bool() != Some(false));
        if let Some(value) = others.and_then(|others| self.value("team", others)) {
            fields.insert("team".to_owned(), value);
        }
        let required = schema["required"].as_array();
        let is_there = |name: &Value| name.as_str().is_some_and(|name| fields.contains_key(name));
        let is_whole = required.into_iter().flatten().all(is_there);
        is_whole.then_some(Value::Object(fields))
    }

    fn array(&mut self, name: &'a str, schema: &'a Value) -> Option<Value> {
        let one = name.strip_suffix('s').unwrap_or(name);
        if let Some(items) = schema["prefixItems"].as_array() {
            let items: Option<Vec<Value>> = items.iter().map(|of| self.value(one, of)).collect();
            return items.map(Value::from);
        }
        let item = schema.get("items").and_then(|of| self.value(one, of));
        Some(Value::from_iter(item))
    }
}

/// Returns all fields of several objects, or the first value.
fn merged(parts: [Option<Value>; 3]) -> Option<Value> {
    parts
        .into_iter()
        .flatten()
        .reduce(|mut all, part| match (&mut all, part) {
            (Value::Object(all_fields), Value::Object(fields)) => {
                all_fields.extend(fields);
                all
            }
            _ => all,
        })
}

/// Returns a text that the format, the pattern, or else the name of the field asks for.
fn text(name: &str, schema: &Value) -> String {
    match schema["format"].as_str() {
        Some("date-time") => return "2026-11-22T10:08:04Z".to_owned(),
        Some("uuid") => return "0199d1a2-7c3e-7b52-9f0c-5d1e8a4b6c70".to_owned(),
        _ => {}
    }
    let digits = schema["pattern"].as_str().and_then(|pattern| {
        let count = pattern.strip_prefix("^[0-9a-f]{")?.strip_suffix("}$")?;
        count.parse::<usize>().ok()
    });
    if let Some(digits) = digits {
        return "4bf92f3577b34da6a3ce929d0e0e4736"
            .chars()
            .cycle()
            .take(digits)
            .collect();
    }
    let known = TEXTS.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| name.replace('_', " "), |(_, text)| (*text).to_owned())
}

/// What fields of these names contain.
const TEXTS: [(&str, &str); 30] = [
    ("slo", "orders-on-time"),
    ("name", "orders-on-time"),
    ("display_name", "Orders are confirmed within five minutes"),
    ("title", "Orders are confirmed within five minutes"),
    ("service", "checkout"),
    ("team", "shop"),
    ("customer", "acme"),
    ("target", "on-call"),
    ("notified_target", "on-call"),
    ("receiver", "on-call"),
    ("queue", "orders"),
    ("key", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ("fingerprint", "4bf92f3577b34da6"),
    ("matcher", "slo=\"orders-on-time\""),
    ("by", "kim"),
    ("who", "kim"),
    ("created_by", "kim"),
    ("createdBy", "kim"),
    ("reported_by", "kim"),
    ("reason", "queue upgrade"),
    ("comment", "queue upgrade"),
    ("url", "https://throughline.example.com/slos/orders-on-time"),
    (
        "page_url",
        "https://throughline.example.com/slos/orders-on-time",
    ),
    ("public_url", "https://throughline.example.com"),
    (
        "generatorURL",
        "https://throughline.example.com/slos/orders-on-time",
    ),
    ("version", "1.42"),
    ("month", "2026-11"),
    ("time_zone", "Europe/Berlin"),
    ("file", "orders.yaml"),
    ("selector", "{ name = \"email.send\" && status != error }"),
];

fn is_time(name: &str) -> bool {
    name.ends_with("seconds") || name.ends_with("secs")
}

fn whole(name: &str) -> u32 {
    if is_time(name) { 300 } else { 3 }
}

fn fraction(name: &str) -> f64 {
    match name {
        _ if is_time(name) => 300.0,
        "objective" | "good_ratio" | "objective_ratio" | "achieved_ratio" => 0.995,
        _ => 0.5,
    }
}

/// Returns `value`, or the limit of the schema that it exceeds.
fn bounded(schema: &Value, value: Value) -> Value {
    let limit = |name: &str| schema.get(name).filter(|limit| limit.is_number());
    let is_above = |limit: &&Value| limit.as_f64() > value.as_f64();
    let is_below = |limit: &&Value| limit.as_f64() < value.as_f64();
    let exceeded = limit("minimum")
        .filter(is_above)
        .or(limit("maximum").filter(is_below));
    exceeded.cloned().unwrap_or(value)
}

/// Returns the error that an operation is most often answered with.
pub(super) fn main_problem(operation: &ApiOperation) -> WebError {
    let name = || "orders-on-tim".to_owned();
    let id = || "0199d1a2-7c3e-7b52-9f0c-5d1e8a4b6c70".to_owned();
    let parts: Vec<&str> = operation.path.split('/').skip(3).collect();
    match parts.as_slice() {
        ["slos", "{slo}", "groups", "{group}"] => WebError::NoSuchGroup {
            slo: "orders-on-time".to_owned(),
            group: "acme".to_owned(),
        },
        ["slos", "{slo}", ..] => WebError::NoSuchSlo {
            name: name(),
            did_you_mean: Some("orders-on-time".to_owned()),
        },
        ["workflows", ..] if parts.len() > 1 => WebError::NoSuchWorkflow {
            slo: "orders-on-time".to_owned(),
            key: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        },
        ["discover", "templates", "{name}"] => WebError::NoSuchTemplate {
            name: "kafak".to_owned(),
        },
        ["silences" | "silence", "{id}"] => WebError::NoSuchSilence { id: id() },
        ["incidents", "{id}", ..] => WebError::NoSuchIncident { id: id() },
        ["deliveries", "{id}", ..] => DeliveryError::NoSuchDelivery { id: 3 }.into(),
        ["targets", "{target}", ..] => WebError::NoSuchTarget {
            name: "on-cal".to_owned(),
            did_you_mean: Some("on-call".to_owned()),
        },
        ["sessions", "{id}"] => AccessError::NoSuchSession { id: id() }.into(),
        ["tokens", "{id}"] => AccessError::NoSuchToken { id: id() }.into(),
        ["definitions", "{name}"] => DefinitionError::Unknown { name: name() }.into(),
        _ if operation.method == "GET" => WebError::UnknownParameter {
            name: "limits".to_owned(),
            known: operation.parameters,
        },
        _ => WebError::NotJson,
    }
}

/// Returns the error of too many requests: with one token, where an operation has no limit of its own.
pub(super) fn limit_problem(operation: &ApiOperation) -> WebError {
    let more_in = Duration::from_mins(1);
    match (operation.method, operation.path) {
        ("POST", "/api/v1/events") => {
            WebError::TooManyChangeEvents(RequestLimit::CHANGE_EVENTS.exceeded(more_in))
        }
        ("POST", "/api/v1/targets/{target}/test") => {
            WebError::TestedJustNow(RequestLimit::TARGET_TESTS.exceeded(more_in))
        }
        _ => WebError::TooManyRequests(RequestLimit::TOKEN_REQUESTS.exceeded(more_in)),
    }
}
