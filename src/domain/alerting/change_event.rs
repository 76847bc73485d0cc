//! Change events that people and programs report: a deploy, a feature flag, a note. They may
//! explain a problem, and do not affect verdicts or alerts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{
    model::{text, time::Timestamp},
    workflow::attributes::EventAttributes,
};

/// The tolerance for clocks that disagree; an event further in the future is rejected.
const AHEAD: Duration = Duration::from_mins(5);
/// The retention; an older event would be deleted at once.
pub const REMEMBERED: Duration = Duration::from_hours(400 * 24);
const STRING_CHARS: usize = 200;
const URL_BYTES: usize = 1_500;
const MOST_LABELS: usize = 16;
/// The name of the attribute in the sample of events.
const SERVICE_NAME: &str = "resource.service.name";

/// A change event, with texts that are safe for pages and messages.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ChangeEvent {
    pub id: Uuid,
    pub kind: ChangeEventKind,
    pub at: Timestamp,
    /// One line.
    pub title: String,
    /// The service it concerns; `None` for all services or for none in particular.
    pub service: Option<String>,
    pub version: Option<String>,
    pub url: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// The reporter, if known.
    pub reported_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeEventKind {
    Deploy,
    Flag,
    Note,
}

impl ChangeEventKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Flag => "flag",
            Self::Note => "note",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Deploy, Self::Flag, Self::Note];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A change event as it was reported, before validation.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeEventReport {
    pub kind: String,
    /// Optional if there is a service or a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// In RFC 3339; defaults to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChangeEvent {
    #[error("`{0}` is not a kind of event: write `deploy`, `flag` or `note`")]
    Kind(String),
    #[error("the event has no text: give a `title`, or a `service` or `version`")]
    Untitled,
    #[error("`at` is `{0}`: write a time such as `2026-11-22T09:16:00Z`")]
    Time(String),
    #[error("`at` is {0}, which is more than 5 minutes in the future")]
    Future(Timestamp),
    #[error("`at` is {0}; events are kept for 400 days")]
    TooOld(Timestamp),
    #[error("`url` must be a web address of at most 1500 bytes, without spaces")]
    Url,
    #[error("there are {0} labels; 16 are kept at most")]
    Labels(usize),
}

impl ChangeEventReport {
    /// Validates the report and returns the change event to store under `id`. Strings that are too
    /// long are truncated.
    pub fn check(self, id: Uuid, now: Timestamp) -> Result<ChangeEvent, InvalidChangeEvent> {
        let kind = ChangeEventKind::named(&self.kind).ok_or(InvalidChangeEvent::Kind(self.kind))?;
        if self.labels.len() > MOST_LABELS {
            return Err(InvalidChangeEvent::Labels(self.labels.len()));
        }
        let at = self.at.map_or(Ok(now), |at| moment(at, now))?;
        let [title, service, version] = [self.title, self.service, self.version].map(line);
        let named = || {
            let parts: Vec<&str> = [service.as_deref(), version.as_deref()]
                .into_iter()
                .flatten()
                .collect();
            line(Some(parts.join(" ")))
        };
        let title = title.or_else(named).ok_or(InvalidChangeEvent::Untitled)?;
        let url = self.url.filter(|url| !url.is_empty());
        if let Some(url) = &url {
            text::web_address(url, URL_BYTES).ok_or(InvalidChangeEvent::Url)?;
        }
        let labels = self.labels.into_iter();
        Ok(ChangeEvent {
            id,
            kind,
            at,
            title,
            service,
            version,
            url,
            labels: labels
                .map(|(key, value)| (short(&key), short(&value)))
                .collect(),
            reported_by: None,
        })
    }
}

fn moment(text: String, now: Timestamp) -> Result<Timestamp, InvalidChangeEvent> {
    let at = Timestamp::parse_rfc3339(&text).ok_or(InvalidChangeEvent::Time(text))?;
    if at > now + AHEAD {
        return Err(InvalidChangeEvent::Future(at));
    }
    if at < now - REMEMBERED {
        return Err(InvalidChangeEvent::TooOld(at));
    }
    Ok(at)
}

/// Returns the text on one line; `None` if nothing legible is left.
fn line(text: Option<String>) -> Option<String> {
    let text = short(text?.trim());
    (!text.trim().is_empty()).then_some(text)
}

