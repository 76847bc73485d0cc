//! Creates the partitions for new data and removes data that is no longer needed, each kind of data
//! in a loop of its own and in steps that are committed one by one.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::{
    loops::{Loops, periodic::Periodic},
    prepare,
};
use crate::{
    domain::{
        alerting::threshold,
        counting::customers::LONGEST_BY_HOURS,
        health::CleanUp,
        model::{
            sampling::EndSampling,
            time::{TimeRange, Timestamp},
        },
        slo::{Catalog, Slo},
        workflow::reservoir::REMEMBERED,
    },
    evaluate::{overdue::losses_kept, stages::stage_spans_kept},
    store::{PagesAStep, Progress, Retention, Store, StoreError, Tx},
};

/// Hours and days are kept for a calendar year plus some weeks, so that a year can be compared with
/// the one before.
const KEEP_HOURS: Duration = Duration::from_hours(9600);
const DAY: Duration = Duration::from_hours(24);
/// Rows of open workflows are as many as start in this time, and read at each evaluation.
const SUM_OPEN_COUNTS: Duration = Duration::from_secs(10);
/// The time for which pages can show the past.
const KEEP_STATUSES: Duration = Duration::from_hours(90 * 24);

impl Loops {
    pub(super) fn spawn_retention(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let store = self.store.clone();
        let horizon = self.config.receiver.limits.horizon;
        tasks.spawn(
            periodic
                .clone()
                .run("partitions", CleanUp::INTERVAL, move |now| {
                    let store = store.clone();
                    async move {
                        prepare(&store, now, horizon).await?;
                        let mut tx = store.begin("identify the database").await?;
                        tx.keep_database_identity().await?;
                        tx.commit().await?;
                        anyhow::Ok(())
                    }
                }),
        );
        let store = self.store.clone();
        tasks.spawn(
            periodic
                .clone()
                .run("open_counts", SUM_OPEN_COUNTS, move |_| {
                    let store = store.clone();
                    async move {
                        let mut tx = store.begin("sum up the open workflows").await?;
                        tx.sum_open_counts().await?;
                        tx.commit().await?;
                        anyhow::Ok(())
                    }
                }),
        );
        let steps = CleanUpSteps {
            store: self.store.clone(),
            catalog: self.in_force.catalog.clone(),
            horizon,
            audit_kept: self.config.access.audit_retention,
            alerts_kept: self.config.evaluation.alert_retention,
        };
        for clean_up in CleanUp::ALL {
            let steps = steps.clone();
            tasks.spawn(periodic.clone().run_in_steps(
                clean_up.as_str(),
                CleanUp::INTERVAL,
                move |now| steps.clone().take(clean_up, now),
            ));
        }
    }
}

#[derive(Clone, Debug)]
struct CleanUpSteps {
    store: Store,
    catalog: watch::Receiver<Arc<Catalog>>,
    /// The maximum delay of accepted evidence.
    horizon: Duration,
    audit_kept: Duration,
    alerts_kept: Duration,
}

impl CleanUpSteps {
    /// Takes one step and commits it. Records the end of the clean-up if nothing is left.
    async fn take(self, clean_up: CleanUp, now: Timestamp) -> anyhow::Result<Progress> {
        if clean_up == CleanUp::Groups {
            self.free_group_slots(now).await?;
        }
        let mut tx = self.store.begin("delete expired data").await?;
        let progress = self.remove(clean_up, &mut tx, now).await?;
        if progress == Progress::Done {
            tx.note_clean_up(clean_up, now).await?;
        }
        tx.commit().await?;
        Ok(progress)
    }

