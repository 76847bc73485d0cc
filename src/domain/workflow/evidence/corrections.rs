//! Corrections of the verdict of a workflow, for people. They change no verdict.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Workflow;
use crate::domain::{model::time::Timestamp, workflow::Outcome};

/// The first corrections of one workflow; later ones than [`Corrections::MOST`] are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Corrections(BTreeSet<Correction>);

/// One verdict that was replaced by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "StoredCorrection", into = "StoredCorrection")]
pub struct Correction {
    /// The time of the correction.
    pub at: Timestamp,
    pub from: Outcome,
    pub to: Outcome,
    pub reason: CorrectionReason,
}

/// The reason why a verdict changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionReason {
    Start,
    Success,
    Failure,
    Cancellation,
    Pause,
    Leg,
    /// Links moved evidence to or from it, or the knowledge of lost or sampled spans changed.
    Other,
}

impl Corrections {
    /// The maximum; a workflow with more corrections probably has a key that unrelated work shares.
    pub const MOST: usize = 16;

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all of `other`.
    pub fn join(&mut self, other: &Self) {
        self.0.extend(&other.0);
        while self.0.len() > Self::MOST {
            self.0.pop_last();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Correction> {
        self.0.iter()
    }
}

impl From<Correction> for Corrections {
    fn from(one: Correction) -> Self {
        Self(BTreeSet::from([one]))
    }
}

impl CorrectionReason {
    const ALL: [Self; 7] = [
        Self::Start,
        Self::Success,
        Self::Failure,
        Self::Cancellation,
        Self::Pause,
        Self::Leg,
        Self::Other,
    ];

    /// Returns which evidence of `new` was not in `old`; the most decisive kind comes first.
    pub fn of(old: &Workflow, new: &Workflow) -> Self {
        if old.start != new.start {
            Self::Start
        } else if old.success != new.success {
            Self::Success
        } else if (old.failure, old.late) != (new.failure, new.late) {
            Self::Failure
        } else if old.cancelled != new.cancelled {
            Self::Cancellation
        } else if old.details.pauses != new.details.pauses {
            Self::Pause
        } else if old.details.legs != new.details.legs {
            Self::Leg
        } else {
            Self::Other
        }
    }

    /// Describes it in a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Start => "Another start was received after the verdict.",
            Self::Success => "An end was received after the verdict.",
            Self::Failure => "A failure was received after the verdict.",
            Self::Cancellation => "A cancellation was received after the verdict.",
            Self::Pause => "A pause was received after the verdict, which moved the deadline.",
            Self::Leg => "A leg was received after the verdict.",
            Self::Other => {
                "Links moved evidence after the verdict, or more became known of spans that were lost or sampled."
            }
        }
    }

    const fn as_code(self) -> u8 {
        self as u8
    }
}

/// The stored form, some 30 bytes: microseconds since the epoch, two outcomes, the reason.
#[derive(Serialize, Deserialize)]
struct StoredCorrection(i64, i16, i16, u8);

impl From<Correction> for StoredCorrection {
    fn from(one: Correction) -> Self {
        Self(
            one.at.as_micros(),
            one.from.as_code(),
            one.to.as_code(),
            one.reason.as_code(),
        )
    }
}

impl TryFrom<StoredCorrection> for Correction {
    type Error = &'static str;

    fn try_from(stored: StoredCorrection) -> Result<Self, Self::Error> {
        let StoredCorrection(micros, from, to, reason) = stored;
        let outcome = |code| Outcome::from_code(code).ok_or("a correction has no such outcome");
        let mut reasons = CorrectionReason::ALL.into_iter();
        Ok(Self {
            at: Timestamp::from_micros(micros),
            from: outcome(from)?,
            to: outcome(to)?,
            // A reason that a later version has added.
            reason: reasons
                .find(|known| known.as_code() == reason)
                .unwrap_or(CorrectionReason::Other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correction(secs: i64, reason: CorrectionReason) -> Correction {
        Correction {
            at: Timestamp::from_secs(secs),
            from: Outcome::Timeout,
            to: Outcome::Late,
            reason,
        }
    }

    #[test]
    fn the_first_ones_are_kept_in_whatever_order_they_are_joined() {
        let all = (0..40).map(|secs| correction(secs, CorrectionReason::Success));
        let join = |all: Vec<Correction>| {
            all.into_iter()
                .fold(Corrections::default(), |mut joined, one| {
                    joined.join(&one.into());
                    joined
                })
        };
        let forwards = join(all.clone().collect());
        assert_eq!(forwards, join(all.rev().collect()));
        assert_eq!(forwards.0.len(), Corrections::MOST);
        assert_eq!(
            forwards.iter().next(),
            Some(&correction(0, CorrectionReason::Success))
        );
    }

    #[test]
    fn they_read_back_as_they_were_written() {
        for reason in CorrectionReason::ALL {
            let all = Corrections::from(correction(1_795_348_800, reason));
            let text = serde_json::to_string(&all).unwrap();
            assert!(text.len() < 40, "{text}");
            assert_eq!(serde_json::from_str::<Corrections>(&text).unwrap(), all);
        }
    }
}
