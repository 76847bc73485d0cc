//! One workflow as seen by several revisions of its definition.
//!
//! Until the start of a workflow is known, it is unknown which revision it is judged by. So
//! evidence is stored by revision, and the workflow is what the revision of its start sees.

use std::collections::BTreeMap;

use super::{StartRemark, Workflow, earliest};
use crate::domain::model::ids::Revision;

type ByRevision = BTreeMap<Revision, Workflow>;

/// Splits the workflow by revision.
pub(super) fn split(mut workflow: Workflow) -> ByRevision {
    let mut all = std::mem::take(&mut workflow.details.other_revisions);
    all.insert(workflow.revision, workflow);
    all
}

/// Adds the evidence by one revision.
pub(super) fn add(all: &mut ByRevision, one: Workflow) {
    match all.get_mut(&one.revision) {
        Some(known) => known.join_same(&one),
        None => {
            all.insert(one.revision, one);
        }
    }
}

/// Returns the workflow as seen by the revision that has the earliest start; without a start, by
/// the oldest one.
pub(super) fn chosen(mut all: ByRevision) -> Option<Workflow> {
    let started = |(revision, one): (&Revision, &Workflow)| Some((one.start?, *revision));
    let first = all.iter().filter_map(started).min();
    let revision = first.map_or_else(
        || all.keys().next().copied(),
        |(_, revision)| Some(revision),
    )?;
    let first_evidence_at = all
        .values()
        .fold(None, |first, one| earliest(first, one.first_evidence_at));
    let mut workflow = all.remove(&revision)?;
    workflow.first_evidence_at = first_evidence_at;
    workflow.details.other_revisions = all;
    Some(workflow)
}

impl Workflow {
    /// Adds a remark, by whichever revision it will be judged.
    pub(in crate::domain::workflow) fn remark(&mut self, remark: StartRemark) {
        self.details.starts.add(remark);
        for one in self.details.other_revisions.values_mut() {
            one.details.starts.add(remark);
        }
    }

    /// Assigns evidence by revisions before `oldest` to `oldest`, since earlier ones are no longer
    /// stored.
    #[must_use]
    pub fn since(self, oldest: Revision) -> Self {
        let is_kept = |revision: &Revision| *revision >= oldest;
        if is_kept(&self.revision) && self.details.other_revisions.keys().all(is_kept) {
            return self;
        }
        let mut kept = ByRevision::new();
        let unchanged = self.clone();
        for (revision, one) in split(self) {
            let revision = revision.max(oldest);
            add(&mut kept, Self { revision, ..one });
        }
        chosen(kept).unwrap_or(unchanged)
    }
}
