//! The parameters of a search: as in the URL, and parsed.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    domain::{
        model::{
            ids::{Name, SloId},
            time::{TimeRange, Timestamp},
        },
        slo::parse_duration,
        workflow::{EventKey, Outcome, search::SearchText},
    },
    store::SearchPosition,
    web::{error::WebError, pages::addresses::encoded, query::Parameters},
};

/// The number of rows of a page.
const ROWS: u32 = 50;
const MOST_ROWS: u32 = 500;
/// The tolerance for clocks that are ahead.
const AHEAD: Duration = Duration::from_hours(24);

/// The parameters as in the URL. An empty one is no condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkflowsQuery {
    pub(in crate::web::pages) q: String,
    pub(in crate::web::pages) slo: String,
    pub(in crate::web::pages) outcome: String,
    pub(in crate::web::pages) stage: String,
    pub(in crate::web::pages) customer: String,
    pub(in crate::web::pages) from: String,
    pub(in crate::web::pages) to: String,
    pub(in crate::web::pages) min_duration: String,
    pub(in crate::web::pages) max_duration: String,
    pub(in crate::web::pages) limit: String,
    pub(in crate::web::pages) after: String,
    pub(in crate::web::pages) format: String,
}

impl Parameters for WorkflowsQuery {
    const NAMES: &'static [&'static str] = &[
        "q",
        "slo",
        "outcome",
        "stage",
        "customer",
        "from",
        "to",
        "min_duration",
        "max_duration",
        "limit",
        "after",
        "format",
    ];
}

/// A parsed search.
#[derive(Clone, Debug)]
pub(in crate::web::pages) struct WorkflowSearch {
    pub(super) text: Option<SearchText>,
    pub(super) slo: Option<Name>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) stage: Option<String>,
    pub(super) customer: Option<String>,
    pub(super) started: TimeRange,
    pub(super) has_range: bool,
    pub(super) least_seconds: Option<f64>,
    pub(super) most_seconds: Option<f64>,
    pub(super) rows: usize,
    pub(super) after: Option<SearchCursor>,
}

/// The position to continue from: the number of the way to search, and the position in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchCursor {
    pub(super) way: usize,
    pub(super) position: SearchPosition,
}

/// A value of the filter by outcome.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct ListedOutcome {
    pub(in crate::web) value: &'static str,
    pub(in crate::web) text: &'static str,
}

impl ListedOutcome {
    /// All bad outcomes together, and each outcome.
    pub(in crate::web) const ALL: [Self; 13] = [
        Self {
            value: "bad",
            text: "Bad",
        },
        Self::of(Outcome::ALL[0]),
        Self::of(Outcome::ALL[1]),
        Self::of(Outcome::ALL[2]),
        Self::of(Outcome::ALL[3]),
        Self::of(Outcome::ALL[4]),
        Self::of(Outcome::ALL[5]),
        Self::of(Outcome::ALL[6]),
        Self::of(Outcome::ALL[7]),
        Self::of(Outcome::ALL[8]),
        Self::of(Outcome::ALL[9]),
        Self::of(Outcome::ALL[10]),
        Self::of(Outcome::ALL[11]),
    ];

    const fn of(outcome: Outcome) -> Self {
        Self {
            value: outcome.as_str(),
            text: outcome.in_words(),
        }
    }
}

