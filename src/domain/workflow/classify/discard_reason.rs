//! The reasons why spans that an SLO selects were discarded, or not used completely.

use crate::domain::model::sampling::Flaw;

/// The reason why a span that an SLO selects was discarded, or not used completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiscardReason {
    /// None of the correlators is present.
    Uncorrelated,
    /// Its time is before the horizon: its record may have been purged, so counting it could count
    /// it twice.
    TooLate,
    /// `startedAt` is missing on the span, or is not a time.
    NoStartTime,
    /// `legs.by` is missing on the span of a leg.
    NoLeg,
    /// `legs.expect` is not a whole number.
    NoNumber,
    /// It has no sampling probability, and the definition rejects such spans.
    UnknownWeight,
    /// Its sampling probability is malformed or impossible. It is still used, with an unknown
    /// weight, unless the definition rejects those.
    InvalidSampling,
    /// Its weight would exceed a million. It is still used, with a weight of a million.
    CappedWeight,
    /// A span that ends workflows had more links than its sender kept: the dropped links may have
    /// named further workflows. Counted by link.
    LostLinks,
    /// The value that identifies the workflow is too long to be an id.
    KeyTooLong,
    /// Only the first links of the span, the first elements of an array of ids, or the first
    /// messages of a batch were used.
    TooManyLinks,
    /// The origin of the workflow is more links away than are followed.
    TooManyHops,
    /// The name of its customer is too long and was truncated.
    CustomerCut,
    /// An attribute that should name its customer or group is an array of several values.
    SeveralValues,
    /// A pause, a leg or another fact that is not an end, and that belongs to an unknown one of
    /// several workflows of a batch.
    OfUnknownMessage,
    /// The stage evidence of its workflow, or that of all workflows of links, exceeds a limit.
    TooMuchStageEvidence,
    /// A workflow outside of the sample whose stages are known. Counted by workflow.
    StagesNotSampled,
    /// Its stage is beyond the limit of distinct stages.
    TooManyStages,
    /// It has more attributes, or longer ones, than are compared.
    AttributesCut,
}

impl From<Flaw> for DiscardReason {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Unknown => Self::UnknownWeight,
            Flaw::Invalid => Self::InvalidSampling,
            Flaw::Capped => Self::CappedWeight,
        }
    }
}

impl DiscardReason {
    pub const ALL: [Self; 19] = [
        Self::Uncorrelated,
        Self::TooLate,
        Self::NoStartTime,
        Self::NoLeg,
        Self::NoNumber,
        Self::UnknownWeight,
        Self::InvalidSampling,
        Self::CappedWeight,
        Self::LostLinks,
        Self::KeyTooLong,
        Self::TooManyLinks,
        Self::TooManyHops,
        Self::OfUnknownMessage,
        Self::CustomerCut,
        Self::SeveralValues,
        Self::AttributesCut,
        Self::TooMuchStageEvidence,
        Self::StagesNotSampled,
        Self::TooManyStages,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uncorrelated => "uncorrelated",
            Self::TooLate => "too_late",
            Self::NoStartTime => "no_start_time",
            Self::NoLeg => "no_leg",
            Self::NoNumber => "no_number",
            Self::UnknownWeight => "unknown_weight",
            Self::InvalidSampling => "invalid_sampling",
            Self::CappedWeight => "capped_weight",
            Self::LostLinks => "evidence_lost",
            Self::KeyTooLong => "key_too_long",
            Self::TooManyLinks => "too_many_links",
            Self::TooManyHops => "too_many_hops",
            Self::OfUnknownMessage => "of_unknown_message",
            Self::CustomerCut => "customer_truncated",
            Self::SeveralValues => "several_values",
            Self::AttributesCut => "attributes_truncated",
            Self::TooMuchStageEvidence => "too_many_stage_spans",
            Self::StagesNotSampled => "stages_not_sampled",
            Self::TooManyStages => "too_many_stages",
        }
    }
}
