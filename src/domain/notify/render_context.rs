//! The context that is known only when a message is sent, and so is not in the snapshot.

use std::time::Duration;

use serde::Serialize;

use crate::domain::{
    alerting::{alert::TransitionKind, snapshot::AlertSnapshot},
    model::{ids::Name, time::Timestamp},
    notify::delivery::{LATE, Redelivery},
};

/// The data that differs between attempts and targets. Anything else belongs in [`AlertSnapshot`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderContext {
    pub repeat: Redelivery,
    /// Formatted by [`wording::note`](super::wording::note).
    pub notes: Vec<MessageNote>,
    pub actions: Actions,
    /// The URL of its chart, valid for a limited time.
    pub chart: Option<String>,
}

/// A remark on how a message was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MessageNote {
    /// A person tests the target.
    Test,
    /// It was delivered late; `meanwhile` is the target that received it in time.
    Delayed {
        #[serde(rename = "by_seconds")]
        by_secs: u64,
        #[serde(rename = "fallback")]
        meanwhile: Option<Name>,
    },
    /// The message was meant for another target, which did not receive it.
    SentAsFallback { target: Name },
    /// The alert fired before the target was one of its recipients; the numbers are of this time.
    Added { at: Timestamp },
    /// The alert fired and resolved before the target was reached; both are in one message.
    Missed { from: Timestamp, to: Timestamp },
}

/// URLs for actions of the reader. They are signed and expire, so each message has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    pub acknowledge: Option<String>,
    /// Silences for an hour.
    pub silence: Option<String>,
}

impl Actions {
    /// Returns the text and URL of each button or link.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("Acknowledge", &self.acknowledge),
            ("Silence 1 h", &self.silence),
        ]
        .into_iter()
        .filter_map(|(title, url)| Some((title, url.as_deref()?)))
    }
}

impl MessageNote {
    pub fn delayed(by: Duration, meanwhile: Option<Name>) -> Self {
        Self::Delayed {
            by_secs: by.as_secs(),
            meanwhile,
        }
    }
}

/// The circumstances of a delivery that is sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryContext {
    /// The time at which the notification was due at its first target.
    pub due_since: Timestamp,
    pub stands_in_for: Option<Name>,
    /// The target that received it in place of this one.
    pub meanwhile: Option<Name>,
    /// True if the target has received nothing of the episode before.
    pub is_unheard: bool,
}

impl DeliveryContext {
    /// Returns the remarks for the reader.
    pub fn notes(&self, facts: &AlertSnapshot, now: Timestamp) -> Vec<MessageNote> {
        let mut notes = Vec::new();
        if let Some(target) = &self.stands_in_for {
            let target = target.clone();
            notes.push(MessageNote::SentAsFallback { target });
        }
        let delay = now.saturating_since(self.due_since);
        if delay >= LATE {
            notes.push(MessageNote::delayed(delay, self.meanwhile.clone()));
        }
        if self.due_since.saturating_since(facts.evaluated_at) >= LATE {
            notes.push(MessageNote::Added {
                at: facts.evaluated_at,
            });
        }
        let episode = facts.episode_summary.as_ref();
        if let (TransitionKind::Resolved, true, Some(episode)) =
            (facts.kind, self.is_unheard, episode)
        {
            notes.push(MessageNote::Missed {
                from: episode.fired_at,
                to: episode.resolved_at,
            });
        }
        notes
    }
}
