//! The counts of one SLO at one moment, from which its rules are evaluated.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{LAST_HOUR, PeriodStatus};
use crate::domain::{
    alerting::{
        burn_rate::{Ageing, BurnBounds, BurnContext, BurnRate, PeriodSoFar, Window},
        condition,
        end_shortfall::{EndShortfall, ExpectedEnds},
        quality,
        rule_status::{CountsByLength, Freshness, RuleStatus, WindowStatus},
        rule_statuses::RuleStatuses,
        settled::SettledCounts,
        threshold::{self, CustomersByLength, Numbers, ThresholdStatus},
    },
    counting::{customers::CustomerTotal, time_used::TimeUsed},
    model::{
        counts::{EventCounts, StartSpans},
        ids::Name,
        time::{TimeRange, Timestamp},
    },
    slo::{Indicator, Limit, Slo, ThresholdRule},
};

/// The counts of one SLO at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The moment that all look-backs end at.
    pub at: Timestamp,
    /// The time of the earliest event ever counted.
    pub first_event_at: Option<Timestamp>,
    /// True if an end was ever joined with a start, under any definition of the SLO.
    pub has_ended: bool,
    /// The nearest match to a `finish` that no span of the last hour matched.
    pub nearest_finish: Option<String>,
    /// Set if workflows finished before the last change of `finish` and none since: the time of
    /// that change.
    pub finish_unmatched_since: Option<Timestamp>,
    /// By [`lookback_windows`]. Includes the timeouts that [`Self::ends_missing`] represents.
    pub counts: CountsByLength,
    /// Look-backs in which fewer ends arrived than expected.
    pub ends_missing: BTreeMap<Duration, EndShortfall>,
    /// The expectation of ends, for an SLO that needs one.
    pub expected_ends: Option<ExpectedEnds>,
    /// The windows that end where all timeouts are counted; `None` if nothing was bad lately.
    pub settled: Option<SettledCounts>,
    /// Set for a calendar window: the events of its current period.
    pub in_period: EventCounts,
    /// In the last hour; none for a group.
    pub starts: StartSpans,
    /// Since the active incident began.
    pub in_incident: Option<EventCounts>,
    /// For a rolling window; empty if nothing burns.
    pub ageing: Ageing,
    /// Workflows that have started and are not judged.
    pub time_used: TimeUsed,
    pub overdue: i64,
    /// Distinct customers with a bad event in the last hour.
    pub customers_affected: i64,
    /// Customers with any event; `None` if none is affected.
    pub customers_total: Option<CustomerTotal>,
    /// Distinct customers with a bad event, by the look-backs of rules.
    pub customers: CustomersByLength,
    pub freshness: Freshness,
}

/// Returns all lengths that an evaluation of `slo` counts events over.
pub fn lookback_windows(slo: &Slo) -> BTreeSet<Duration> {
    let of_rules = slo
        .alerting
        .rules
        .iter()
        .flat_map(|rule| [rule.long, rule.short]);
    let limits = slo.alerting.limits.iter();
    let of_limits = limits.flat_map(|rule| threshold::lookback_windows(rule.limit));
    let of_slo = [slo.window.length(), LAST_HOUR];
    of_rules.chain(of_limits).chain(of_slo).collect()
}

impl Measured {
    /// Marks the counts if they are inconsistent, after a defect of the service or a faulty restore
    /// of the database: then no alert may fire or resolve on them.
    #[must_use]
    pub fn or_inconsistent(self) -> Self {
        let settled = self.settled.iter().flat_map(|of| of.counts.values());
        let counts = self.counts.values().chain([&self.in_period]).chain(settled);
        let customers = self.customers.values().map(|of| &of.count);
        let is_inconsistent = counts.into_iter().any(|counts| !counts.is_possible())
            || customers
                .chain([&self.customers_affected])
                .any(|count| *count < 0);
        Self {
            freshness: if is_inconsistent {
                Freshness::Inconsistent
            } else {
                self.freshness
            },
            ..self
        }
    }

    pub fn counted(&self, length: Duration) -> EventCounts {
        self.counts.get(&length).copied().unwrap_or_default()
    }