fn short(text: &str) -> String {
    text::plain(text, STRING_CHARS)
}

/// Returns the services whose deploys may affect the events of an SLO: the service that it names,
/// and those that its sampled events went through. `None` if none is known: then those of any
/// service may.
pub fn concerned<'a>(
    named: Option<&str>,
    sample: impl IntoIterator<Item = &'a EventAttributes>,
) -> Option<Vec<String>> {
    let mut services: BTreeSet<&str> = named.into_iter().collect();
    for event in sample {
        let own = event.iter().filter(|(name, _)| *name == SERVICE_NAME);
        services.extend(own.map(|(_, value)| value));
    }
    (!services.is_empty()).then(|| services.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_327_200);

    fn check(report: ChangeEventReport) -> Result<ChangeEvent, InvalidChangeEvent> {
        report.check(Uuid::from_u128(1), NOW)
    }

    fn deploy() -> ChangeEventReport {
        ChangeEventReport {
            kind: "deploy".to_owned(),
            service: Some("warehouse-consumer".to_owned()),
            version: Some("2.41.0".to_owned()),
            ..ChangeEventReport::default()
        }
    }

    #[test]
    fn a_deploy_without_a_title_is_called_by_what_was_deployed() {
        let event = check(deploy()).unwrap();
        assert_eq!(event.title, "warehouse-consumer 2.41.0");
        assert_eq!(event.at, NOW, "now, where no time is given");
        let unknown = ChangeEventReport {
            service: Some(" \n ".to_owned()),
            version: None,
            ..deploy()
        };
        assert_eq!(check(unknown), Err(InvalidChangeEvent::Untitled));
    }

    #[test]
    fn what_nobody_can_use_is_refused_with_the_way_to_say_it() {
        let at = |at: &str| ChangeEventReport {
            at: Some(at.to_owned()),
            ..deploy()
        };
        let url = |url: &str| ChangeEventReport {
            url: Some(url.to_owned()),
            ..deploy()
        };
        let many = (0..17).map(|n| (n.to_string(), String::new()));
        let refused = [
            ChangeEventReport {
                kind: "rollout".to_owned(),
                ..deploy()
            },
            at("yesterday"),
            at("2036-11-22T09:16:00Z"),
            at("2016-11-22T09:16:00Z"),
            url("javascript:alert(1)"),
            ChangeEventReport {
                labels: many.collect(),
                ..deploy()
            },
        ];
        let errors = refused.map(|report| check(report).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
        `rollout` is not a kind of event: write `deploy`, `flag` or `note`
        `at` is `yesterday`: write a time such as `2026-11-22T09:16:00Z`
        `at` is 2036-11-22T09:16:00.000Z, which is more than 5 minutes in the future
        `at` is 2016-11-22T09:16:00.000Z; events are kept for 400 days
        `url` must be a web address of at most 1500 bytes, without spaces
        there are 17 labels; 16 are kept at most
        ");
        assert!(check(at("2026-11-22T06:59:00+01:00")).is_ok());
        assert!(check(url("https://ci.example/42")).is_ok());
    }

    #[test]
    fn a_deploy_concerns_whoever_names_its_service_or_went_through_it() {
        let event = EventAttributes::from_iter([(SERVICE_NAME, "email"), ("span.region", "eu")]);
        let of = |named, sample: &[EventAttributes]| concerned(named, sample);
        assert_eq!(of(None, &[]), None);
        assert_eq!(of(Some("shop"), &[]).unwrap(), ["shop"]);
        assert_eq!(
            of(None, &[event.clone(), event.clone()]).unwrap(),
            ["email"]
        );
        assert_eq!(of(Some("shop"), &[event]).unwrap(), ["email", "shop"]);
    }

    #[test]
    fn every_string_is_one_line_and_has_a_limit() {
        let report = ChangeEventReport {
            title: Some(format!("a\nb{}", "x".repeat(300))),
            labels: BTreeMap::from([("k".repeat(300), "v\u{202E}".repeat(300))]),
            ..deploy()
        };
        let event = check(report).unwrap();
        assert!(event.title.starts_with("a b") && event.title.ends_with('…'));
        for (key, value) in &event.labels {
            assert!(key.chars().count() <= 200 && value.chars().count() <= 200);
            assert!(!value.contains('\u{202E}'));
        }
    }
}
