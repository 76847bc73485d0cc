//! The notification of a transition, with the facts of that moment, and its targets.

use std::time::Duration;

use super::{SloEvaluation, context::TransitionContext, inputs::whole_minutes, snapshot};
use crate::{
    domain::{
        alerting::{
            alert::{AlertChange, AlertUpdate, EpisodeEnd, TransitionKind},
            condition::{self, Signal},
            incident::Acknowledgement,
            quality,
            rule_status::Missing,
            snapshot::{AlertSnapshot, Context, EpisodeSummary, SlowestStage, WorstWorkflow},
            suppression::Suppression,
        },
        counting::{
            differences::differences,
            stages::{StageMean, WhereTimeGoes},
        },
        model::{
            ids::Name,
            time::{Resolution, TimeRange},
        },
        notify::SOON,
    },
    store::{AlertTransition, BadSelection, StoreError, Tx, WorkflowRecord},
};

/// The maximum number of bad workflows in a notification.
const WORST: u32 = 3;
/// The maximum number of attributes that bad events have in common in a notification.
const DIFFERENCES: usize = 3;

/// The facts to send, and the targets to send them to.
pub(super) struct DraftNotification {
    pub(super) facts: AlertSnapshot,
    pub(super) targets: Vec<Name>,
    /// The reason why there are no targets.
    pub(super) suppression: Option<Suppression>,
}

impl DraftNotification {
    fn of_beginning(
        facts: AlertSnapshot,
        targets: Vec<Name>,
        suppression: Option<Suppression>,
    ) -> Self {
        let targets = match suppression {
            Some(_) => Vec::new(),
            None => targets,
        };
        Self {
            facts,
            targets,
            suppression,
        }
    }
}

