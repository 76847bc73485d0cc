//! What is known only when a message is sent, and so is not frozen with the facts.

use std::time::Duration;

use serde::Serialize;

use crate::domain::{
    alerting::{alert::TransitionKind, snapshot::AlertSnapshot},
    model::{ids::Name, time::Timestamp},
    notify::delivery::{LATE, Redelivery},
};

/// What differs between attempts and targets. What stays the same belongs into [`AlertSnapshot`] instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderContext {
    pub repeat: Redelivery,
    /// In the words of [`wording::note`](super::wording::note).
    pub notes: Vec<MessageNote>,
    pub actions: Actions,
    /// Where a picture of it can be fetched for a while.
    pub chart: Option<String>,
}

/// What a reader must know of the way that a message took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MessageNote {
    /// Somebody tries whether the target is reached.
    Test,
    /// It could not be told when it happened; `meanwhile` was told in its stead.
    Delayed {
        #[serde(rename = "by_seconds")]
        by_secs: u64,
        #[serde(rename = "fallback")]
        meanwhile: Option<Name>,
    },
    /// The message was meant for another target, which it has not reached.
    SentAsFallback { target: Name },
    /// The alert fired before the target was one of its recipients; the numbers are of this time.
    Added { at: Timestamp },
    /// The alert fired and was over before the target could be reached, so both are told at once.
    Missed { from: Timestamp, to: Timestamp },
}

/// Addresses at which a reader can act. They are signed and expire, so each message has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    pub acknowledge: Option<String>,
    /// For an hour.
    pub silence: Option<String>,
}

impl Actions {
    /// What a button or link says, and where it leads.
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

/// How a delivery came to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryContext {
    /// When somebody was to be told, whoever is told by now.
    pub due_since: Timestamp,
    pub stands_in_for: Option<Name>,
    /// Who has been told in this target's stead.
    pub meanwhile: Option<Name>,
    /// Nothing of the episode has reached the target before.
    pub is_unheard: bool,
}

impl DeliveryContext {
    /// What of it a reader must know.
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
