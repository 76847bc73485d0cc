//! The filter and order of the overview. All of it is in the URL, so the URL can be saved as a
//! bookmark.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use serde::Deserialize;

use crate::{
    domain::{alerting::status::SloState, model::ids::Name},
    web::{
        error::WebError,
        pages::{
            addresses::encoded,
            summary::{StatusBadge, Summary},
        },
        query::Parameters,
    },
};

/// The number of rows of a page, and the maximum of one API response.
pub(super) const PER_PAGE: usize = 200;
/// The states that can be filtered, in the order of the page.
pub(super) const STATES: [Option<SloState>; 8] = [
    Some(SloState::Paging),
    Some(SloState::Ticket),
    Some(SloState::Rising),
    Some(SloState::Recovering),
    Some(SloState::Ok),
    Some(SloState::NoData),
    Some(SloState::TooFew),
    None,
];
/// The maximum number of listed values of one label; the search finds the others.
const MOST_VALUES: usize = 20;
/// A grouping that is not by a label.
const SERVICE: &str = "service";

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Filter {
    #[serde(default)]
    pub(super) q: String,
    #[serde(default)]
    pub(super) state: String,
    /// `team=payments`.
    #[serde(default)]
    label: String,
    #[serde(default)]
    sort: String,
    /// `service`, or the key of a label.
    #[serde(default)]
    group: String,
    #[serde(default)]
    page: String,
    /// The time to show, with the data of that time; now if empty.
    #[serde(default)]
    pub(super) at: String,
    /// The last SLO name of the previous API response.
    after: Option<String>,
    /// Only for the API.
    limit: Option<usize>,
}

/// Parameters of the API, which orders by name.
impl Parameters for Filter {
    const NAMES: &'static [&'static str] = &["q", "state", "label", "at", "after", "limit"];
}

/// The order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Urgency,
    Name,
    BudgetLeft,
    BurnRate,
}

impl Sort {
    const ALL: [Self; 4] = [Self::Urgency, Self::Name, Self::BudgetLeft, Self::BurnRate];

    /// Parses the order. An unknown name means the most urgent first, so that truncated links still
    /// work.
    fn named(name: &str) -> Self {
        let named = Self::ALL.into_iter().find(|sort| sort.name() == name);
        named.unwrap_or(Self::Urgency)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Urgency => "urgency",
            Self::Name => "name",
            Self::BudgetLeft => "budget",
            Self::BurnRate => "burn",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Urgency => "most urgent first",
            Self::Name => "by name",
            Self::BudgetLeft => "least budget left first",
            Self::BurnRate => "fastest burn first",
        }
    }
}

/// An option of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) text: String,
    pub(super) is_current: bool,
}

/// The values of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facet {
    pub(super) key: String,
    pub(super) choices: Vec<Choice>,
}

impl Filter {
    /// Returns the search for workflows with the same text.
    pub(super) fn workflows(&self) -> String {
        format!("/workflows?q={}", encoded(&self.q))
    }

    /// Validates the API's parameters. Returns the number of SLOs to return.
    pub(super) fn checked(&self) -> Result<usize, WebError> {
        let known = STATES.map(|state| StatusBadge::of(state).word);
        let is_known = |word: &&str| word.eq_ignore_ascii_case(&self.state);
        if !self.state.is_empty() && !known.iter().any(is_known) {
            let known = known.join(", ");
            return Err(WebError::Unreadable(format!("`state` is one of {known}")));
        }
        match self.limit {
            None => Ok(PER_PAGE),
            Some(limit) if (1..=PER_PAGE).contains(&limit) => Ok(limit),
            Some(_) => {
                let message = format!("`limit` is a number from 1 to {PER_PAGE}");
                Err(WebError::Unreadable(message))
            }
        }
    }

    pub(super) fn is_after(&self, slo: &Summary) -> bool {
        let after = self.after.as_deref();
        after.is_none_or(|after| slo.name.as_str() > after)
    }

    /// Returns the URL of the next page.
    pub(super) fn next_href(&self, next: Option<&Name>) -> Option<String> {
        let limit = self.limit.unwrap_or(PER_PAGE);
        let fields = [
            ("q", &self.q),
            ("state", &self.state),
            ("label", &self.label),
            ("at", &self.at),
        ];
        let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs = set.map(|(name, value)| format!("{name}={}&", encoded(value)));
        let query: String = pairs.collect();
        Some(format!("/api/v1/slos?{query}limit={limit}&after={}", next?))
    }

    pub(super) fn matches(&self, slo: &Summary) -> bool {
        let wanted = self.q.trim().to_lowercase();
        let has_text = |text: &str| text.to_lowercase().contains(&wanted);
        let labels = slo.labels_text();
        let by_text = wanted.is_empty()
            || has_text(slo.name.as_str())
            || has_text(&slo.display_name)
            || slo.service.as_deref().is_some_and(has_text)
            || labels.iter().any(|label| has_text(label));
        by_text
            && (self.state.is_empty() || self.state.eq_ignore_ascii_case(slo.face().word))
            && (self.label.is_empty() || labels.contains(&self.label))
    }