impl TransitionContext<'_> {
    /// Makes the notification. The targets of a beginning are those of the definition. Updates and
    /// the end go to exactly the targets that were notified of the beginning, even if the
    /// definition has changed: a target that has opened an incident must receive its end, and one
    /// that has not has nothing to close. After a suppression ends, the alert is notified as a
    /// beginning.
    ///
    /// `None` if there is nothing to send, because the beginning is not stored.
    pub(super) async fn draft(
        &self,
        tx: &mut Tx<'_>,
    ) -> Result<Option<DraftNotification>, StoreError> {
        let suppression = self.transition.suppression;
        match (self.transition.change, self.assessment) {
            (AlertChange::Fired, Some(of)) => {
                let Some(facts) = self.live_facts(tx, of).await? else {
                    return Ok(None);
                };
                let nth_today = self.nth_today(tx).await?;
                let facts = AlertSnapshot { nth_today, ..facts };
                let targets = self.declared(of);
                Ok(Some(DraftNotification::of_beginning(
                    facts,
                    targets,
                    suppression,
                )))
            }
            (AlertChange::Fired, None) => Ok(None),
            (AlertChange::Developed(development), of) => {
                let Some(opening) = self.opening(tx).await? else {
                    return Ok(None);
                };
                let facts = self
                    .facts_of_development(tx, &opening, development, of)
                    .await?;
                let mut targets = self.notified_so_far(tx).await?;
                if let (AlertUpdate::Unmuted { .. }, Some(of)) = (development, of) {
                    targets.extend(self.declared(of));
                }
                Ok(Some(DraftNotification::of_beginning(
                    facts,
                    targets,
                    suppression,
                )))
            }
            (AlertChange::Resolved(end), _) => match self.opening(tx).await? {
                Some(opening) => self.notice_of_end(tx, &opening, end).await.map(Some),
                None => Ok(None),
            },
        }
    }

    async fn opening(&self, tx: &mut Tx<'_>) -> Result<Option<AlertTransition>, StoreError> {
        let episode = self.transition.episode.id;
        tx.episode_opening(self.slo, self.severity, episode).await
    }

    async fn acknowledgement(
        &self,
        tx: &mut Tx<'_>,
    ) -> Result<Option<Acknowledgement>, StoreError> {
        let episode = self.transition.episode.id;
        Ok(tx.acknowledgements(&[episode]).await?.remove(&episode))
    }

    async fn nth_today(&self, tx: &mut Tx<'_>) -> Result<Option<u32>, StoreError> {
        tx.nth_today(self.slo, self.severity, self.transition.at, SOON)
            .await
    }

    fn declared(&self, of: &SloEvaluation<'_>) -> Vec<Name> {
        let (notify, rule) = (&of.slo.notify, &self.transition.episode.rule);
        quality::recipients(notify, self.severity, rule, self.platform_target)
    }

    /// Returns the targets that were, or will be, notified of the beginning.
    async fn notified_so_far(&self, tx: &mut Tx<'_>) -> Result<Vec<Name>, StoreError> {
        let episode = self.transition.episode.id;
        tx.notified_targets(self.slo, self.severity, episode).await
    }

    async fn facts_of_development(
        &self,
        tx: &mut Tx<'_>,
        opening: &AlertTransition,
        development: AlertUpdate,
        assessment: Option<&SloEvaluation<'_>>,
    ) -> Result<AlertSnapshot, StoreError> {
        let live = match assessment {
            Some(of) => self.live_facts(tx, of).await?,
            None => None,
        };
        // If all windows are empty by now, the latest known facts are those of the beginning.
        let known = live.filter(|live| live.long.counts.total() > 0);
        Ok(AlertSnapshot {
            kind: development.kind(),
            version: self.transition.version,
            evaluated_at: self.transition.at,
            fired_at: Some(self.transition.episode.fired_at),
            began_at: Some(self.transition.episode.began_at),
            development: Some(self.dated(tx, development).await?),
            ..known.unwrap_or_else(|| opening.facts.clone())
        })
    }

    /// Sets the time of the last event to when it occurred instead of when its absence was noticed.
    async fn dated(
        &self,
        tx: &mut Tx<'_>,
        development: AlertUpdate,
    ) -> Result<AlertUpdate, StoreError> {
        Ok(match development {
            AlertUpdate::DataStopped {
                heard_until,
                missing: Missing::Events,
            } => AlertUpdate::DataStopped {
                heard_until: tx.last_event_minute(self.slo).await?.or(heard_until),
                missing: Missing::Events,
            },
            AlertUpdate::DataStopped {
                heard_until,
                missing: Missing::Ingest,
            } => AlertUpdate::DataStopped {
                heard_until: tx.ingest_healthy_until().await?.or(heard_until),
                missing: Missing::Ingest,
            },
            other => other,
        })
    }

    async fn notice_of_end(
        &self,
        tx: &mut Tx<'_>,
        opening: &AlertTransition,
        end: EpisodeEnd,
    ) -> Result<DraftNotification, StoreError> {
        let summary = self.summary(tx, &opening.facts, end).await?;
        let live = match (end, self.assessment) {
            (EpisodeEnd::Recovered, Some(of)) => self.live_facts(tx, of).await?,
            // Nothing is measured any more: the facts are those of the beginning, and workflows of
            // an SLO that was removed have no pages.
            (EpisodeEnd::Undeclared, _) | (_, None) => None,
        };
        let mut live = live.unwrap_or_else(|| opening.facts.clone());
        if end == EpisodeEnd::Undeclared {
            for worst in &mut live.worst {
                worst.page_url = None;
            }
        }
        let facts = AlertSnapshot {
            kind: TransitionKind::Resolved,
            version: self.transition.version,
            evaluated_at: self.transition.at,
            began_at: Some(self.transition.episode.began_at),
            episode_summary: Some(summary),
            context: Context {
                changes: opening.facts.context.changes.clone(),
                ..live.context
            },
            ..live
        };
        let targets = self.notified_so_far(tx).await?;
        let unheard = targets.is_empty();
        Ok(DraftNotification {
            facts,
            targets,
            suppression: self.transition.suppression.filter(|_| unheard),
        })
    }

    async fn summary(
        &self,
        tx: &mut Tx<'_>,
        opening: &AlertSnapshot,
        ended_by: EpisodeEnd,
    ) -> Result<EpisodeSummary, StoreError> {
        let fired_at = self.transition.episode.fired_at;
        let began = self.transition.episode.began_at;
        let to = self.transition.at.ceil_to(Resolution::Minute.length());
        let range = TimeRange::new(began, to);
        let counts = snapshot::cost(tx, self.slo, self.assessment, range).await?;
        let customers = match opening.customers_affected {
            Some(_) => Some(self.customers_affected_in(tx, range).await?),
            None => None,
        };
        let burn = self.assessment.map(|of| of.measured.burn_context(of.slo));
        Ok(EpisodeSummary {
            fired_at,
            resolved_at: self.transition.at,
            ended_by,
            flaps: self.transition.episode.flaps,
            counts,
            customers_affected: customers.map(|(affected, _)| affected),
            customers_affected_is_upper_bound: customers.is_some_and(|(_, up_to)| up_to),
            budget_spent: burn.and_then(|burn| burn.budget_spent_by(counts)),
            unusable: self.unusable(),
            before: Some(self.before(tx, opening).await?),
        })
    }

    /// Returns the share of unusable events, if the alert ends although they leave it in doubt.
    fn unusable(&self) -> Option<f64> {
        let of = self.assessment?;
        let signal = condition::verdict(&of.rules, self.severity, of.measured.freshness);
        let Signal::InDoubt { .. } = signal else {
            return None;
        };
        let rule = AlertSnapshot::measured(
            of.slo,
            &of.measured,
            &of.rules,
            self.severity,
            self.transition,
        );
        quality::unusable_share(rule?.long.counts)
    }

    /// Returns the facts by the numbers of this evaluation. `None` if no rule of the severity is
    /// left.
    async fn live_facts(
        &self,
        tx: &mut Tx<'_>,
        of: &SloEvaluation<'_>,
    ) -> Result<Option<AlertSnapshot>, StoreError> {
        let (slo, measured) = (of.slo, &of.measured);
        let numbers =
            AlertSnapshot::measured(slo, measured, &of.rules, self.severity, self.transition);
        let Some(numbers) = numbers else {
            return Ok(None);
        };
        let long = Duration::from_secs(numbers.long.secs);
        let range = whole_minutes(self.transition.at, long);
        let began_at = self.transition.episode.began_at;
        let sample = tx.event_sample(self.slo, range).await?;
        Ok(Some(AlertSnapshot {
            group: of.group.cloned(),
            acknowledged: self.acknowledgement(tx).await?,
            worst: self.worst(tx, of, range).await?,
            differences: differences(&sample.bad, &sample.good, DIFFERENCES),
            slowest_stage: self.slowest_stage(tx, range).await?,
            context: Box::pin(self.context(tx, of, &sample, long, began_at)).await?,
            page_url: self.page_base_url.map(|base| self.page_url(base)),
            ..numbers
        }))
    }

    /// Returns the parts of `range` that count, as far as the definition is known.
    fn counted(&self, range: TimeRange) -> Vec<TimeRange> {
        self.assessment
            .map_or_else(|| vec![range], |of| of.slo.counted(range))
    }

    /// Returns the URL of the incident's page, which stays valid even if the SLO is removed.
    fn page_url(&self, base: &str) -> String {
        let base = base.trim_end_matches('/');
        format!("{base}/incidents/{}", self.transition.episode.id)
    }

    /// Returns the URL of a workflow's page, which belongs to the SLO even if the alert is of a
    /// group.
    fn workflow_url(&self, of: &SloEvaluation<'_>, workflow: &WorkflowRecord) -> Option<String> {
        let base = self.page_base_url?.trim_end_matches('/');
        let (slo, key) = (&of.slo.name, workflow.key);
        Some(format!("{base}/workflows/{slo}/{key}"))
    }

    async fn worst(
        &self,
        tx: &mut Tx<'_>,
        of: &SloEvaluation<'_>,
        range: TimeRange,
    ) -> Result<Vec<WorstWorkflow>, StoreError> {
        let now = self.transition.at;
        let counted = self.counted(range);
        let bad = BadSelection::of(self.slo, &counted);
        let workflows = tx.worst_workflows(bad, now, WORST).await?;
        let named = |workflow: WorkflowRecord| WorstWorkflow {
            page_url: self.workflow_url(of, &workflow),
            links: self.trace_links(&workflow),
            took_secs: workflow.took_secs(now),
            ended: workflow.ended_at.is_some(),
            label: workflow.label,
            trace_id: workflow.trace_id,
            customer: workflow.customer.and_then(|name| self.named(of, &name)),
            outcome: workflow.outcome,
            started_at: workflow.started_at,
        };
        Ok(workflows.into_iter().map(named).collect())
    }

    async fn slowest_stage(
        &self,
        tx: &mut Tx<'_>,
        range: TimeRange,
    ) -> Result<Option<SlowestStage>, StoreError> {
        let (good, bad) = tx.stage_sums(self.slo, range).await?;
        let stages = WhereTimeGoes::new(&good, &bad);
        let told = |mean: &StageMean| {
            Some(SlowestStage {
                title: mean.stage.title(),
                share_of_excess: mean.share_of_excess?,
                bad_secs: mean.bad_secs?,
                good_secs: mean.good_secs?,
            })
        };
        Ok(stages.slowest().and_then(told))
    }

    /// Returns the number of customers with a bad event, and whether it is unknown who they are.
    async fn customers_affected_in(
        &self,
        tx: &mut Tx<'_>,
        range: TimeRange,
    ) -> Result<(i64, bool), StoreError> {
        let by_slo = tx
            .customer_impact(&[(self.slo, self.counted(range))])
            .await?;
        let impact = by_slo.get(&self.slo);
        Ok(impact.map_or((0, false), |impact| {
            (impact.affected, impact.total.affected_is_upper_bound)
        }))
    }
}
