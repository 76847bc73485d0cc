//! Which SLOs are asked for.

use askama::filters::urlencode_strict;
use serde::Deserialize;

use crate::{
    domain::{alerting::status::SloState, model::ids::Name},
    web::{
        error::WebError,
        pages::summary::{StatusBadge, Summary},
        query::Parameters,
    },
};

/// More rows than that are neither read nor sent at once; of a page, a filter finds the others.
pub(super) const MOST_ROWS: usize = 200;
/// States that people look for, in the order of the page.
pub(super) const WORDS: [Option<SloState>; 8] = [
    Some(SloState::Paging),
    Some(SloState::Ticket),
    Some(SloState::Rising),
    Some(SloState::Recovering),
    Some(SloState::Ok),
    Some(SloState::NoData),
    Some(SloState::TooFew),
    None,
];

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Filter {
    #[serde(default)]
    pub(super) q: String,
    #[serde(default)]
    pub(super) state: String,
    /// The name of the SLO that the last answer ended with; of the API.
    after: Option<String>,
    limit: Option<usize>,
}

impl Parameters for Filter {
    const NAMES: &'static [&'static str] = &["q", "state", "after", "limit"];
}

impl Filter {
    /// How many SLOs a program wants, if it asks for what there is.
    pub(super) fn checked(&self) -> Result<usize, WebError> {
        let known = WORDS.map(|state| StatusBadge::of(state).word);
        let is_known = |word: &&str| word.eq_ignore_ascii_case(&self.state);
        if !self.state.is_empty() && !known.iter().any(is_known) {
            let known = known.join(", ");
            return Err(WebError::Unreadable(format!("`state` is one of {known}")));
        }
        match self.limit {
            None => Ok(MOST_ROWS),
            Some(limit) if (1..=MOST_ROWS).contains(&limit) => Ok(limit),
            Some(_) => {
                let message = format!("`limit` is a number from 1 to {MOST_ROWS}");
                Err(WebError::Unreadable(message))
            }
        }
    }

    pub(super) fn is_after(&self, slo: &Summary) -> bool {
        let after = self.after.as_deref();
        after.is_none_or(|after| slo.name.as_str() > after)
    }

    /// The address of what follows.
    pub(super) fn next_href(&self, next: Option<&Name>) -> Option<String> {
        let next = next?;
        let Ok(words) = urlencode_strict(&self.q);
        let Ok(state) = urlencode_strict(&self.state);
        let limit = self.limit.unwrap_or(MOST_ROWS);
        Some(format!(
            "/api/v1/slos?q={words}&state={state}&limit={limit}&after={next}"
        ))
    }

    pub(super) fn matches(&self, slo: &Summary) -> bool {
        let wanted = self.q.trim().to_lowercase();
        let has_text = |text: &str| text.to_lowercase().contains(&wanted);
        let by_text = wanted.is_empty()
            || has_text(slo.name.as_str())
            || has_text(&slo.display_name)
            || slo.service.as_deref().is_some_and(has_text)
            || slo.labels_text().iter().any(|label| has_text(label));
        by_text && (self.state.is_empty() || self.state.eq_ignore_ascii_case(slo.face().word))
    }
}
