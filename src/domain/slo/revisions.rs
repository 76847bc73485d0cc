//! Revisions of definitions, which may change while workflows are open.

use std::{collections::VecDeque, sync::Arc};

use super::Slo;
use crate::domain::model::{ids::Revision, time::Timestamp};

/// The declaration of one SLO from a moment on.
#[derive(Clone, Debug)]
pub struct SloRevision {
    pub number: Revision,
    pub in_force_from: Timestamp,
    /// `None` while no definition file contained the SLO.
    pub slo: Option<Arc<Slo>>,
}

/// The declarations of one SLO, oldest first. A workflow is judged by the one that was active when
/// it started, by the time of the event, so that the arrival of its spans does not matter.
#[derive(Clone, Debug, Default)]
pub struct SloRevisions(VecDeque<SloRevision>);

impl SloRevisions {
    /// Spans are matched against each, so their number is limited; a definition is edited a few
    /// times a day at most.
    pub const MOST: usize = 8;

    /// Makes a single revision that has always been active.
    pub fn constant(slo: Arc<Slo>) -> Self {
        let mut revisions = Self::default();
        revisions.push(SloRevision {
            number: Revision::default(),
            in_force_from: Timestamp::UNIX_EPOCH,
            slo: Some(slo),
        });
        revisions
    }

    /// Adds a revision that was activated after all others. It is merged with the last one if
    /// workflows are recognised and judged as before; otherwise, if there are [`Self::MOST`], the
    /// oldest is removed. The time before an SLO was declared is no revision: what started then is
    /// judged by the first one.
    pub fn push(&mut self, next: SloRevision) {
        match self.0.back_mut() {
            None if next.slo.is_none() => return,
            Some(last) if is_same(last.slo.as_deref(), next.slo.as_deref()) => {
                // Fields that do not concern workflows, such as the objective, are those of the
                // newest.
                last.slo = next.slo;
                return;
            }
            None | Some(_) => {}
        }
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back(next);
    }

    /// Removes what came before `oldest`, as if it were the first set of definitions. So the
    /// revisions, and their numbers in the rows of workflows, do not depend on how long a replica
    /// has been running.
    pub fn forget_before(&mut self, oldest: Revision) {
        while self.0.get(1).is_some_and(|next| next.number <= oldest) {
            self.0.pop_front();
        }
        if let Some(first) = self.0.front_mut() {
            first.number = first.number.max(oldest);
        }
        if self.0.front().is_some_and(|first| first.slo.is_none()) {
            self.0.pop_front();
        }
    }

    /// Returns the active declaration; `None` if the SLO is no longer declared.
    pub fn current(&self) -> Option<&Arc<Slo>> {
        self.0.back()?.slo.as_ref()
    }

    /// Returns the oldest stored revision: workflows that started under an older one are judged by
    /// this.
    pub fn oldest(&self) -> Option<Revision> {
        self.0.front().map(|revision| revision.number)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &SloRevision> {
        self.0.iter()
    }

    /// Returns the number of the revision that was active at `time`; before the first it is the
    /// first.
    pub fn at(&self, time: Timestamp) -> Option<Revision> {
        let mut newest_first = self.0.iter().rev();
        newest_first
            .find(|revision| revision.in_force_from <= time)
            .or_else(|| self.0.front())
            .map(|revision| revision.number)
    }
}

/// Returns whether spans have the same meaning under both.
fn is_same(a: Option<&Slo>, b: Option<&Slo>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.indicator == b.indicator
                && a.weighing == b.weighing
                && a.customer == b.customer
                && a.group_by == b.group_by
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        slo::{Indicator, SpanIndicator},
        traceql::Selector,
    };

    fn slo(matches: &str) -> Arc<Slo> {
        let selector = |text| Selector::parse(text).unwrap();
        let indicator = SpanIndicator::new(selector(matches), selector("{ status != error }"));
        Arc::new(Slo::new(
            "orders".parse().unwrap(),
            "99%".parse().unwrap(),
            Duration::from_hours(1),
            Indicator::Span(indicator),
        ))
    }

    fn revisions(declared: &[(i32, i64, &str)]) -> SloRevisions {
        let mut revisions = SloRevisions::default();
        for (number, secs, matches) in declared {
            revisions.push(SloRevision {
                number: Revision(*number),
                in_force_from: Timestamp::from_secs(*secs),
                slo: (!matches.is_empty()).then(|| slo(matches)),
            });
        }
        revisions
    }

    fn at(revisions: &SloRevisions, secs: i64) -> Option<i32> {
        let found = revisions.at(Timestamp::from_secs(secs));
        found.map(|Revision(number)| number)
    }

    #[test]
    fn s38_a_moment_has_the_revision_that_was_in_force_and_before_the_first_the_first() {
        let all = revisions(&[
            (1, 100, "{ kind = producer }"),
            (4, 200, "{ kind = consumer }"),
        ]);
        let found = [0, 100, 199, 200, 9_000].map(|secs| at(&all, secs));
        assert_eq!(found, [1, 1, 1, 4, 4].map(Some));
    }

    #[test]
    fn s38_what_does_not_concern_workflows_is_no_new_revision() {
        let all = revisions(&[
            (1, 100, "{ kind = producer }"),
            (2, 200, "{ kind = producer }"),
        ]);
        assert_eq!(at(&all, 300), Some(1));
    }

    #[test]
    fn s38_an_slo_that_was_away_has_a_revision_without_definition() {
        let all = revisions(&[(1, 100, "{ kind = producer }"), (2, 200, "")]);
        assert_eq!(at(&all, 300), Some(2));
        assert!(all.current().is_none());
    }

    #[test]
    fn s38_what_started_before_the_slo_was_declared_is_judged_by_its_first_revision() {
        let all = revisions(&[(1, 100, ""), (2, 200, "{ kind = producer }")]);
        assert_eq!(at(&all, 150), Some(2));
    }

    /// Compares a replica that has run since the first set with one that started after some were
    /// removed.
    #[test]
    fn s38_the_same_sets_give_the_same_revisions_however_many_came_before_them() {
        let [a, b] = ["{ kind = producer }", "{ kind = consumer }"];
        let declared = [a, b, "", a, a, b, "", "", b, a];
        let sets = (1..).zip(declared);
        let sets: Vec<_> = sets.map(|(n, slo)| (n, i64::from(n) * 100, slo)).collect();
        for oldest in 1..=10 {
            let from = |first: i32| {
                let sets = sets.iter().filter(|(number, ..)| *number >= first);
                let mut all = revisions(&sets.copied().collect::<Vec<_>>());
                all.forget_before(Revision(oldest));
                let each = all.iter().map(|one| (one.number, one.slo.is_some()));
                each.collect::<Vec<_>>()
            };
            assert_eq!(from(1), from(oldest), "{oldest}");
        }
    }

    #[test]
    fn s38_of_many_revisions_the_oldest_stands_in_for_those_before_it() {
        let names: Vec<String> = (1..=12).map(|n| format!("{{ name = \"{n}\" }}")).collect();
        let declared = (1..)
            .zip(&names)
            .map(|(n, name)| (n, i64::from(n) * 100, name.as_str()));
        let all = revisions(&declared.collect::<Vec<_>>());
        assert_eq!(all.oldest(), Some(Revision(5)));
        assert_eq!(at(&all, 150), Some(5));
    }
}
