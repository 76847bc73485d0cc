//! Addresses of pages that other pages link to.

use askama::filters::urlencode_strict;

use crate::domain::{
    model::ids::Name,
    workflow::{EventKey, Outcome},
};

pub(crate) fn workflow(slo: &Name, key: EventKey) -> String {
    format!("/workflows/{slo}/{key}")
}

/// The search for the workflows of `slo` with this outcome.
pub(crate) fn workflows(slo: &Name, outcome: Outcome) -> String {
    format!("/workflows?slo={slo}&outcome={}", outcome.as_str())
}

pub(crate) fn customer(customer: &str) -> String {
    let encoded = urlencode_strict(customer);
    let encoded = encoded.map_or_else(|_| String::new(), |text| text.to_string());
    format!("/customers/{encoded}")
}