    async fn remove(
        &self,
        clean_up: CleanUp,
        tx: &mut Tx<'_>,
        now: Timestamp,
    ) -> Result<Progress, StoreError> {
        let (catalog, horizon) = (Arc::clone(&self.catalog.borrow()), self.horizon);
        match clean_up {
            CleanUp::Epochs => {
                return tx
                    .drop_oldest_epoch(now, horizon, PagesAStep::DEFAULT)
                    .await;
            }
            CleanUp::PurgedKeys => return tx.forget_purged(now - horizon * 2).await,
            CleanUp::Requests => return tx.forget_requests(now - DAY).await,
            CleanUp::Sessions => return tx.forget_sessions(now).await,
            CleanUp::PastStatuses => return tx.forget_past_statuses(now - KEEP_STATUSES).await,
            CleanUp::AuditLog => return tx.forget_audit_entries(now - self.audit_kept).await,
            CleanUp::Incidents => return tx.forget_incidents(now - self.alerts_kept).await,
            CleanUp::Customers => {
                let days = longest_window(&catalog).max(horizon) + DAY * 3;
                let hours = horizon.max(LONGEST_BY_HOURS) + DAY * 2;
                return tx.drop_old_customers(now - hours, now - days).await;
            }
            CleanUp::StageSpans => {
                let keep = stage_spans_kept(slos(&catalog), horizon);
                return tx.forget_stage_spans(now, keep).await;
            }
            CleanUp::Counts => {
                let kept = retention(&catalog, now, horizon);
                tx.drop_old_counts(now, &kept).await?;
            }
            CleanUp::EndSampling => {
                tx.forget_end_sampling(now - EndSampling::REMEMBERED)
                    .await?;
            }
            CleanUp::Samples => {
                let sampled = TimeRange::ending_at(now, REMEMBERED * 2);
                tx.trim_samples(sampled).await?;
            }
            // Already done, in transactions of its own.
            CleanUp::Groups => {}
            CleanUp::Losses => {
                let kept = losses_kept(slos(&catalog), horizon);
                tx.forget_losses(now - kept).await?;
            }
            CleanUp::StageSums => {
                tx.forget_hop_waits(now).await?;
                tx.forget_start_spans(now).await?;
                tx.forget_sampled_hours(now).await?;
                return tx.forget_stage_sums(now).await;
            }
            CleanUp::ChangeEvents => {
                tx.delete_old_change_events(now - self.alerts_kept).await?;
            }
        }
        Ok(Progress::Done)
    }

    /// Frees the slots of groups without events, so that other groups can have them. Recording
    /// waits while this runs, for the groups of one SLO at a time.
    async fn free_group_slots(&self, now: Timestamp) -> Result<(), StoreError> {
        let catalog = Arc::clone(&self.catalog.borrow());
        for slo in slos(&catalog).filter(|slo| slo.group_by.is_some()) {
            let mut tx = self.store.begin("free the slots of groups").await?;
            tx.free_group_slots(&slo.name, slo.window.length(), now)
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

fn slos(catalog: &Catalog) -> impl Iterator<Item = &Slo> {
    catalog.slos.values().map(AsRef::as_ref)
}

fn retention(catalog: &Catalog, now: Timestamp, horizon: Duration) -> Retention {
    let minutes = catalog.slos.values().map(|slo| needs_minutes(slo, now));
    let minutes = minutes.max().unwrap_or(DAY * 30);
    Retention {
        minutes: minutes.max(horizon) + DAY * 2,
        hours: KEEP_HOURS.max(longest_window(catalog) + DAY * 2),
    }
}

/// Returns how long minutes are needed to exclude planned work to the minute.
fn needs_minutes(slo: &Slo, now: Timestamp) -> Duration {
    let window = if slo.exclusions.is_empty() {
        slo.window.needs_minutes(now)
    } else {
        slo.window.length()
    };
    let rules = slo.alerting.rules.iter().map(|rule| rule.long);
    let limits = slo.alerting.limits.iter();
    let limits = limits.flat_map(|rule| threshold::lookback_windows(rule.limit));
    rules.chain(limits).max().unwrap_or_default().max(window)
}

fn longest_window(catalog: &Catalog) -> Duration {
    let lengths = catalog.slos.values().map(|slo| slo.window.length());
    lengths.max().unwrap_or(DAY * 30)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::domain::{
        model::window::{Calendar, CalendarUnit, SloWindow},
        slo::{
            Indicator, SpanIndicator,
            exclusion::{Exclusion, ExclusionScope},
        },
        traceql::Selector,
    };

    fn by_the_year() -> Slo {
        let all = Selector::parse("{ true }").unwrap();
        Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            SloWindow::Calendar(Calendar {
                unit: CalendarUnit::Year,
                zone: Tz::Europe__London,
            }),
            Indicator::Span(SpanIndicator::new(all.clone(), all)),
        )
    }

    /// Returns the days for which minutes and hours are kept.
    fn kept(slo: Slo) -> (u64, u64) {
        let mut catalog = Catalog::default();
        catalog.slos.insert(slo.name.clone(), Arc::new(slo));
        let now = Timestamp::from_secs(1_795_327_200);
        let kept = retention(&catalog, now, DAY * 7);
        (
            kept.minutes.as_secs() / 86_400,
            kept.hours.as_secs() / 86_400,
        )
    }

    #[test]
    fn a_year_is_kept_by_the_hour_and_by_the_minute_where_planned_work_is_cut_out() {
        assert_eq!(kept(by_the_year()), (33, 400));
        let planned = Exclusion {
            name: "upgrade".parse().unwrap(),
            scope: ExclusionScope::All,
            reason: "upgrade".to_owned(),
            ranges: Vec::new(),
        };
        let with_planned_work = Slo {
            exclusions: vec![Arc::new(planned)],
            ..by_the_year()
        };
        assert_eq!(kept(with_planned_work), (368, 400));
    }
}
