//! The banner on top of a page that shows an earlier time, and the permalink to it.

use std::time::Duration;

use chrono::SecondsFormat;

use super::{AsOf, CatalogAsOf, times};
use crate::{
    domain::{alerting::status::SloState, model::time::Timestamp},
    web::pages::summary::StatusBadge,
};

/// The banner of a page that shows an earlier moment.
#[derive(Clone, Debug)]
pub(in crate::web) struct PastBanner {
    moment: String,
    /// Set for a page that shows an evaluation.
    evaluation: String,
    definitions: String,
    /// The same page as of now.
    pub(in crate::web) now_path: String,
}

impl PastBanner {
    /// Returns `None` if the page shows the present.
    pub(in crate::web) fn new(
        as_of: AsOf,
        now: Timestamp,
        definitions: &CatalogAsOf,
        now_path: String,
    ) -> Option<Self> {
        let in_force = definitions.in_force_later.map(|from| {
            let from = times::named(from, now);
            format!(
                " The definitions of that time are not stored: these are in force since {from}."
            )
        });
        as_of.is_past.then(|| Self {
            moment: times::named(as_of.at, now),
            evaluation: String::new(),
            definitions: in_force.unwrap_or_default(),
            now_path,
        })
    }

    /// Does the same for a page that shows the evaluation of `evaluated_at`; `state_now` is the
    /// present state of the SLO.
    pub(in crate::web) fn with_evaluation(
        self,
        evaluated_at: Option<Timestamp>,
        state_now: Option<SloState>,
    ) -> Self {
        let kept = evaluated_at.map_or_else(
            || " No earlier evaluation is stored.".to_owned(),
            |at| {
                format!(
                    " State and numbers are as evaluated at {}.",
                    times::clock(at)
                )
            },
        );
        let now = state_now.map(|state| format!(" Now: {}.", StatusBadge::of(Some(state)).word));
        Self {
            evaluation: kept + &now.unwrap_or_default(),
            ..self
        }
    }

    pub(in crate::web) fn text(&self) -> String {
        format!(
            "You see {}.{} Charts and lists show the time until then, with all corrections made since.{}",
            self.moment, self.evaluation, self.definitions
        )
    }
}

/// Returns the URL of a page as of `at`, usually the time of the evaluation that it shows. `path`
/// may have parameters.
pub(in crate::web) fn permalink(path: &str, at: Option<Timestamp>) -> Option<String> {
    // Rounded up to a second, so that it is not before the evaluation.
    let at = at?.ceil_to(Duration::from_secs(1)).to_chrono();
    let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let join = if path.contains('?') { '&' } else { '?' };
    Some(format!("{path}{join}at={at}"))
}
