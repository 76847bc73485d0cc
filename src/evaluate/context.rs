//! The context of a transition in addition to the numbers of its rule: change events, the trend,
//! traces, and the customers affected, as far as the settings allow.

use std::time::Duration;

use super::{SloEvaluation, inputs::whole_minutes};
use crate::{
    domain::{
        alerting::{
            alert::Transition,
            change_event::concerned,
            snapshot::{
                AlertSnapshot, Before, ChangeKind, Compared, Context, RecentChange, TopCustomer,
                Trend,
            },
            trace_link::{TraceLink, TraceViewer, Traced},
        },
        counting::differences::share_with,
        model::{
            ids::{Name, SloId},
            time::{Resolution, TimeRange, Timestamp},
        },
        notify::signed_links::signing::SigningKey,
        slo::{CustomerDetails, Severity},
        workflow::shapes::SharedShapes,
    },
    store::{BadSelection, EventSample, StoreError, Tx, WorkflowRecord},
};

/// Changes are searched from this long before an incident began.
const BEFORE: Duration = Duration::from_hours(1);
/// The maximum number of changes in a notification.
const CHANGES: usize = 3;
const MOST_CHANGE_EVENTS: u32 = 50;
/// An attribute value is new if it was not seen for this long before the incident.
const FAMILIAR: Duration = Duration::from_hours(24);
const TOP_CUSTOMERS: u32 = 3;

/// The data that an installation adds to messages.
#[derive(Clone, Debug, Default)]
pub struct EnrichmentConfig {
    /// The systems that can show a trace.
    pub trace_viewers: Vec<TraceViewer>,
    /// The key for customers' pseudonyms; without it customers are only counted.
    pub pseudonyms: Option<SigningKey>,
    /// Spans of the last hour, in which the nearest match of a selector is searched.
    pub shapes: SharedShapes,
}

/// A transition and everything that is known about it.
pub(super) struct TransitionContext<'a> {
    pub(super) slo: SloId,
    pub(super) severity: Severity,
    pub(super) transition: &'a Transition,
    pub(super) assessment: Option<&'a SloEvaluation<'a>>,
    pub(super) page_base_url: Option<&'a str>,
    pub(super) platform_target: Option<&'a Name>,
    pub(super) enrichment: &'a EnrichmentConfig,
}

