//! A silence as pages and API show it.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::silence::{Silence, SilenceState},
        model::{
            format,
            time::{TimeRange, Timestamp},
        },
    },
    web::reader::times,
};

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::web) struct SilenceView {
    pub(in crate::web) id: Uuid,
    pub(in crate::web) state: SilenceState,
    /// As `team="shop"`; all of them must match.
    pub(super) matchers: Vec<String>,
    pub(super) starts_at: Timestamp,
    /// When it ends for good.
    pub(super) ends_at: Timestamp,
    /// The current interval, or the next one.
    pub(super) interval: Option<TimeRange>,
    pub(super) repeat: Option<RepeatView>,
    pub(super) reason: String,
    pub(super) created_by: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) ended_early_at: Option<Timestamp>,
    pub(super) ended_early_by: Option<String>,
    /// True if it is active for more than seven days without a break.
    pub(super) is_long: bool,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(super) struct RepeatView {
    pub(super) rule: String,
    time_zone: &'static str,
}

impl SilenceView {
    pub(super) fn new(silence: &Silence, now: Timestamp) -> Self {
        let terms = &silence.terms;
        Self {
            id: silence.id,
            state: silence.state(now),
            matchers: terms.matchers.iter().map(ToString::to_string).collect(),
            starts_at: terms.starts_at(),
            ends_at: silence.ends_at(),
            interval: silence.range_at_or_after(now),
            repeat: terms.repeat.as_ref().map(|repeat| RepeatView {
                rule: repeat.rule.clone(),
                time_zone: repeat.time_zone.name(),
            }),
            reason: terms.reason.clone(),
            created_by: terms.created_by.clone(),
            created_at: silence.created_at,
            ended_early_at: silence.ended.as_ref().map(|ended| ended.at),
            ended_early_by: silence.ended.as_ref().and_then(|ended| ended.by.clone()),
            is_long: terms.is_long(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == SilenceState::Expired
    }

    pub(super) fn word(&self) -> &'static str {
        match self.state {
            SilenceState::Active => "Muting",
            SilenceState::Pending => "Later",
            SilenceState::Expired => "Over",
        }
    }

    pub(super) fn icon(&self) -> &'static str {
        match self.state {
            SilenceState::Active => "mute",
            SilenceState::Pending => "low",
            SilenceState::Expired => "ok",
        }
    }

    pub(super) fn who(&self) -> &str {
        self.created_by.as_deref().unwrap_or("someone")
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    pub(super) fn created_text(&self, now: &Timestamp) -> String {
        times::moment(self.created_at, *now)
    }

    /// Returns when it is active, by its present state.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "templates pass references"
    )]
    pub(super) fn when(&self, now: &Timestamp) -> String {
        let moment = |at: Timestamp| times::moment(at, *now);
        match (self.state, self.interval) {
            (SilenceState::Active, Some(stretch)) => format!(
                "until {}, for another {}",
                moment(stretch.to),
                format::lasting(stretch.to.saturating_since(*now))
            ),
            (SilenceState::Pending, Some(stretch)) => format!(
                "from {}, for {}",
                moment(stretch.from),
                format::lasting(stretch.length())
            ),
            (_, _) => match (self.ended_early_at, &self.ended_early_by) {
                (Some(at), Some(by)) => format!("ended {} by {by}", moment(at)),
                (Some(at), None) => format!("ended {} before its time", moment(at)),
                (None, _) => format!("ended {}", moment(self.ends_at)),
            },
        }
    }

    pub(super) fn repeats(&self) -> Option<String> {
        let repeat = self.repeat.as_ref()?;
        Some(format!(
            "comes again: {} ({})",
            repeat.rule, repeat.time_zone
        ))
    }
}
