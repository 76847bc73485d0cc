//! The reasons why the API does not write a definition.

use axum::http::StatusCode;

use crate::domain::slo::definition::Problem;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::web) enum DefinitionError {
    #[error("the definitions would be invalid: {} wrong", places(.0))]
    NotValid(Vec<Problem>),
    #[error("the API wrote no definition `{name}`")]
    Unknown { name: String },
    #[error("`{name}` cannot be the name of a definition")]
    BadName { name: String },
    #[error("the definition `{name}` has changed since it was read, or does not exist")]
    Changed { name: String },
    #[error("a definition is sent as YAML or JSON")]
    NotYaml,
}

impl DefinitionError {
    pub(in crate::web) const fn status(&self) -> StatusCode {
        match self {
            Self::NotValid(_) | Self::BadName { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            Self::Changed { .. } => StatusCode::PRECONDITION_FAILED,
            Self::NotYaml => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    /// Returns how to solve it.
    pub(in crate::web) const fn help(&self) -> &'static str {
        match self {
            Self::NotValid(_) => {
                "`problems` has each place and how to correct it; nothing was changed"
            }
            Self::Unknown { .. } => {
                "`/api/v1/definitions` lists the definitions written by the API; change others in their files"
            }
            Self::BadName { .. } => "use lower-case letters, digits and `-`, at most 63",
            Self::Changed { .. } => {
                "read the definition again, and send the `ETag` of that answer as `If-Match`"
            }
            Self::NotYaml => {
                "send the header `Content-Type: application/yaml` or `application/json`"
            }
        }
    }

    /// Returns the errors in the definitions, by position.
    pub(in crate::web) fn problems(&self) -> &[Problem] {
        match self {
            Self::NotValid(problems) => problems,
            _ => &[],
        }
    }
}

fn places(problems: &[Problem]) -> String {
    match problems.iter().filter(|problem| problem.is_error()).count() {
        1 => "1 place is".to_owned(),
        count => format!("{count} places are"),
    }
}
