//! The request for a silence, as JSON or as a form.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    domain::{
        alerting::silence::{Draft, Force, SilenceRecurrence},
        model::time::Timestamp,
    },
    web::{error::WebError, write::who::Who},
};

/// The body of `POST /api/v1/silences` and of its preview.
#[derive(Clone, Debug, Default, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct SilenceRequest {
    #[serde(default)]
    matchers: Vec<String>,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    /// Instead of `ends_at`: `2h`, `1d 12h`.
    duration: Option<String>,
    repeat: Option<RepeatRequest>,
    #[serde(default, alias = "comment")]
    reason: String,
    created_by: Option<String>,
    #[serde(default)]
    force: bool,
}

#[derive(Clone, Debug, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepeatRequest {
    rule: String,
    time_zone: Option<String>,
}

impl SilenceRequest {
    pub(super) fn draft(self, who: Who) -> Result<Draft, WebError> {
        let repeat = self.repeat.map(|repeat| {
            let zone = repeat.time_zone.unwrap_or_default();
            read_repeat(repeat.rule, &zone)
        });
        Ok(Draft {
            matchers: self.matchers,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            lasts: self.duration.as_deref().map(read_duration).transpose()?,
            repeat: repeat.transpose()?,
            reason: self.reason,
            created_by: who.or(self.created_by.as_deref()),
            force: if self.force { Force::Yes } else { Force::No },
        })
    }
}

/// The fields of the form at `/silences/new` as filled in; empty ones count as missing.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::web) struct SilenceForm {
    /// One per line.
    #[serde(default)]
    pub(super) matchers: String,
    #[serde(default)]
    pub(super) starts_at: String,
    #[serde(default)]
    pub(super) duration: String,
    #[serde(default)]
    pub(super) rule: String,
    #[serde(default)]
    pub(super) time_zone: String,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) created_by: String,
    /// Set if the box is checked.
    pub(super) force: Option<String>,
    /// The button that was pressed.
    #[serde(default)]
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    #[default]
    Preview,
    Create,
}

impl SilenceForm {
    pub(super) fn draft(&self, who: Who) -> Result<Draft, WebError> {
        let given = |text: &str| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let repeat = given(&self.rule).map(|rule| read_repeat(rule, &self.time_zone));
        let starts_at = given(&self.starts_at).map(|text| read_time(&text));
        Ok(Draft {
            matchers: self.matchers.lines().map(str::to_owned).collect(),
            starts_at: starts_at.transpose()?,
            ends_at: None,
            lasts: given(&self.duration)
                .map(|text| read_duration(&text))
                .transpose()?,
            repeat: repeat.transpose()?,
            reason: self.reason.clone(),
            created_by: who.or(Some(&self.created_by)),
            force: match self.force {
                Some(_) => Force::Yes,
                None => Force::No,
            },
        })
    }
}

fn read_duration(text: &str) -> Result<Duration, WebError> {
    humantime::parse_duration(text.trim()).map_err(|_| {
        WebError::Unreadable(format!("`{text}` is no duration such as `2h` or `1d 12h`"))
    })
}

/// Parses a date and time as browsers send it, without a zone: the form says that it is UTC.
fn read_time(text: &str) -> Result<Timestamp, WebError> {
    let with_zone = [text.to_owned(), format!("{text}Z"), format!("{text}:00Z")];
    with_zone
        .iter()
        .find_map(|text| Timestamp::parse_rfc3339(text))
        .ok_or_else(|| {
            WebError::Unreadable(format!(
                "`{text}` is no time such as `2026-12-06T02:00:00Z`"
            ))
        })
}

/// Parses a repetition; the default time zone is UTC.
fn read_repeat(rule: String, zone: &str) -> Result<SilenceRecurrence, WebError> {
    let zone = match zone.trim() {
        "" => "UTC",
        zone => zone,
    };
    let time_zone = zone.parse().map_err(|_| {
        WebError::Unreadable(format!("`{zone}` is no time zone such as `Europe/London`"))
    })?;
    Ok(SilenceRecurrence { rule, time_zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_the_same_as_the_api() {
        let form: SilenceForm = serde_json::from_value(serde_json::json!({
            "matchers": "slo=orders\r\n\r\nseverity=page", "duration": "2h", "reason": "upgrade",
            "starts_at": "2026-12-06T02:00", "rule": "FREQ=WEEKLY;COUNT=2", "time_zone": "",
            "created_by": "kim", "action": "create",
        }))
        .unwrap();
        let request: SilenceRequest = serde_json::from_value(serde_json::json!({
            "matchers": ["slo=orders", "", "severity=page"], "duration": "2h", "comment": "upgrade",
            "starts_at": "2026-12-06T02:00:00Z", "repeat": { "rule": "FREQ=WEEKLY;COUNT=2" },
            "created_by": "kim",
        }))
        .unwrap();
        assert_eq!(form.action, Action::Create);
        assert_eq!(
            form.draft(Who::default()).unwrap(),
            request.draft(Who::default()).unwrap()
        );
    }

    #[test]
    fn what_is_no_time_or_duration_is_named() {
        let said = |form: SilenceForm| form.draft(Who::default()).unwrap_err().to_string();
        let duration = SilenceForm {
            duration: "2 lightyears".to_owned(),
            ..SilenceForm::default()
        };
        assert!(said(duration).contains("`2 lightyears` is no duration"));
        let start = SilenceForm {
            starts_at: "tomorrow".to_owned(),
            ..SilenceForm::default()
        };
        assert!(said(start).contains("`tomorrow` is no time"));
    }
}
