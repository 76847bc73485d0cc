//! One operation of the API, with the types of its request and response.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::web::query::Parameters;

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(super) struct ApiOperation {
    pub(super) method: &'static str,
    /// Parts in braces are placeholders.
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    /// Query parameters; any other is rejected.
    pub(super) parameters: &'static [&'static str],
    #[serde(skip)]
    pub(super) answer: SchemaOf,
    #[serde(skip)]
    pub(super) body: Option<RequestBody>,
}

/// The JSON body of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestBody {
    pub(super) schema: SchemaOf,
    /// As JSON.
    pub(super) example: &'static str,
}

/// Operations that are listed together.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(super) struct ApiGroup {
    pub(super) heading: &'static str,
    pub(super) operations: &'static [ApiOperation],
}

impl ApiOperation {
    const fn new<A: JsonSchema>(
        method: &'static str,
        path: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            about,
            parameters: &[],
            answer: schema_of::<A>,
            body: None,
        }
    }

    pub(super) const fn with<P: Parameters>(self) -> Self {
        Self {
            parameters: P::NAMES,
            ..self
        }
    }

    pub(super) const fn takes<B: JsonSchema>(self, example: &'static str) -> Self {
        Self {
            body: Some(RequestBody {
                schema: schema_of::<B>,
                example,
            }),
            ..self
        }
    }
}

pub(super) const fn get<A: JsonSchema>(path: &'static str, about: &'static str) -> ApiOperation {
    ApiOperation::new::<A>("GET", path, about)
}

pub(super) const fn post<A: JsonSchema>(path: &'static str, about: &'static str) -> ApiOperation {
    ApiOperation::new::<A>("POST", path, about)
}

pub(super) const fn put<A: JsonSchema>(path: &'static str, about: &'static str) -> ApiOperation {
    ApiOperation::new::<A>("PUT", path, about)
}

pub(super) const fn delete<A: JsonSchema>(path: &'static str, about: &'static str) -> ApiOperation {
    ApiOperation::new::<A>("DELETE", path, about)
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
