//! How rules on anything but burn rates are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::read::{Field, Scalar};

/// Tells when so much of the error budget is spent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct BudgetSpentFile {
    /// The share that is spent, such as 90%.
    pub(super) over: Field<Scalar>,
}

/// Tells when the error budget will soon be gone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct ExhaustionFile {
    /// At the pace of the last quarter of this time, such as 4h.
    #[schemars(with = "String")]
    pub(super) within: Field<Scalar>,
}

/// Tells when so many different customers had a bad event.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct CustomersFile {
    pub(super) affected: Field<u64>,
    /// In the last of this time, at most 1d.
    #[schemars(with = "String")]
    #[serde(rename = "in")]
    pub(super) length: Field<Scalar>,
}

/// Tells when there is no event at all, at a time that had some a week ago.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct AbsenceFile {
    /// Longer than the longest gap between events that is usual, such as 15m; at most 1w.
    #[schemars(with = "String")]
    #[serde(rename = "for")]
    pub(super) length: Field<Scalar>,
}