impl WorkflowsQuery {
    pub(in crate::web::pages) fn of_customer(customer: &str) -> Self {
        Self {
            customer: customer.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn is_csv(&self) -> bool {
        self.format == "csv"
    }

    pub(in crate::web::pages) fn read(&self, now: Timestamp) -> Result<WorkflowSearch, WebError> {
        if !matches!(self.format.as_str(), "" | "json" | "csv") {
            return Err(unreadable("`format` is json or csv"));
        }
        let from = time("from", &self.from)?;
        let to = time("to", &self.to)?;
        Ok(WorkflowSearch {
            text: SearchText::new(&self.q),
            slo: match self.slo.as_str() {
                "" => None,
                text => Some(text.parse().map_err(|_| unreadable("`slo` is no name"))?),
            },
            outcomes: self.outcomes()?,
            stage: non_empty(&self.stage),
            customer: non_empty(&self.customer),
            has_range: from.is_some() || to.is_some(),
            started: TimeRange::new(
                from.unwrap_or(Timestamp::UNIX_EPOCH),
                to.unwrap_or(now + AHEAD),
            ),
            least_seconds: seconds("min_duration", &self.min_duration)?,
            most_seconds: seconds("max_duration", &self.max_duration)?,
            rows: self.rows()?,
            after: match self.after.as_str() {
                "" => None,
                text => {
                    Some(SearchCursor::parse(text).ok_or_else(|| {
                        unreadable("`after` does not come from an earlier response")
                    })?)
                }
            },
        })
    }

    fn outcomes(&self) -> Result<Vec<Outcome>, WebError> {
        let is_meant = |outcome: &Outcome| match self.outcome.as_str() {
            "" => false,
            "bad" => outcome.is_bad(),
            name => outcome.as_str() == name,
        };
        let meant: Vec<Outcome> = Outcome::ALL.into_iter().filter(is_meant).collect();
        if meant.is_empty() && !self.outcome.is_empty() {
            let known = ListedOutcome::ALL.map(|one| one.value).join(", ");
            return Err(unreadable(format!("`outcome` is one of {known}")));
        }
        Ok(meant)
    }

    fn rows(&self) -> Result<usize, WebError> {
        let rows = match self.limit.as_str() {
            "" if self.is_csv() => Some(MOST_ROWS),
            "" => Some(ROWS),
            text => text.parse().ok(),
        };
        rows.filter(|rows| (1..=MOST_ROWS).contains(rows))
            .and_then(|rows| usize::try_from(rows).ok())
            .ok_or_else(|| unreadable(format!("`limit` is a number from 1 to {MOST_ROWS}")))
    }

    /// Formats all parameters that are set, except `after` and `format`.
    pub(super) fn text(&self) -> String {
        let pairs = [
            ("q", &self.q),
            ("slo", &self.slo),
            ("outcome", &self.outcome),
            ("stage", &self.stage),
            ("customer", &self.customer),
            ("from", &self.from),
            ("to", &self.to),
            ("min_duration", &self.min_duration),
            ("max_duration", &self.max_duration),
            ("limit", &self.limit),
        ];
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs = pairs.map(|(name, value)| format!("{name}={}", encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Returns the same search from that position on.
    pub(in crate::web::pages) fn after(&self, after: &str) -> String {
        let mut text = self.text();
        if !text.is_empty() {
            text.push('&');
        }
        format!("{text}after={}", encoded(after))
    }
}

impl SearchCursor {
    /// Formats the text last, since it may contain any character.
    pub(super) fn text(&self) -> String {
        let SearchPosition {
            text,
            number,
            slo,
            key,
        } = &self.position;
        format!("{}.{number}.{}.{key}.{text}", self.way, slo.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '.');
        let mut next = || parts.next();
        Some(Self {
            way: next()?.parse().ok()?,
            position: SearchPosition {
                number: next()?.parse().ok()?,
                slo: SloId(next()?.parse().ok()?),
                key: EventKey::from_hex(next()?)?,
                text: next()?.to_owned(),
            },
        })
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn time(name: &str, text: &str) -> Result<Option<Timestamp>, WebError> {
    if text.is_empty() {
        return Ok(None);
    }
    let at = Timestamp::parse_rfc3339(text);
    at.map(Some)
        .ok_or_else(|| unreadable(format!("`{name}` is a time such as 2026-11-22T10:00:00Z")))
}

fn seconds(name: &str, text: &str) -> Result<Option<f64>, WebError> {
    if text.is_empty() {
        return Ok(None);
    }
    let length = parse_duration(text);
    length
        .map(|length| Some(length.as_secs_f64()))
        .map_err(|error| unreadable(format!("`{name}`: {error}")))
}

fn unreadable(why: impl Into<String>) -> WebError {
    WebError::Unreadable(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &WorkflowsQuery) -> Result<WorkflowSearch, String> {
        let now = Timestamp::from_secs(1_795_348_800);
        query.read(now).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_empty_is_no_condition() {
        let search = read(&WorkflowsQuery::default()).unwrap();
        assert_eq!((search.text, search.rows), (None, 50));
        assert!(search.outcomes.is_empty() && !search.has_range);
    }

    #[test]
    fn bad_is_late_failed_and_timeout() {
        let search = read(&WorkflowsQuery {
            outcome: "bad".to_owned(),
            ..WorkflowsQuery::default()
        });
        let bad = [Outcome::Late, Outcome::Failed, Outcome::Timeout];
        assert_eq!(search.unwrap().outcomes, bad);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let query = WorkflowsQuery::default;
        let text = |text: &str| text.to_owned();
        for (query, said) in [
            (
                WorkflowsQuery {
                    limit: text("501"),
                    ..query()
                },
                "`limit` is a number from 1 to 500",
            ),
            (
                WorkflowsQuery {
                    from: text("noon"),
                    ..query()
                },
                "`from` is a time such as 2026-11-22T10:00:00Z",
            ),
            (
                WorkflowsQuery {
                    after: text("1.2"),
                    ..query()
                },
                "`after` does not come from an earlier response",
            ),
            (
                WorkflowsQuery {
                    outcome: text("fine"),
                    ..query()
                },
                "`outcome` is one of bad, open, good",
            ),
            (
                WorkflowsQuery {
                    min_duration: text("long"),
                    ..query()
                },
                "`min_duration`: ",
            ),
            (
                WorkflowsQuery {
                    format: text("xml"),
                    ..query()
                },
                "`format` is json or csv",
            ),
        ] {
            let error = read(&query).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_cursor_reads_back_whatever_the_name_in_it() {
        let cursor = SearchCursor {
            way: 0,
            position: SearchPosition {
                text: "a.b..\u{202e} %2F/".to_owned(),
                number: -7,
                slo: SloId(3),
                key: EventKey([0xab; 16]),
            },
        };
        assert_eq!(SearchCursor::parse(&cursor.text()), Some(cursor));
    }
}
