//! Changes around the time of the first bad event. They are reported with their time, and never
//! named as the cause.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    alerting::change_event::{ChangeEvent, ChangeEventKind},
    model::{format, time::Timestamp},
};

/// A reported change event, or a version that was first seen in spans.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct RecentChange {
    pub kind: ChangeKind,
    pub at: Timestamp,
    /// Its name for people: `warehouse-consumer 2.41.0`.
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Deploy,
    Flag,
    Note,
    /// First seen among the attributes of sampled events.
    FirstSeen,
}

impl From<ChangeEvent> for RecentChange {
    fn from(happening: ChangeEvent) -> Self {
        Self {
            kind: match happening.kind {
                ChangeEventKind::Deploy => ChangeKind::Deploy,
                ChangeEventKind::Flag => ChangeKind::Flag,
                ChangeEventKind::Note => ChangeKind::Note,
            },
            at: happening.at,
            title: happening.title,
            url: happening.url,
        }
    }
}

impl RecentChange {
    /// Returns the `most` changes that are nearest to `began`, with those before it taking
    /// precedence; in the order of time.
    pub fn nearest(mut all: Vec<Self>, began: Timestamp, most: usize) -> Vec<Self> {
        all.sort_by_key(|change| {
            let distance = change.at.micros_since(began);
            (distance > 0, distance.unsigned_abs())
        });
        all.truncate(most);
        all.sort_by_key(|change| change.at);
        all
    }

    /// Returns the text before the title: `deploy`.
    pub const fn lead(&self) -> &'static str {
        match self.kind {
            ChangeKind::Deploy => "deploy",
            ChangeKind::Flag => "flag",
            ChangeKind::Note => "note",
            ChangeKind::FirstSeen => "first seen:",
        }
    }

    /// Returns the text after the title: `at 09:16 UTC, 1 min before it began`.
    pub fn when(&self, began_at: Option<Timestamp>) -> String {
        let at = self.at.to_chrono().format("%H:%M UTC");
        let Some(began) = began_at else {
            return format!("at {at}");
        };
        let (earlier, later, side) = if self.at <= began {
            (self.at, began, "before")
        } else {
            (began, self.at, "after")
        };
        let apart = format::lasting(later.saturating_since(earlier));
        format!("at {at}, {apart} {side} it began")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(secs: i64) -> RecentChange {
        RecentChange {
            kind: ChangeKind::Deploy,
            at: Timestamp::from_secs(1_795_328_000 + secs),
            title: secs.to_string(),
            url: None,
        }
    }

    #[test]
    fn what_came_just_before_matters_more_than_what_came_after() {
        let all = [-3_000, -60, 10, -600, 400].map(change).to_vec();
        let nearest = RecentChange::nearest(all, Timestamp::from_secs(1_795_328_000), 4);
        let titles: Vec<&str> = nearest.iter().map(|one| one.title.as_str()).collect();
        assert_eq!(titles, ["-3000", "-600", "-60", "10"]);
    }

    #[test]
    fn a_change_is_told_by_how_far_it_is_from_the_beginning() {
        let began = Some(Timestamp::from_secs(1_795_328_000));
        assert_eq!(
            change(-60).when(began),
            "at 06:12 UTC, 1 min before it began"
        );
        assert_eq!(
            change(300).when(began),
            "at 06:18 UTC, 5 min after it began"
        );
        assert_eq!(change(300).when(None), "at 06:18 UTC");
    }
}
