//! The `CustomResourceDefinition` of `kind: SLO`, made from what the functions that read
//! definitions accept.
//!
//! Kubernetes accepts only structural schemas: each value has one type, and no schema refers to
//! another. So groups are inlined, and a value that may be text or a group is not described.

use serde_json::{Map, Value, json};

use super::shape::{FieldShape, GroupShape, Presence, Shape};

/// The group of the API. Kubernetes requires a name with a dot, unlike definition files.
const GROUP: &str = "throughline.dev";
const KIND: &str = "SLO";

pub(super) fn custom_resource_definition(groups: &[GroupShape]) -> Value {
    let outline = Inlined { groups };
    let spec = groups
        .iter()
        .find(|group| group.name == KIND)
        .and_then(|slo| slo.fields.iter().find(|field| field.key == "spec"))
        .map(|field| outline.field(field));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("slos.{GROUP}") },
        "spec": {
            "group": GROUP,
            "names": { "kind": KIND, "listKind": "SLOList", "plural": "slos", "singular": "slo" },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": [
                    column("Service", "string", ".spec.service"),
                    column("Objective", "string", ".spec.objective"),
                    column("Window", "string", ".spec.window"),
                    column("Age", "date", ".metadata.creationTimestamp"),
                ],
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "description": "An SLO of Throughline.",
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": { "type": "string" },
                        "kind": { "type": "string" },
                        "metadata": {
                            "type": "object",
                            "properties": { "name": outline.shape(&Shape::Name) },
                        },
                        "spec": spec,
                    },
                } },
            }],
        },
    })
}

fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({ "name": name, "type": kind, "jsonPath": path })
}

type StructuralSchema = Map<String, Value>;

/// Schemas with every group inlined in place of its name.
struct Inlined<'a> {
    groups: &'a [GroupShape],
}

impl Inlined<'_> {
    /// Describes a field. Defaults are only in the description: an object keeps what was written,
    /// and a later version of the service may have other defaults.
    fn field(&self, field: &FieldShape) -> Value {
        let mut schema = self.shape(&field.shape);
        let about = match field.presence {
            Presence::Default(default) => format!("{} Default: {default}.", field.about),
            Presence::Required | Presence::Optional => field.about.to_owned(),
        };
        if !about.is_empty() {
            schema.insert("description".to_owned(), json!(about));
        }
        Value::Object(schema)
    }

    fn shape(&self, shape: &Shape) -> StructuralSchema {
        match shape {
            Shape::Text | Shape::Duration | Shape::Selector | Shape::Attribute => {
                object(json!({ "type": "string" }))
            }
            Shape::Name => object(json!({
                "type": "string",
                "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
            })),
            Shape::Scalar => int_or_string(),
            Shape::Whole => object(json!({ "type": "integer", "minimum": 0 })),
            Shape::Number => object(json!({ "type": "number" })),
            Shape::Constant(text) => object(json!({ "type": "string", "enum": [text] })),
            Shape::Words(words) => object(json!({ "type": "string", "enum": words })),
            Shape::List(item) => object(json!({ "type": "array", "items": self.shape(item) })),
            Shape::TextByKey => {
                object(json!({ "type": "object", "additionalProperties": int_or_string() }))
            }
            Shape::Group(name) => self.group(name),
            Shape::AnyOf(shapes) => self.any_of(shapes),
        }
    }

    /// Describes a group. Additional keys are not forbidden here: `kubectl` reports keys that the
    /// schema does not have.
    fn group(&self, name: &str) -> StructuralSchema {
        let Some(group) = self.groups.iter().find(|group| group.name == name) else {
            return any_value();
        };
        let fields = group.fields.iter();
        let properties: StructuralSchema = fields
            .clone()
            .map(|field| (field.key.to_owned(), self.field(field)))
            .collect();
        let required = fields.filter(|field| field.presence == Presence::Required);
        let required: Vec<&str> = required.map(|field| field.key).collect();
        let alternatives = group.one_of.iter().map(|key| json!({ "required": [key] }));
        let alternatives: Vec<Value> = alternatives.collect();
        let mut schema = object(json!({
            "type": "object",
            "description": group.about,
            "properties": properties,
        }));
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        if !alternatives.is_empty() {
            schema.insert("oneOf".to_owned(), json!(alternatives));
        }
        schema
    }

    /// Describes one of several shapes. Texts of several forms are text; other combinations have no
    /// common type.
    fn any_of(&self, shapes: &[Shape]) -> StructuralSchema {
        let is_text = |shape: &Shape| self.shape(shape).get("type") == Some(&json!("string"));
        if shapes.iter().all(is_text) {
            self.shape(&Shape::Text)
        } else {
            any_value()
        }
    }
}

/// Describes a whole number or text. Kubernetes has no type for text or any number, so `0.995` is
/// written in quotes.
fn int_or_string() -> StructuralSchema {
    object(json!({ "x-kubernetes-int-or-string": true }))
}

fn any_value() -> StructuralSchema {
    object(json!({ "x-kubernetes-preserve-unknown-fields": true }))
}

fn object(value: Value) -> StructuralSchema {
    if let Value::Object(fields) = value {
        fields
    } else {
        StructuralSchema::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::custom_resource_definition, *};

    /// Calls `check` with each schema below `schema` and its path.
    fn each(schema: &Value, path: &str, check: &mut impl FnMut(&str, &StructuralSchema)) {
        let fields = schema.as_object().expect("a schema is an object");
        check(path, fields);
        let properties = fields.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            each(property, &format!("{path}.{name}"), check);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = fields.get(key) {
                each(inner, &format!("{path}.{key}"), check);
            }
        }
    }

    fn schema() -> Value {
        let crd = custom_resource_definition();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    #[test]
    fn the_schema_is_structural() {
        each(&schema(), "", &mut |path, schema| {
            let is_typed = schema.get("type").is_some_and(Value::is_string);
            let is_int_or_string = schema.contains_key("x-kubernetes-int-or-string");
            let is_any = schema.contains_key("x-kubernetes-preserve-unknown-fields");
            let forms = [is_typed, is_int_or_string, is_any];
            assert_eq!(forms.iter().filter(|form| **form).count(), 1, "{path}");
            for key in ["$ref", "$defs", "const", "anyOf", "default"] {
                assert!(!schema.contains_key(key), "{path} has {key}");
            }
            assert_ne!(
                schema.get("additionalProperties"),
                Some(&json!(false)),
                "{path}"
            );
        });
    }

    #[test]
    fn only_values_of_several_types_are_not_described() {
        let mut found = Vec::new();
        each(&schema(), "", &mut |path, schema| {
            if schema.contains_key("x-kubernetes-preserve-unknown-fields") {
                found.push(path.to_owned());
            }
        });
        let workflow = ".spec.indicator.workflow";
        assert_eq!(
            found,
            [
                ".spec.window".to_owned(),
                format!("{workflow}.legs.complete"),
                format!("{workflow}.correlate.items"),
                format!("{workflow}.stages"),
                format!("{workflow}.weight"),
                ".spec.indicator.span.weight".to_owned(),
                ".spec.alertPolicies.items".to_owned(),
            ]
        );
    }
}
