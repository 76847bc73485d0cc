//! Evaluation: turns counts into alert states.
//!
//! [`Evaluator::tick`] is called every few seconds by every replica. It claims the SLOs that are
//! due, reads the counts of all their look-backs in a few queries, and takes one step of each
//! alert. An SLO is left out while the result of its last evaluation lasts: nothing was counted
//! since, and time alone changes nothing before the next minute. A change is written by
//! compare-and-swap on the alert's version. If it must be notified, its facts and deliveries are
//! written in the same transaction, so it is notified if and only if it has happened.
//!
//! The time is the only input of a tick. A tick is not retried, and may run on any number of
//! replicas at once: claims avoid that two replicas do the same work, and if both do, one
//! compare-and-swap fails. If anything cannot be read, the whole tick fails: no alert fires or
//! resolves on incomplete data.

mod context;
mod facts;
pub mod index_workflows;
mod inputs;
mod lasting;
pub mod overdue;
mod report;
pub mod resolve_links;
mod slo_evaluation;
mod snapshot;
pub mod stages;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::{
            alert::{
                self, Alert, AlertChange, AlertState, AlertStatus, Impact, Observation, Recovery,
                TickHistory, Transition, TransitionKind,
            },
            condition::Signal,
            inhibition,
            rule_status::Freshness,
            status::SloStatus,
            suppression::Suppression,
        },
        model::{
            ids::{Name, SloId},
            time::Timestamp,
        },
        notify::delivery::alert_key,
        slo::{Catalog, Severity, Slo, TargetKind},
    },
    failpoint::{self, Failpoint},
    store::{AlertTransition, Claims, Declaration, DueSlo, NewDeliveries, Store, StoreError, Tx},
};
pub use context::EnrichmentConfig;
use context::TransitionContext;
use inputs::{CountReader, EvaluationInputs, freshness_at, longest_pause};
use lasting::Evaluated;
pub use report::EvaluationReport;
use slo_evaluation::SloEvaluation;

/// The interval of evaluation, and the settings of its notifications.
#[derive(Clone, Debug)]
pub struct EvaluatorSettings {
    /// The interval at which each SLO is evaluated.
    pub interval: Duration,
    /// The URL of the pages; without it notifications have no links.
    pub page_base_url: Option<String>,
    /// The target of the operators of this service; gets tickets on data quality of SLOs without a
    /// ticket target.
    pub platform_target: Option<Name>,
}

/// Turns counts into statuses, alert states and notifications.
#[derive(Clone, Debug)]
pub struct Evaluator {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
    settings: EvaluatorSettings,
    enrichment: EnrichmentConfig,
    /// The reader of the last tick, with what it has read of days that are over.
    last_reader: Arc<Mutex<CountReader>>,
}

/// An SLO that is due, or a group of it, with the SLO's definition; without a definition only open
/// alerts are ended.
struct ClaimedSlo {
    due: DueSlo,
    slo: Option<Arc<Slo>>,
}

/// The next step of an alert, not yet written.
struct PlannedStep<'a> {
    slo: SloId,
    severity: Severity,
    seen: &'a Alert,
    next: Alert,
    transition: Option<Transition>,
    recovery: Option<Recovery>,
}

impl PlannedStep<'_> {
    /// Returns the status of the alert after the step.
    fn status(&self) -> AlertStatus {
        let mut status = self.next.to_status(self.severity);
        status.progress.recovery = self.recovery;
        status
    }

    /// Sets the time at which the problem began, if the step begins an incident.
    async fn find_beginning(
        &mut self,
        tx: &mut Tx<'_>,
        of: Option<&SloEvaluation<'_>>,
    ) -> Result<(), StoreError> {
        let (Some(fired), Some(of)) = (&mut self.transition, of) else {
            return Ok(());
        };
        if fired.change == AlertChange::Fired {
            let began_at =
                snapshot::beginning(tx, self.slo, self.severity, of, &fired.episode).await?;
            fired.episode.began_at = began_at;
            self.next = self.next.clone().begun_at(began_at);
        }
        Ok(())
    }
}