impl TransitionContext<'_> {
    /// Returns the context of a transition, over the long window of the rule.
    pub(super) async fn context(
        &self,
        tx: &mut Tx<'_>,
        of: &SloEvaluation<'_>,
        sample: &EventSample,
        long: Duration,
        began_at: Timestamp,
    ) -> Result<Context, StoreError> {
        let now = self.transition.at;
        let range = whole_minutes(now, long);
        let newest = tx.newest_minute_with_events(self.slo, range).await?;
        let counts = of.measured.counted(long);
        Ok(Context {
            changes: self.recent_changes(tx, of, sample, began_at).await?,
            trend: self.trend(tx, of, long).await?,
            top_customers: self.top_customers(tx, of, range).await?,
            // Events that arrived after the counts were read are in the sample, but not in this
            // message.
            compared: Some(Compared {
                bad: at_most(sample.bad.len(), counts.bad()),
                good: at_most(sample.good.len(), counts.good),
            }),
            data_until: newest.map(|minute| (minute + Resolution::Minute.length()).min(now)),
        })
    }

    /// Returns what was wrong when the alert fired, and the present value of its most distinctive
    /// attribute.
    pub(super) async fn before(
        &self,
        tx: &mut Tx<'_>,
        opening: &AlertSnapshot,
    ) -> Result<Before, StoreError> {
        let difference = opening.differences.first();
        let good_ratio_now = match difference {
            None => None,
            Some(difference) => {
                let short = Duration::from_secs(opening.short.secs);
                let range = whole_minutes(self.transition.at, short);
                let sample = tx.event_sample(self.slo, range).await?;
                share_with(difference, &sample.good)
            }
        };
        Ok(Before {
            bad_ratio: opening.long.counts.bad_ratio(),
            difference: difference.cloned(),
            good_ratio_now,
        })
    }

    /// Returns the changes that were reported or first seen from an hour before `began_at` until
    /// now.
    async fn recent_changes(
        &self,
        tx: &mut Tx<'_>,
        of: &SloEvaluation<'_>,
        sample: &EventSample,
        began_at: Timestamp,
    ) -> Result<Vec<RecentChange>, StoreError> {
        let now = self.transition.at;
        let range = TimeRange::new(began_at - BEFORE, now + Resolution::Minute.length());
        let services = concerned(
            of.slo.service.as_deref(),
            sample.bad.iter().chain(&sample.good),
        );
        let reported = tx
            .change_events(range, services.as_deref(), MOST_CHANGE_EVENTS)
            .await?;
        let seen = tx.versions_first_seen(self.slo, range, FAMILIAR).await?;
        let is_reported = |version: &str| {
            let mut reported = reported.iter();
            reported.any(|event| event.version.as_deref() == Some(version))
        };
        let seen: Vec<RecentChange> = seen
            .into_iter()
            .filter(|seen| !is_reported(&seen.value))
            .map(|seen| RecentChange {
                kind: ChangeKind::FirstSeen,
                at: seen.at,
                title: format!("{} = {}", seen.attribute, seen.value),
                url: None,
            })
            .collect();
        let reported = reported.into_iter().map(RecentChange::from);
        Ok(RecentChange::nearest(
            reported.chain(seen).collect(),
            began_at,
            CHANGES,
        ))
    }

    /// Returns the share of bad events over time until now.
    async fn trend(
        &self,
        tx: &mut Tx<'_>,
        of: &SloEvaluation<'_>,
        long: Duration,
    ) -> Result<Option<Trend>, StoreError> {
        let mut ranges = Trend::ranges(long, self.transition.at);
        let first = of.measured.first_event_at;
        ranges.retain(|range| first.is_none_or(|first| range.to > first));
        let pieces: Vec<_> = ranges
            .iter()
            .map(|range| (self.slo, of.slo.counted(*range)))
            .collect();
        let counts = tx.sums_of_sets(&pieces).await?;
        let observed = of.measured.burn_context(of.slo).observed;
        Ok(Trend::new(&ranges, &counts, observed))
    }

    /// Returns the most affected customers, if the team wants their names in messages.
    async fn top_customers(
        &self,
        tx: &mut Tx<'_>,
        of: &SloEvaluation<'_>,
        range: TimeRange,
    ) -> Result<Vec<TopCustomer>, StoreError> {
        if of.slo.customer.is_none() || self.named(of, "").is_none() {
            return Ok(Vec::new());
        }
        let counted = of.slo.counted(range);
        let bad = BadSelection::of(self.slo, &counted);
        let worst = tx.worst_customers(bad, TOP_CUSTOMERS).await?;
        let named = worst.worst.into_iter().filter_map(|one| {
            Some(TopCustomer {
                customer: self.named(of, &one.customer)?,
                bad: one.bad,
            })
        });
        Ok(named.collect())
    }

    /// Returns links to the trace of a bad workflow.
    pub(super) fn trace_links(&self, workflow: &WorkflowRecord) -> Vec<TraceLink> {
        let to = workflow.ended_at.unwrap_or(self.transition.at);
        let traced = Traced {
            trace_id: workflow.trace_id,
            label: &workflow.label,
            from: workflow.started_at.unwrap_or(to),
            to,
        };
        TraceViewer::links(&self.enrichment.trace_viewers, traced)
    }

    /// Returns the name of a customer as messages show it.
    pub(super) fn named(&self, of: &SloEvaluation<'_>, customer: &str) -> Option<String> {
        match of.slo.customer_details {
            CustomerDetails::None | CustomerDetails::Counts => None,
            CustomerDetails::Hashed => {
                let key = self.enrichment.pseudonyms.as_ref()?;
                Some(key.pseudonym(customer))
            }
            CustomerDetails::Names => Some(customer.to_owned()),
        }
    }
}

fn at_most(sampled: usize, counted: i64) -> usize {
    usize::try_from(counted).map_or(0, |counted| sampled.min(counted))
}
