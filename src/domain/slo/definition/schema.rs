//! The JSON Schema of definitions, made from the shape of the files.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    file::{API_VERSION, Document, ExclusionSpec, PolicySpec, SloSpec},
    read::{Field, Scalar, TextOr, TextOrList},
    target_file::TargetSpec,
};

/// The schema of all kinds that are built, for editors.
pub fn json_schema() -> serde_json::Value {
    let mut generator = SchemaGenerator::default();
    let kinds = [
        kind_schema::<SloSpec>(&mut generator, "SLO"),
        kind_schema::<PolicySpec>(&mut generator, "AlertPolicy"),
        kind_schema::<TargetSpec>(&mut generator, "AlertNotificationTarget"),
        kind_schema::<ExclusionSpec>(&mut generator, "Exclusion"),
    ];
    let definitions = generator.take_definitions(true);
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Throughline definitions",
        "oneOf": kinds,
        "$defs": definitions,
    })
}

fn kind_schema<S: JsonSchema>(generator: &mut SchemaGenerator, kind: &str) -> Schema {
    let mut schema = Document::<S>::json_schema(generator);
    if let Some(properties) = schema
        .get_mut("properties")
        .and_then(serde_json::Value::as_object_mut)
    {
        let constant = |text: &str| serde_json::json!({ "const": text });
        properties.insert("apiVersion".to_owned(), constant(API_VERSION));
        properties.insert("kind".to_owned(), constant(kind));
    }
    schema.insert("title".to_owned(), kind.into());
    schema
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for TextOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("TextOr{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let shape = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "type": "string" }, shape] })
    }
}

impl<T: JsonSchema> JsonSchema for TextOrList<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("TextOrList{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        TextOr::<Vec<Field<T>>>::json_schema(generator)
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"] })
    }
}
