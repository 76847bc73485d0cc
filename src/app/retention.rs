//! Removes what nothing needs any more, once an hour.

use std::{sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use super::{loops::Loops, periodic::Periodic, prepare};
use crate::{
    domain::{
        alerting::limit,
        counting::customers::HOURS_TELL,
        model::{
            sampling::EndSampling,
            time::{TimeRange, Timestamp},
        },
        slo::{Catalog, Slo},
        workflow::reservoir::REMEMBERED,
    },
    evaluate::{overdue::losses_kept, stages::stage_spans_kept},
    store::{Retention, Store},
};

const RETENTION_INTERVAL: Duration = Duration::from_hours(1);
/// Hours and days are kept for a calendar year and some weeks to compare.
const KEEP_HOURS: Duration = Duration::from_hours(9600);
const DAY: Duration = Duration::from_hours(24);

impl Loops {
    pub(super) fn spawn_retention(&self, tasks: &TaskTracker, periodic: &Periodic) {
        let (store, catalog) = (self.store.clone(), self.in_force.catalog.clone());
        let horizon = self.config.receiver.horizon;
        tasks.spawn(
            periodic
                .clone()
                .run("retention", RETENTION_INTERVAL, move |now| {
                    let (store, catalog) = (store.clone(), Arc::clone(&catalog.borrow()));
                    async move {
                        prepare(&store, now, horizon).await?;
                        let mut tx = store.begin("drop what is no longer needed").await?;
                        tx.drop_oldest_epoch(now, horizon).await?;
                        let dropped = tx
                            .drop_old_counts(now, &retention(&catalog, (now, horizon)))
                            .await?;
                        tx.forget_end_sampling(now - EndSampling::REMEMBERED)
                            .await?;
                        tx.commit().await?;
                        let mut tx = store.begin("trim the samples of events").await?;
                        let sampled = TimeRange::ending_at(now, REMEMBERED * 2);
                        tx.trim_samples(sampled).await?;
                        tx.forget_requests(now - DAY).await?;
                        tx.commit().await?;
                        let mut tx = store.begin("drop customers of long ago").await?;
                        let days = longest_window(&catalog).max(horizon) + DAY * 3;
                        let hours = horizon.max(HOURS_TELL) + DAY * 2;
                        tx.drop_old_customers(now - hours, now - days).await?;
                        tx.commit().await?;
                        free_group_places(&store, &catalog, now).await?;
                        forget_losses(&store, &catalog, (now, horizon)).await?;
                        forget_stages(&store, &catalog, (now, horizon)).await?;
                        let mut tx = store.begin("forget what happened long ago").await?;
                        tx.delete_old_change_events(now).await?;
                        tx.commit().await?;
                        Ok(dropped)
                    }
                }),
        );
    }
}

/// Frees the places of groups without events, so that others can have them.
async fn free_group_places(store: &Store, catalog: &Catalog, now: Timestamp) -> anyhow::Result<()> {
    let grouped = catalog.slos.values().filter(|slo| slo.group_by.is_some());
    for slo in grouped {
        let mut tx = store.begin("free the places of groups").await?;
        tx.free_group_places(&slo.name, slo.window.length(), now)
            .await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn forget_losses(
    store: &Store,
    catalog: &Catalog,
    (now, horizon): (Timestamp, Duration),
) -> anyhow::Result<()> {
    let slos = catalog.slos.values().map(AsRef::as_ref);
    let mut tx = store.begin("forget when evidence was lost").await?;
    tx.forget_losses(now - losses_kept(slos, horizon)).await?;
    Ok(tx.commit().await?)
}

/// What tells where the time went: single spans, a day in each transaction, and old sums.
async fn forget_stages(
    store: &Store,
    catalog: &Catalog,
    (now, horizon): (Timestamp, Duration),
) -> anyhow::Result<()> {
    let slos = catalog.slos.values().map(AsRef::as_ref);
    let keep = stage_spans_kept(slos, horizon);
    loop {
        let mut tx = store.begin("forget spans of stages").await?;
        let forgot = tx.forget_stage_spans(now, keep).await?;
        tx.commit().await?;
        if !forgot {
            break;
        }
    }
    let mut tx = store.begin("forget old sums of stages").await?;
    tx.forget_stage_sums(now).await?;
    tx.commit().await?;
    Ok(())
}

fn retention(catalog: &Catalog, (now, horizon): (Timestamp, Duration)) -> Retention {
    let minutes = catalog.slos.values().map(|slo| needs_minutes(slo, now));
    let minutes = minutes.max().unwrap_or(DAY * 30);
    Retention {
        minutes: minutes.max(horizon) + DAY * 2,
        hours: KEEP_HOURS.max(longest_window(catalog) + DAY * 2),
    }
}

/// Planned work is cut out to the minute, however long ago it was.
fn needs_minutes(slo: &Slo, now: Timestamp) -> Duration {
    let window = if slo.exclusions.is_empty() {
        slo.window.needs_minutes(now)
    } else {
        slo.window.length()
    };
    let rules = slo.alerting.rules.iter().map(|rule| rule.long);
    let limits = slo.alerting.limits.iter();
    let limits = limits.flat_map(|rule| limit::look_backs(rule.limit));
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

    /// Days that minutes and hours are kept for.
    fn kept(slo: Slo) -> (u64, u64) {
        let mut catalog = Catalog::default();
        catalog.slos.insert(slo.name.clone(), Arc::new(slo));
        let now = Timestamp::from_secs(1_795_327_200);
        let kept = retention(&catalog, (now, DAY * 7));
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
            stretches: Vec::new(),
        };
        let with_planned_work = Slo {
            exclusions: vec![Arc::new(planned)],
            ..by_the_year()
        };
        assert_eq!(kept(with_planned_work), (368, 400));
    }
}