const SEVERITIES: [Severity; 2] = [Severity::Page, Severity::Ticket];

impl Evaluator {
    pub fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        settings: EvaluatorSettings,
    ) -> Self {
        Self {
            store,
            catalog,
            settings,
            enrichment: EnrichmentConfig::default(),
            last_reader: Arc::default(),
        }
    }

    /// Sets the data that is added to messages.
    #[must_use]
    pub fn with(self, enrichment: EnrichmentConfig) -> Self {
        Self { enrichment, ..self }
    }

    /// Evaluates every SLO that is due, over look-backs that end at `now`.
    pub async fn tick(&self, now: Timestamp) -> Result<EvaluationReport, StoreError> {
        let catalog = Arc::clone(&*self.catalog.borrow());
        let Claims { due, unchanged } = self.claim(now).await?;
        let claimed_slos = claimed_slos(due, &catalog);
        let mut report = EvaluationReport {
            evaluated: unchanged,
            unchanged,
            ..EvaluationReport::default()
        };
        if claimed_slos.is_empty() {
            return Ok(report);
        }
        let mut reading = self.read(&claimed_slos, now).await?;
        let mut evaluated = Evaluated::default();
        for claimed in &claimed_slos {
            let (status, lasts_until) = self
                .evaluate(claimed, &mut reading, &mut report)
                .await?
                .unzip();
            if claimed.due.group.is_none() {
                reading.of_slo = alerts_of(claimed, status.as_ref(), &reading);
            }
            evaluated.add(claimed, status, lasts_until.flatten());
        }
        let mut tx = self.store.begin("record the status of SLOs").await?;
        tx.upsert_statuses(&evaluated.statuses).await?;
        tx.note_lasting(now, &evaluated.lasting()).await?;
        tx.commit().await?;
        Ok(report)
    }

    /// Claims the SLOs that are due. None is left out while it is unknown whether all events were
    /// received.
    async fn claim(&self, now: Timestamp) -> Result<Claims, StoreError> {
        let interval = self.settings.interval;
        let mut tx = self.store.begin("claim SLOs to evaluate").await?;
        let is_fresh = freshness_at(now, tx.ingest_healthy_until().await?) == Freshness::Fresh;
        let unchanged_since = is_fresh.then(|| now - longest_pause(interval));
        let claims = tx.claim_due(now, interval, unchanged_since).await?;
        tx.commit().await?;
        Ok(claims)
    }

    /// Takes the steps of the alerts of one SLO. Returns its status and until when that lasts, or
    /// `None` if the SLO has no status any more or if another replica was faster.
    async fn evaluate(
        &self,
        claimed: &ClaimedSlo,
        reading: &mut EvaluationInputs,
        report: &mut EvaluationReport,
    ) -> Result<Option<(SloStatus, Option<Timestamp>)>, StoreError> {
        let measured = reading.take_measured(claimed.due.id);
        let declared = claimed.slo.as_deref().zip(measured);
        let assessment = declared.map(|(slo, measured)| SloEvaluation {
            rules: measured.rule_statuses(slo),
            measured,
            slo,
            group: claimed.due.group.as_ref(),
        });
        report.evaluated += 1;
        let (ticks, gap) = reading.ticks(claimed.due.id);
        report.note(claimed, assessment.as_ref(), gap);
        let mut alerts = Vec::new();
        for severity in SEVERITIES {
            let Some(seen) = reading.alerts.get(&(claimed.due.id, severity)) else {
                continue;
            };
            let moment = StepContext {
                claimed,
                assessment: assessment.as_ref(),
                reading,
                ticks,
                goes_to_chat: self.goes_to_chat(claimed),
                own: &alerts,
            };
            let mut step = moment.next_step(severity, seen);
            if step.next != *seen && !self.take(&mut step, assessment.as_ref()).await? {
                report.lost_races += 1;
                return Ok(None);
            }
            report.count(step.transition.as_ref());
            alerts.push(step.status());
        }
        Ok(assessment.map(|of| {
            alerts.retain(|alert| {
                of.slo.alerting.declares(alert.severity) || alert.state != AlertState::Inactive
            });
            let status = SloStatus::new(of.slo, &of.measured, of.rules, alerts).after_ticks(ticks);
            let lasts_until = status.lasts_until(of.slo, &of.measured);
            (status, lasts_until)
        }))
    }

    fn goes_to_chat(&self, claimed: &ClaimedSlo) -> bool {
        let catalog = self.catalog.borrow();
        let targets = claimed.slo.iter().flat_map(|slo| &slo.notify.page);
        targets.into_iter().any(|name| is_chat(&catalog, name))
    }

    /// Returns the targets of a transition. Reminders go to chats only: other targets repeat alerts
    /// themselves or keep them open.
    fn recipients(&self, kind: TransitionKind, mut targets: Vec<Name>) -> Vec<Name> {
        if kind == TransitionKind::Reminded {
            let catalog = self.catalog.borrow();
            targets.retain(|name| is_chat(&catalog, name));
        }
        targets
    }

    /// Writes a step with all its consequences in one transaction. Returns false if another replica
    /// was faster.
    async fn take(
        &self,
        step: &mut PlannedStep<'_>,
        assessment: Option<&SloEvaluation<'_>>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin("record an alert's change").await?;
        step.find_beginning(&mut tx, assessment).await?;
        let (seen, next) = (step.seen.version, &step.next);
        if !tx.swap_alert(step.slo, step.severity, seen, next).await? {
            return Ok(false);
        }
        let Some(transition) = &step.transition else {
            tx.commit().await?;
            return Ok(true);
        };
        failpoint::reach(Failpoint::AlertSwapped);
        let context = TransitionContext {
            slo: step.slo,
            severity: step.severity,
            transition,
            assessment,
            page_base_url: self.settings.page_base_url.as_deref(),
            platform_target: self.settings.platform_target.as_ref(),
            enrichment: &self.enrichment,
        };
        if let (Some(of), true) = (assessment, transition.is_notified()) {
            let silences = tx.silences_ended_after(transition.at).await?;
            let muted = of.silenced(step.severity, &silences, transition.at);
            if muted.is_some() {
                // A silence was created after the alert was read: the next tick evaluates
                // it again.
                return Ok(false);
            }
        }
        // Boxed, as it is rare and large: ticks without a transition need not carry it.
        if let Some(draft) = Box::pin(context.draft(&mut tx)).await? {
            let recorded = AlertTransition {
                id: Uuid::now_v7(),
                slo: step.slo,
                at: transition.at,
                facts: draft.facts,
                suppression: draft.suppression,
            };
            tx.insert_transition(&recorded).await?;
            if let Some(of) = assessment {
                Box::pin(snapshot::keep(&mut tx, step.slo, of, &recorded.facts)).await?;
            }
            let queued = NewDeliveries {
                transition: recorded.id,
                targets: &self.recipients(recorded.facts.kind, draft.targets),
                ordering_key: &alert_key(
                    &recorded.facts.slo,
                    recorded.facts.group.as_ref(),
                    step.severity,
                ),
                severity: step.severity,
            };
            tx.enqueue_deliveries(queued, transition.at).await?;
            tracing::info!(
                slo.name = %recorded.facts.slo, severity = ?step.severity, kind = ?recorded.facts.kind,
                version = recorded.facts.version, "alert of `{}` changed", recorded.facts.slo
            );
        }
        tx.commit().await?;
        failpoint::reach(Failpoint::TransitionCommitted);
        Ok(true)
    }
}