    /// Returns the inputs of the burn rates of `slo`, with unusable events counted as good.
    pub fn burn_context(&self, slo: &Slo) -> BurnContext {
        self.burn_bounds(slo).as_good
    }

    /// Returns whether the budget falls in any look-back, so that a forecast is needed.
    pub fn burns(&self, slo: &Slo) -> bool {
        let burn = self.burn_context(slo);
        let falls = |(length, counts): (&Duration, &EventCounts)| {
            let counts = counts.as_good();
            let length = *length;
            let pace = burn.burn_rate(Window { length, counts });
            length < burn.window && pace.is_some_and(|pace| pace.reaches(1.0))
        };
        let settled = self.settled.iter().flat_map(|settled| &settled.counts);
        self.counts.iter().chain(settled).any(falls)
    }

    /// Returns how long the budget lasts at the rate of the long window of the rule that fired, or
    /// of the last hour if none did. A rule on exhaustion has its own value.
    pub fn budget_lasts(
        &self,
        slo: &Slo,
        rules: &RuleStatuses,
        fired: Option<&Name>,
    ) -> Option<Duration> {
        let burn = self.burn_context(slo);
        if let Some(secs) = fired.and_then(|fired| rules.exhaustion(fired)) {
            return Duration::try_from_secs_f64(secs)
                .ok()
                .filter(|lasts| !lasts.is_zero());
        }
        let of_rule = fired.and_then(|fired| rules.windows_of(fired));
        // A short window below a rate of 1 shows that the budget has stopped falling.
        let short = of_rule.filter(|rule| rule.limit.is_none());
        let short = short.and_then(|rule| rule.short.rate());
        if short.is_some_and(|rate| !rate.reaches(1.0)) {
            return None;
        }
        let long = of_rule.and_then(|rule| rule.long.rate());
        burn.time_to_exhaustion(long.or(self.pace(&burn))?, &self.ageing)
    }

    fn look_back(&self, length: Duration) -> Window {
        Window {
            length,
            counts: self.counted(length).as_good(),
        }
    }

    pub(super) fn burn_bounds(&self, slo: &Slo) -> BurnBounds {
        self.burn_bounds_at(slo, self.at)
    }

    /// Returns them for windows that end at `end`.
    fn burn_bounds_at(&self, slo: &Slo, end: Timestamp) -> BurnBounds {
        let window = slo.window.length();
        BurnBounds::new(&BurnContext {
            objective: slo.objective,
            kind: slo.alerting.burn,
            window,
            in_window: self.counted(window),
            observed: self
                .first_event_at
                .map_or(Duration::ZERO, |first| end.saturating_since(first))
                .min(window),
            period: slo.window.period(self.at).map(|period| PeriodSoFar {
                counts: self.in_period,
                rest: period.to.saturating_since(self.at),
            }),
        })
    }

    /// Returns the events whose bad ones spend the budget of `slo`.
    pub(super) fn budgeted(&self, slo: &Slo) -> EventCounts {
        match slo.window.period(self.at) {
            Some(_) => self.in_period,
            None => self.counted(slo.window.length()),
        }
    }

    pub(super) fn period_status(&self, slo: &Slo, burn: &BurnContext) -> Option<PeriodStatus> {
        let TimeRange { from, to } = slo.window.period(self.at)?;
        Some(PeriodStatus {
            from,
            to,
            expected_events: burn.budget_volume(),
        })
    }

    /// Returns the statuses of the rules of `slo`.
    pub fn rule_statuses(&self, slo: &Slo) -> RuleStatuses {
        let burn = self.burn_bounds(slo);
        let mut statuses = RuleStatuses {
            rules: self.burn_statuses(slo, &burn),
            limits: self.limit_statuses(slo, &burn),
            quality: Vec::new(),
        };
        statuses.quality = self.quality_statuses(slo, &burn.as_good, &statuses);
        for window in statuses.windows_mut() {
            let settled = self
                .settled
                .as_ref()
                .filter(|_| window.settled_until.is_some());
            let missing = settled.map_or(&self.ends_missing, |settled| &settled.ends_missing);
            let length = Duration::from_secs(window.secs);
            window.ends_missing = missing.get(&length).copied();
        }
        statuses
    }

