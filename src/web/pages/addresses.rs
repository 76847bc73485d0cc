//! URLs of pages that other pages link to.

use askama::filters::urlencode_strict;

use crate::domain::{
    model::ids::Name,
    workflow::{EventKey, Outcome},
};

pub(crate) fn workflow(slo: &Name, key: EventKey) -> String {
    format!("/workflows/{slo}/{key}")
}

/// Returns the search for the workflows of `slo` with this outcome.
pub(crate) fn workflows(slo: &Name, outcome: Outcome) -> String {
    format!("/workflows?slo={slo}&outcome={}", outcome.as_str())
}

/// Encodes a part of a path or a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    urlencode_strict(text).map_or_else(|_| String::new(), |text| text.to_string())
}

pub(crate) fn customer(customer: &str) -> String {
    match customer {
        // Browsers interpret these in a path as steps to another folder, even if they are encoded.
        "." | ".." => format!("/customers?name={customer}"),
        _ => format!("/customers/{}", encoded(customer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_an_address_that_browsers_leave_as_it_is() {
        assert_eq!(customer("a/b ü.."), "/customers/a%2Fb%20%C3%BC..");
        assert_eq!(customer("."), "/customers?name=.");
        assert_eq!(customer(".."), "/customers?name=..");
    }
}
