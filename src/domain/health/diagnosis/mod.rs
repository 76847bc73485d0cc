//! Diagnoses: the results of examining an installation, one line each, with advice.

mod certificate;
mod database;
mod kafka;
mod service;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::{
    certificate::of_certificate,
    database::{
        DatabaseFacts, DiskSpace, EXPECTED_ON, Pooling, SchemaState, of_database, of_pooling,
    },
    kafka::{GroupReader, KafkaFacts, of_kafka},
    service::{ServiceFacts, of_service},
};

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The name of the check, the same in every run.
    pub check: String,
    pub result: DiagnosisResult,
    pub text: String,
    /// The correction to make.
    pub advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiagnosisResult {
    Ok,
    /// It works, but may fail later or is not recommended.
    Warn,
    /// Something does not work.
    Fail,
}

impl DiagnosisResult {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

impl Diagnosis {
    pub fn ok(check: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            result: DiagnosisResult::Ok,
            text: text.into(),
            advice: None,
        }
    }

    pub fn warn(
        check: impl Into<String>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            result: DiagnosisResult::Warn,
            advice: Some(advice.into()),
            ..Self::ok(check, text)
        }
    }

    pub fn fail(
        check: impl Into<String>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            result: DiagnosisResult::Fail,
            ..Self::warn(check, text, advice)
        }
    }
}
