//! Judges workflows without new evidence: their deadline has passed, or something became known
//! about missing ends.

use super::Recording;
use crate::{
    domain::{
        counting::ledger::{apply, silence},
        model::ids::SloId,
        workflow::{EventId, EventKey, JudgingContext},
    },
    store::{KnownWorkflow, Loss, StoreError},
};

/// The result of judging workflows that are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgedDue {
    pub looked_at: usize,
    /// True if there may be more.
    pub are_more: bool,
}

impl Recording<'_, '_> {
    /// Judges about `limit` workflows that are due, without new evidence. Replicas share the work:
    /// each skips rows that another has locked.
    pub async fn judge_due(
        &mut self,
        context: &JudgingContext,
        limit: i64,
    ) -> Result<JudgedDue, StoreError> {
        let due = self.tx.take_due(context, limit).await?;
        let known = self.tx.lock_due(due.workflows(), context.watermark).await?;
        self.judge_again(&known).await?;
        self.tx.finish_due(&due).await?;
        Ok(JudgedDue {
            looked_at: known.len(),
            are_more: due.are_more,
        })
    }

    /// Judges at most `limit` timeouts again that `loss` makes doubtful. Returns how many there
    /// were.
    pub async fn doubt_timeouts(&mut self, loss: Loss, limit: i64) -> Result<usize, StoreError> {
        let known = self.tx.lock_timeouts(loss, limit).await?;
        self.judge_again(&known).await?;
        Ok(known.len())
    }

    /// Judges at most `limit` timeouts of `slo` again, those with a key above `after`. Returns the
    /// last key, or `None` if there are no more.
    pub async fn rejudge_timeouts(
        &mut self,
        slo: SloId,
        after: Option<EventKey>,
        limit: i64,
    ) -> Result<Option<EventKey>, StoreError> {
        let known = self.tx.lock_timeouts_after(slo, after, limit).await?;
        self.judge_again(&known).await?;
        Ok(known.last().map(|((_, key), _)| *key))
    }

    /// Judges rows again that this transaction has locked, by their stored evidence.
    async fn judge_again(&mut self, known: &[(EventId, KnownWorkflow)]) -> Result<(), StoreError> {
        let silent = known.iter().filter_map(|(id, known)| {
            let workflow = &known.judged.workflow;
            Some((
                *id,
                silence(Some(&known.judged), workflow, &(self.judging)(id.0))?,
            ))
        });
        let lost = self.tx.lost_among(&silent.collect()).await?;
        let mut changed = Vec::new();
        for (id, known) in known {
            let workflow = known.judged.workflow.clone();
            let judging = self.judging_of(id, &lost);
            let before = Some(&known.judged);
            let judged = apply(id.0, before, &workflow, &judging, &mut self.delta);
            let after = judged.as_ref().unwrap_or(&known.judged);
            self.changes.lists.keep_deadline(id, known.epoch, after);
            changed.extend(judged.map(|judged| (*id, Some(known), judged)));
        }
        self.note(&changed).await
    }
}
