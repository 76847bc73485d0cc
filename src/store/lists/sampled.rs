//! Judged workflows whose attributes are stored. They are read in `counts::samples`.

use super::columns::JudgedKeys;
use crate::{
    domain::{model::time::Timestamp, workflow::EventId},
    store::{batch::Batch, workflows::rows::CountedWorkflow},
};

/// Workflows that are sampled now, and that are not any more.
#[derive(Debug, Default)]
pub(in crate::store) struct SampledChanges {
    added: JudgedKeys,
    removed: JudgedKeys,
}

impl SampledChanges {
    pub(in crate::store) fn push(
        &mut self,
        id: &EventId,
        epoch: i32,
        before: Option<CountedWorkflow<'_>>,
        after: Option<CountedWorkflow<'_>>,
    ) {
        let (before, after) = (sampled_at(before), sampled_at(after));
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.removed.push(id, epoch, at);
        }
        if let Some(at) = after {
            self.added.push(id, epoch, at);
        }
    }
}

/// Returns the time that the workflow is listed under; `None` unless it is judged and has attributes.
fn sampled_at(counted: Option<CountedWorkflow<'_>>) -> Option<Timestamp> {
    let (judged, _) = counted?;
    judged.workflow.details.attributes.as_ref()?;
    judged.verdict.at
}

impl Batch {
    pub(in crate::store) fn add_sampled(&mut self, changes: &SampledChanges) {
        let SampledChanges { added, removed } = changes;
        if !removed.is_empty() {
            self.add(concat!(
                "-- sampled_workflows.remove\n",
                "delete from sampled_workflows s using unnest($1::integer[], $2::timestamptz[], ",
                "$3::uuid[], $4::integer[]) as n(slo_id, judged_at, key, epoch) ",
                "where s.slo_id = n.slo_id and s.judged_at = n.judged_at and s.key = n.key ",
                "and s.epoch = n.epoch",
            ));
            self.bind_judged_keys(removed);
        }
        if !added.is_empty() {
            self.add(concat!(
                "-- sampled_workflows.add\n",
                "insert into sampled_workflows (slo_id, judged_at, key, epoch) select * ",
                "from unnest($1::integer[], $2::timestamptz[], $3::uuid[], $4::integer[])",
            ));
            self.bind_judged_keys(added);
        }
    }
}
