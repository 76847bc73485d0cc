//! What the service has come to, read as its pages read it.

use std::collections::BTreeMap;

use sqlx::Row as _;
use throughline::{
    domain::{
        alerting::{alert::TransitionKind, snapshot::AlertSnapshot, status::SloStatus},
        model::{
            counts::EventCounts,
            ids::SloId,
            time::{TimeRange, Timestamp},
        },
        workflow::Outcome,
    },
    evaluate::EvaluationReport,
    store::{AlertTransition, TransitionsOf},
};

use super::{HOUR, MINUTE, TestApp};

impl TestApp {
    /// An evaluation at each of these minutes of the story, as if there had been one in every minute
    /// between them; what was done in all of them.
    pub(crate) async fn ticks(&self, minutes: impl IntoIterator<Item = u32>) -> EvaluationReport {
        let mut all = EvaluationReport::default();
        for minute in minutes {
            self.was_evaluated_until(self.minute(minute) - MINUTE).await;
            let report = self.tick_at(minute).await;
            // Nobody else is there to win one.
            assert_eq!(report.lost_races, 0, "{minute}");
            all.inconsistent_counts += report.inconsistent_counts;
            all.evaluated += report.evaluated;
            all.fired += report.fired;
            all.resolved += report.resolved;
        }
        all
    }

    /// One evaluation; if it is the first after a while, that is a gap.
    pub(crate) async fn tick_at(&self, minute: u32) -> EvaluationReport {
        self.clock.set(self.minute(minute));
        self.evaluate().await
    }

    pub(crate) async fn status(&self) -> SloStatus {
        self.status_of(self.only()).await
    }

    /// Of an SLO or one of its groups.
    pub(crate) async fn status_of(&self, id: SloId) -> SloStatus {
        let mut tx = self.store.begin("read a status").await.unwrap();
        if let Some(group) = tx.group(id).await.unwrap() {
            return group.record.status.unwrap();
        }
        let mut slos = tx.slos().await.unwrap().into_iter();
        let record = slos.find(|record| record.id == id).unwrap();
        record.status.unwrap()
    }

    /// What was recorded of the alerts of an SLO or a group, oldest first.
    pub(crate) async fn transitions_of(&self, id: SloId) -> Vec<AlertTransition> {
        let mut tx = self.store.begin("read history").await.unwrap();
        let ever = TimeRange::new(Timestamp::UNIX_EPOCH, self.clock.now() + HOUR * 24 * 365);
        let mut transitions = tx
            .transitions(TransitionsOf::One(id), ever, 100)
            .await
            .unwrap();
        transitions.reverse();
        transitions
    }

    pub(crate) async fn transitions(&self) -> Vec<AlertTransition> {
        self.transitions_of(self.only()).await
    }

    pub(crate) async fn facts_of(&self, id: SloId) -> Vec<AlertSnapshot> {
        let transitions = self.transitions_of(id).await.into_iter();
        transitions.map(|transition| transition.facts).collect()
    }

    pub(crate) async fn facts(&self) -> Vec<AlertSnapshot> {
        self.facts_of(self.only()).await
    }

    pub(crate) async fn kinds(&self) -> Vec<TransitionKind> {
        self.facts().await.iter().map(|facts| facts.kind).collect()
    }

    pub(crate) async fn sum(&self, slo: SloId, range: TimeRange) -> EventCounts {
        let mut tx = self.store.begin("read counts").await.unwrap();
        tx.sums(&[(slo, range)]).await.unwrap()[0]
    }

    /// Of the hours around the beginning.
    pub(crate) async fn counts(&self) -> EventCounts {
        let range = TimeRange::new(self.began - HOUR, self.began + HOUR * 2);
        self.sum(self.only(), range).await
    }

    /// The same by the name of the outcome, without those that are zero.
    pub(crate) async fn outcomes(&self) -> BTreeMap<String, i64> {
        let mut counts = self.counts().await;
        let uncounted = [Outcome::Open, Outcome::Unwatched];
        let judged = Outcome::ALL
            .into_iter()
            .filter(|one| !uncounted.contains(one));
        judged
            .map(|outcome| (outcome.as_str().to_owned(), *counted(&mut counts, outcome)))
            .filter(|(_, count)| *count != 0)
            .collect()
    }

    /// Fails unless this is what was counted, and what the verdicts of the workflows add up to.
    pub(crate) async fn assert_counts(&self, expected: EventCounts) {
        assert_eq!(self.counts().await, expected);
        let rows: Vec<(i16, i64)> =
            sqlx::query_as("select outcome, count(*) from workflows where outcome <> 0 group by 1")
                .fetch_all(&mut *self.past.lock().await)
                .await
                .unwrap();
        let mut verdicts = EventCounts::ZERO;
        for (code, count) in rows {
            *counted(&mut verdicts, Outcome::from_code(code).unwrap()) = count;
        }
        assert_eq!(verdicts, expected, "the verdicts");
    }

    /// Every delivery as `target kind ordering_key priority`, oldest first, then by target.
    pub(crate) async fn deliveries(&self) -> Vec<String> {
        sqlx::query(
            "select d.target || ' ' || t.kind || ' ' || d.ordering_key || ' ' || d.priority
             from deliveries d join alert_transitions t on t.id = d.transition_id order by t.at, d.target",
        )
        .fetch_all(&mut *self.past.lock().await)
        .await
        .expect("deliveries can be read")
        .iter()
        .map(|row| row.get(0))
        .collect()
    }

    /// What was counted of evidence for this reason, of all SLOs and days.
    pub(crate) async fn evidence_counts(&self, reason: &str) -> i64 {
        sqlx::query_scalar(
            "select coalesce(sum(count), 0)::bigint from evidence_counts where reason = $1",
        )
        .bind(reason)
        .fetch_one(&mut *self.past.lock().await)
        .await
        .unwrap()
    }
}

const fn counted(counts: &mut EventCounts, outcome: Outcome) -> &mut i64 {
    match outcome {
        Outcome::Open => panic!("an open workflow is counted nowhere"),
        Outcome::Good => &mut counts.good,
        Outcome::Late => &mut counts.late,
        Outcome::Failed => &mut counts.failed,
        Outcome::Timeout => &mut counts.timeout,
        Outcome::Cancelled => &mut counts.cancelled,
        Outcome::Orphan => &mut counts.orphan,
        Outcome::Invalid => &mut counts.invalid,
        Outcome::Unobservable => &mut counts.unobservable,
        Outcome::EvidenceLost => &mut counts.evidence_lost,
        Outcome::Ambiguous => &mut counts.ambiguous,
        Outcome::Unwatched => panic!("nobody counts what nobody watches"),
    }
}
