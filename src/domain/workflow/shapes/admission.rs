//! Why a span belongs to the sample of traces.

/// The reason why a span belongs to the sample, if the ranks are high enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleAdmission {
    /// The rank of its trace, or of one that it followed from by links.
    pub(super) of_trace: u32,
    /// The id with the highest rank, and that rank.
    pub(super) of_id: Option<IdRank>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRank {
    pub(super) rank: u32,
    pub(super) value: u64,
}

impl SampleAdmission {
    pub(super) fn passes(self, level: u32) -> bool {
        self.of_trace >= level || self.of_id.is_some_and(|id| id.rank >= level)
    }

    /// Returns the value of the id, if only that admits the span.
    pub(super) fn only_id(self, level: u32) -> Option<u64> {
        let id = self.of_id.filter(|_| self.of_trace < level);
        id.map(|id| id.value)
    }
}