    /// Sorts in the selected order; equal rows by urgency, which `urgency` returns.
    pub(super) fn sort<T, U: Ord>(
        &self,
        rows: &mut [T],
        summary: impl Fn(&T) -> &Summary,
        urgency: impl Fn(&T) -> U,
    ) {
        rows.sort_by_key(&urgency);
        match Sort::named(&self.sort) {
            Sort::Urgency => {}
            Sort::Name => rows.sort_by_key(|row| summary(row).display_name.to_lowercase()),
            Sort::BudgetLeft => rows.sort_by_key(|row| {
                thousandths(summary(row).budget_remaining_ratio).unwrap_or(i64::MAX)
            }),
            Sort::BurnRate => {
                rows.sort_by_key(|row| Reverse(thousandths(summary(row).pace.burn_rate)));
            }
        }
        if !self.group.is_empty() {
            rows.sort_by_key(|row| {
                let group = self.group_of(summary(row));
                (group.is_none(), group)
            });
        }
    }

    /// Returns the group of an SLO; `None` if it has no such label, or nothing is grouped.
    fn group_of(&self, slo: &Summary) -> Option<String> {
        match self.group.as_str() {
            "" => None,
            SERVICE => slo.service.clone(),
            label => slo.labels.get(label).cloned(),
        }
    }

    /// Returns the heading of the group of an SLO, if rows are grouped.
    pub(super) fn heading(&self, slo: &Summary) -> Option<String> {
        (!self.group.is_empty()).then(|| {
            self.group_of(slo)
                .unwrap_or_else(|| format!("no {}", self.group))
        })
    }

    /// Returns the page number, counted from 1.
    pub(super) fn page(&self) -> usize {
        self.page.parse().unwrap_or(1).max(1)
    }

    pub(super) fn sorts(&self) -> Vec<Choice> {
        let current = Sort::named(&self.sort);
        let choice = |sort: Sort| Choice {
            value: sort.name().to_owned(),
            text: sort.text().to_owned(),
            is_current: sort == current,
        };
        Sort::ALL.map(choice).into()
    }

    /// Returns the possible groupings: the service and every label.
    pub(super) fn groupings(&self, slos: &[&Summary]) -> Vec<Choice> {
        let labels = slos.iter().flat_map(|slo| slo.labels.keys());
        let labels: BTreeSet<&str> = labels.map(String::as_str).collect();
        let choice = |key: &str| Choice {
            value: key.to_owned(),
            text: format!("by {key}"),
            is_current: self.group == key,
        };
        let labels = labels.into_iter().filter(|key| *key != SERVICE);
        std::iter::once(SERVICE).chain(labels).map(choice).collect()
    }

    /// Returns every label with its values and their numbers of SLOs.
    pub(super) fn facets(&self, slos: &[&Summary]) -> Vec<Facet> {
        let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for (key, value) in slos.iter().flat_map(|slo| &slo.labels) {
            *counts.entry(key).or_default().entry(value).or_default() += 1;
        }
        let facet = |(key, values): (&str, BTreeMap<&str, usize>)| Facet {
            key: key.to_owned(),
            choices: values
                .into_iter()
                .map(|(value, count)| {
                    let label = format!("{key}={value}");
                    Choice {
                        text: format!("{label} ({count})"),
                        is_current: self.label == label,
                        value: label,
                    }
                })
                .take(MOST_VALUES)
                .collect(),
        };
        counts.into_iter().map(facet).collect()
    }

    /// Returns the URL of the same view with another state; empty means all.
    pub(super) fn in_state(&self, state: &str) -> String {
        Self {
            state: state.to_owned(),
            page: String::new(),
            ..self.clone()
        }
        .href()
    }

    /// Returns the URL of another page of the same view.
    pub(super) fn at_page(&self, page: usize) -> String {
        Self {
            page: if page > 1 {
                page.to_string()
            } else {
                String::new()
            },
            ..self.clone()
        }
        .href()
    }

    /// Returns the URL of the same view as of now.
    pub(super) fn of_now(&self) -> String {
        Self {
            at: String::new(),
            ..self.clone()
        }
        .href()
    }

    fn href(&self) -> String {
        let fields = [
            ("q", &self.q),
            ("state", &self.state),
            ("label", &self.label),
            ("sort", &self.sort),
            ("group", &self.group),
            ("page", &self.page),
            ("at", &self.at),
        ];
        let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> = set
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let query = pairs.join("&");
        if query.is_empty() {
            "/".to_owned()
        } else {
            format!("/?{query}")
        }
    }
}

/// Returns a sort key; missing numbers come first.
#[expect(clippy::cast_possible_truncation, reason = "only an order")]
fn thousandths(value: Option<f64>) -> Option<i64> {
    value.map(|value| (value.clamp(-1e12, 1e12) * 1e3) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &serde_json::Value) -> Filter {
        serde_json::from_value(json.clone()).unwrap()
    }

    #[test]
    fn p26_an_address_holds_all_of_the_view_and_begins_again_in_another_state() {
        let view = filter(&serde_json::json!({
            "q": "pay & go", "label": "team=a", "sort": "burn", "group": "service", "page": "3",
        }));
        assert_eq!(
            view.at_page(4),
            "/?q=pay%20%26%20go&label=team%3Da&sort=burn&group=service&page=4"
        );
        assert_eq!(
            view.in_state("Paging"),
            "/?q=pay%20%26%20go&state=Paging&label=team%3Da&sort=burn&group=service"
        );
        assert_eq!(Filter::default().at_page(1), "/");
    }

    #[test]
    fn p26_what_an_address_has_wrong_is_left_out() {
        let view = filter(&serde_json::json!({ "sort": "nonsense", "page": "-7" }));
        assert_eq!(view.page(), 1);
        let current = view.sorts().into_iter().find(|sort| sort.is_current);
        assert_eq!(current.unwrap().value, "urgency");
    }
}