/// Returns the claimed SLOs and groups with their definitions.
fn claimed_slos(due: Vec<DueSlo>, catalog: &Catalog) -> Vec<ClaimedSlo> {
    let claimed = |due: DueSlo| match due.declaration {
        // Declared by a replica with newer files than ours, which evaluates it.
        Declaration::Declared => catalog
            .slos
            .get(&due.name)
            .filter(|slo| due.group.is_none() || slo.group_by.is_some())
            .map(|slo| ClaimedSlo {
                slo: Some(Arc::clone(slo)),
                due,
            }),
        Declaration::Removed => Some(ClaimedSlo { due, slo: None }),
    };
    due.into_iter().filter_map(claimed).collect()
}

fn is_chat(catalog: &Catalog, target: &Name) -> bool {
    let target = catalog.targets.get(target);
    target.is_some_and(|target| {
        matches!(
            target.kind,
            TargetKind::Slack { .. } | TargetKind::SlackBot { .. }
        )
    })
}

/// Returns the alerts of an SLO for the evaluation of its groups. If another replica was faster,
/// these are the alerts as they were read before.
fn alerts_of(
    claimed: &ClaimedSlo,
    status: Option<&SloStatus>,
    reading: &EvaluationInputs,
) -> Vec<AlertStatus> {
    if let Some(status) = status {
        return status.alerts.clone();
    }
    let read = SEVERITIES.iter().filter_map(|severity| {
        let alert = reading.alerts.get(&(claimed.due.id, *severity))?;
        Some(alert.to_status(*severity))
    });
    read.collect()
}