    /// Looks at each rule on burn rates twice, if anything lately was bad.
    fn burn_statuses(&self, slo: &Slo, burn: &BurnBounds) -> Vec<RuleStatus> {
        let guard = slo.alerting.guard;
        let rules = slo.alerting.rules.iter();
        let now = rules.map(|rule| condition::rule_status(rule, guard, burn, &self.counts));
        let Some(SettledCounts { up_to, counts, .. }) = &self.settled else {
            return now.collect();
        };
        let burn = self.burn_bounds_at(slo, *up_to);
        let rules = slo.alerting.rules.iter();
        let settled = rules.map(|rule| condition::rule_status(rule, guard, &burn, counts));
        now.zip(settled)
            .map(|(now, settled)| condition::worse_of(now, settled.settled_at(*up_to)))
            .collect()
    }

    fn limit_statuses(&self, slo: &Slo, burn: &BurnBounds) -> Vec<ThresholdStatus> {
        let counting = |each: fn(EventCounts) -> EventCounts| -> CountsByLength {
            let counts = self.counts.iter();
            counts.map(|(length, of)| (*length, each(*of))).collect()
        };
        let as_good = counting(EventCounts::as_good);
        let as_bad = counting(EventCounts::as_bad);
        let status = |rule: &ThresholdRule, burn, counts| {
            let numbers = Numbers {
                burn,
                guard: slo.alerting.guard,
                counts,
                customers: &self.customers,
                time_used: &self.time_used,
                freshness: self.freshness_for(slo, rule),
            };
            threshold::threshold_status(rule, numbers)
        };
        let limits = slo.alerting.limits.iter();
        limits
            .map(|rule| {
                let at_worst = status(rule, &burn.as_bad, &as_bad);
                let mut status = status(rule, &burn.as_good, &as_good).unless_in_doubt(&at_worst);
                status.window.counts = self.counted(Duration::from_secs(status.window.secs));
                status
            })
            .collect()
    }

    /// Returns the statuses of the rules on data quality; none for an SLO without rules, which
    /// requests no alerts.
    fn quality_statuses(
        &self,
        slo: &Slo,
        burn: &BurnContext,
        statuses: &RuleStatuses,
    ) -> Vec<ThresholdStatus> {
        if slo.alerting.rules.is_empty() && slo.alerting.limits.is_empty() {
            return Vec::new();
        }
        let counts = self.counted(LAST_HOUR);
        let window = WindowStatus::of(LAST_HOUR, counts, self.pace(burn), burn);
        let never_ended = match slo.indicator {
            Indicator::Workflow(_) if !self.has_ended => {
                quality::never_ended(statuses, self.nearest_finish.as_deref())
            }
            Indicator::Workflow(_) | Indicator::Span(_) => None,
        };
        let guard = slo.alerting.guard;
        let uncorrelated = match &slo.indicator {
            Indicator::Workflow(workflow) => {
                let lacking = workflow.identified_by();
                quality::uncorrelated(self.starts, lacking, window.clone(), guard)
            }
            Indicator::Span(_) => None,
        };
        let unusable = quality::unusable(window, guard, statuses);
        let rules = [never_ended, unusable, uncorrelated];
        rules.into_iter().flatten().collect()
    }

    /// Returns the burn rate of the last hour.
    pub(super) fn pace(&self, burn: &BurnContext) -> Option<BurnRate> {
        burn.burn_rate(self.look_back(LAST_HOUR))
    }

    /// Returns the freshness for a rule. Planned work leaves events out, so their absence shows as
    /// little as during an outage of ingest.
    fn freshness_for(&self, slo: &Slo, rule: &ThresholdRule) -> Freshness {
        match rule.limit {
            Limit::Absence { length } => {
                let looked_at = TimeRange::ending_at(self.at, length);
                if slo.excluded(looked_at).is_empty() {
                    self.freshness
                } else {
                    Freshness::Stale
                }
            }
            Limit::BudgetSpent { .. }
            | Limit::Exhaustion { .. }
            | Limit::Customers { .. }
            | Limit::AtRisk { .. }
            | Limit::NeverEnded
            | Limit::Unusable { .. }
            | Limit::Uncorrelated { .. } => self.freshness,
        }
    }
}
