//! The JSON Schema of definitions, made from what the functions that read them accept.

use serde_json::{Map, Value, json};

use super::shape::{FieldShape, GroupShape, Presence, Shape};

/// Makes the schema of all kinds, for editors. `kinds` are the names of their documents among
/// `groups`.
pub(super) fn json_schema(kinds: &[&'static str], groups: &[GroupShape]) -> Value {
    let definitions: Map<String, Value> = groups
        .iter()
        .map(|group| (group.name.to_owned(), of_group(group)))
        .collect();
    let kinds: Vec<Value> = kinds.iter().map(|kind| reference(kind)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Throughline definitions",
        "oneOf": kinds,
        "$defs": definitions,
    })
}

fn reference(group: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{group}") })
}

type JsonObject = Map<String, Value>;

fn of_group(group: &GroupShape) -> Value {
    let fields = group.fields.iter();
    let properties: JsonObject = fields
        .clone()
        .map(|field| (field.key.to_owned(), Value::Object(of_field(field))))
        .collect();
    let required = fields.filter(|field| field.presence == Presence::Required);
    let required: Vec<&str> = required.map(|field| field.key).collect();
    let alternatives = group.one_of.iter().map(|key| json!({ "required": [key] }));
    let alternatives: Vec<Value> = alternatives.collect();
    let mut schema = JsonObject::new();
    let mut put = |key: &str, value| schema.insert(key.to_owned(), value);
    put("type", json!("object"));
    put("description", json!(group.about));
    put("properties", Value::Object(properties));
    put("additionalProperties", json!(false));
    if !required.is_empty() {
        put("required", json!(required));
    }
    if !alternatives.is_empty() {
        put("oneOf", json!(alternatives));
    }
    Value::Object(schema)
}

fn of_field(field: &FieldShape) -> JsonObject {
    let shape = of_shape(&field.shape);
    let mut schema = match field.presence {
        Presence::Required => shape,
        // A key without a value counts as left out.
        Presence::Optional | Presence::Default(_) => or_null(shape),
    };
    if !field.about.is_empty() {
        schema.insert("description".to_owned(), json!(field.about));
    }
    if let Presence::Default(default) = field.presence {
        let number = default.parse::<u64>().map(Value::from);
        let default = number.unwrap_or_else(|_| json!(default));
        schema.insert("default".to_owned(), default);
    }
    schema
}

fn or_null(mut schema: JsonObject) -> JsonObject {
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
    }
    match schema.get_mut("type") {
        Some(Value::Array(several)) => several.push(json!("null")),
        Some(one) => *one = json!([one, "null"]),
        None => {
            let either = json!([schema, { "type": "null" }]);
            schema = JsonObject::from_iter([("anyOf".to_owned(), either)]);
        }
    }
    schema
}

fn of_shape(shape: &Shape) -> JsonObject {
    let schema = match shape {
        Shape::Text | Shape::Duration | Shape::Selector | Shape::Attribute => {
            json!({ "type": "string" })
        }
        Shape::Name => json!({
            "type": "string",
            "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
        }),
        Shape::Scalar => json!({ "type": ["string", "number"] }),
        Shape::Whole => json!({ "type": "integer", "minimum": 0 }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Constant(text) => json!({ "const": text }),
        Shape::Words(words) => json!({ "type": "string", "enum": words }),
        Shape::List(item) => json!({ "type": "array", "items": of_shape(item) }),
        Shape::TextByKey => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number"] } })
        }
        Shape::Group(name) => reference(name),
        Shape::AnyOf(shapes) => {
            json!({ "anyOf": shapes.iter().map(of_shape).collect::<Vec<_>>() })
        }
    };
    if let Value::Object(schema) = schema {
        schema
    } else {
        JsonObject::new()
    }
}