/// The inputs of one step of an alert.
struct StepContext<'a> {
    claimed: &'a ClaimedSlo,
    assessment: Option<&'a SloEvaluation<'a>>,
    reading: &'a EvaluationInputs,
    ticks: TickHistory,
    /// True if pages of the SLO go to a chat, where older messages scroll out of sight.
    goes_to_chat: bool,
    /// More severe alerts of the same SLO, after this evaluation.
    own: &'a [AlertStatus],
}

impl StepContext<'_> {
    fn silenced(&self, severity: Severity) -> Option<Suppression> {
        self.assessment?
            .silenced(severity, &self.reading.silences, self.reading.now)
    }

    fn next_step<'a>(&self, severity: Severity, seen: &'a Alert) -> PlannedStep<'a> {
        let observation = self.observation(severity, seen);
        let resolve_after = self
            .assessment
            .map_or(Duration::ZERO, |of| of.resolve_after(seen));
        let (next, transition) = alert::step(seen.clone(), &observation, resolve_after);
        PlannedStep {
            slo: self.claimed.due.id,
            severity,
            seen,
            recovery: Recovery::of(&next, &observation, resolve_after),
            next,
            transition,
        }
    }

    /// Returns whether the page is firing and not acknowledged.
    fn is_open(&self) -> bool {
        let page = (self.claimed.due.id, Severity::Page);
        let episode = self.reading.alerts.get(&page).and_then(Alert::episode);
        episode.is_some_and(|episode| !self.reading.acknowledged.contains(&episode.id))
    }

    fn observation(&self, severity: Severity, seen: &Alert) -> Observation {
        let freshness = self
            .assessment
            .map_or(self.reading.freshness, |of| of.measured.freshness);
        let verdict = self
            .assessment
            .map_or(Signal::Undeclared, |of| of.signal(severity, seen));
        let of_slo = match self.claimed.due.group {
            Some(_) => self.reading.of_slo.as_slice(),
            None => &[],
        };
        let inhibitor = inhibition::inhibitor(severity, self.own, of_slo);
        Observation {
            at: self.reading.now,
            missing: verdict.missing(freshness),
            verdict,
            continuity: self.ticks.continuity(),
            doubt_clears_after: self
                .assessment
                .map_or(Duration::ZERO, |of| of.doubt_clears_after(seen)),
            impact: self
                .assessment
                .map_or_else(Impact::default, SloEvaluation::impact),
            muted: self
                .silenced(severity)
                .or(inhibitor.map(|by| Suppression::Inhibited { by })),
            unacknowledged: severity == Severity::Page && self.goes_to_chat && self.is_open(),
            new_episode: Uuid::now_v7(),
        }
    }
}
