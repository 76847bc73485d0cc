//! Laws of groups: in any order every event is counted once for its SLO and once for one of its
//! groups, in the end for the group that all of its evidence together gives.

use proptest::{collection::vec, option, prelude::*, sample::Index};

use crate::domain::workflow::tests::*;
use crate::domain::{
    counting::groups::{Regrouping, regroup},
    model::{
        counts::EventCounts,
        group::{Group, GroupValues},
        ids::TraceId,
        time::Resolution,
    },
    slo::GroupBy,
    workflow::{EventKey, Evidence, Fact},
};

const SLO: SloId = SloId(1);
const BY: [&str; 2] = ["span.kind", "span.region"];

fn by() -> Vec<String> {
    BY.map(str::to_owned).to_vec()
}

/// The evidence of one span: its workflow, its fact, and its group values.
type Piece = (u8, Fact, [Option<String>; 2]);

fn any_piece() -> impl Strategy<Value = Piece> {
    let fact = (0_u16..200, 0_u8..3).prop_map(|(secs, role)| {
        let end = at(f64::from(secs));
        match role {
            0 => Fact::Started {
                at: end,
                within: Duration::from_mins(1),
            },
            1 => Fact::Succeeded { at: end },
            _ => Fact::Failed { at: end },
        }
    });
    let value = || option::of("[ab]");
    (0_u8..4, fact, [value(), value()])
}

fn evidence((workflow, fact, values): &Piece) -> Evidence {
    let values = BY.map(str::to_owned).into_iter().zip(values.clone());
    Evidence {
        revision: Revision::default(),
        slo: SLO,
        key: EventKey([*workflow; 16]),
        label: "workflow".to_owned(),
        fact: *fact,
        trace_id: TraceId::from_slice(&[1; 16]).unwrap(),
        customer: None,
        sample: None,
        group: values.collect(),
    }
}

/// Does what the store does, without a limit of groups.
#[derive(Default)]
struct Ledger {
    known: BTreeMap<EventKey, (JudgedWorkflow, Option<SloId>)>,
    groups: BTreeMap<Group, SloId>,
    buckets: BTreeMap<(SloId, Timestamp), EventCounts>,
    /// All counts ever, plus those that corrections subtracted.
    totals: BTreeMap<SloId, EventCounts>,
}

impl Ledger {
    fn record(&mut self, evidence: &[Evidence], watermark: Timestamp) {
        let judging = Judging::healthy(Duration::from_mins(2), watermark);
        let mut moves = CountDelta::default();
        for ((_, key), workflow) in gather(evidence) {
            let known = self.known.remove(&key);
            let before = known.as_ref().map(|(judged, _)| judged);
            let was_in = known.as_ref().and_then(|(_, group)| *group);
            let after = apply(SLO, before, &workflow, &judging, &mut moves);
            let Some(after) = after else {
                self.known.extend(known.map(|known| (key, known)));
                continue;
            };
            let is_in = match regroup(&by(), before.filter(|_| was_in.is_some()), &after) {
                Regrouping::Stay => was_in,
                Regrouping::Into(group) => Some(self.id_of(group)),
            };
            moves.regroup(was_in.zip(before), is_in.map(|group| (group, &after)));
            self.known.insert(key, (after, is_in));
        }
        let before = self.totals.clone();
        for ((slo, resolution, bucket), counts) in moves.by_bucket() {
            if resolution == Resolution::Minute {
                *self.buckets.entry((slo, bucket)).or_default() += counts;
                *self.totals.entry(slo).or_default() += counts;
            }
        }
        for (slo, taken_out) in moves.corrected {
            *self.totals.entry(slo).or_default() += taken_out;
        }
        for (slo, total) in before {
            let fallen = total.beyond(self.totals[&slo]);
            assert_eq!(fallen, EventCounts::ZERO, "of {slo:?}");
        }
    }

    fn id_of(&mut self, group: Group) -> SloId {
        let next = SloId(2 + i32::try_from(self.groups.len()).unwrap());
        *self.groups.entry(group).or_insert(next)
    }

    /// Returns the sums by bucket, of SLOs that `is_asked` selects.
    fn sum(&self, is_asked: impl Fn(SloId) -> bool) -> BTreeMap<Timestamp, EventCounts> {
        let mut sum: BTreeMap<Timestamp, EventCounts> = BTreeMap::new();
        for ((_, bucket), counts) in self.buckets.iter().filter(|((slo, _), _)| is_asked(*slo)) {
            *sum.entry(*bucket).or_default() += *counts;
        }
        sum.retain(|_, counts| !counts.is_zero());
        sum
    }

    /// Returns the sums of each group, by its text.
    fn by_group(&self) -> BTreeMap<String, BTreeMap<Timestamp, EventCounts>> {
        let groups = self.groups.iter();
        let mut sums: BTreeMap<_, _> = groups
            .map(|(group, id)| (group.text(), self.sum(|slo| slo == *id)))
            .collect();
        sums.retain(|_, sum| !sum.is_empty());
        sums
    }
}

/// Returns the smallest value in any evidence of a workflow, as the contract demands.
fn oracle(pieces: &[Piece]) -> BTreeMap<u8, String> {
    let workflows: BTreeSet<u8> = pieces.iter().map(|piece| piece.0).collect();
    let value = |workflow, at: usize| {
        let of_workflow = pieces.iter().filter(|piece| piece.0 == workflow);
        let smallest = of_workflow.filter_map(|piece| piece.2[at].clone()).min();
        smallest.unwrap_or_else(|| "(none)".to_owned())
    };
    let text = |workflow| {
        format!(
            "kind = {}, region = {}",
            value(workflow, 0),
            value(workflow, 1)
        )
    };
    workflows.into_iter().map(|one| (one, text(one))).collect()
}

proptest! {
    #[test]
    fn in_any_order_the_groups_add_up_to_the_slo(
        pieces in vec(any_piece(), 1..10),
        schedule in vec((any::<Index>(), 0_u16..400), 0..16),
    ) {
        let all: Vec<Evidence> = pieces.iter().map(evidence).collect();
        let mut ledger = Ledger::default();
        for (index, watermark) in schedule {
            let one = all[index.index(all.len())].clone();
            ledger.record(&[one], at(f64::from(watermark)));
            let judged = ledger.sum(|slo| slo == SLO);
            prop_assert_eq!(ledger.sum(|slo| slo != SLO), judged);
        }
        let mut all_at_once = Ledger::default();
        for ledger in [&mut ledger, &mut all_at_once] {
            ledger.record(&all, at(10_000.0));
            ledger.record(&all, at(20_000.0));
            let totals = ledger.totals.clone();
            ledger.record(&all, at(20_000.0));
            prop_assert_eq!(&ledger.totals, &totals, "what is known already adds nothing");
        }
        prop_assert_eq!(ledger.by_group(), all_at_once.by_group());
        let groups: BTreeMap<SloId, String> = ledger
            .groups
            .iter()
            .map(|(group, id)| (*id, group.text()))
            .collect();
        let found: BTreeMap<u8, String> = ledger
            .known
            .iter()
            .map(|(key, (_, group))| (key.0[0], groups[&group.unwrap()].clone()))
            .collect();
        prop_assert_eq!(found, oracle(&pieces));
    }
}

#[test]
fn values_are_taken_from_spans_cut_to_size_and_missed_where_they_are_not() {
    let by = GroupBy {
        attributes: vec![attribute("kind"), attribute("region")],
        max_groups: 100,
    };
    let name = "slo".parse().unwrap();
    let indicator = Indicator::Workflow(workflow_slo());
    let slo = Slo {
        group_by: Some(by),
        ..Slo::new(
            name,
            "99.5%".parse().unwrap(),
            Duration::from_hours(720),
            indicator,
        )
    };
    let ids = BTreeMap::from([(slo.name.clone(), SLO)]);
    let mut catalog = Catalog::default();
    catalog.slos.insert(slo.name.clone(), Arc::new(slo));
    let classifier = Classifier::new(&catalog, &ids);
    let mut findings = ClassifiedBatch::default();
    let long = "ü".repeat(200);
    let start = span("a:1", "enqueue", [0.0, 0.1]).with("kind", long.as_str());
    classifier.classify(&start, at(-1e6), &mut findings);
    let expected = [
        ("span.kind".to_owned(), Some("ü".repeat(128))),
        ("span.region".to_owned(), None),
    ];
    let found = &findings.evidence[0].group;
    assert_eq!(*found, GroupValues::from_iter(expected));
}

#[test]
fn an_open_workflow_takes_no_group_before_all_its_attributes_are_known() {
    let start = Fact::Started {
        at: at(0.0),
        within: Duration::from_mins(1),
    };
    let kind_only = (1, start, [Some("a".to_owned()), None]);
    let region_too = (1, start, [None, Some("b".to_owned())]);
    let mut ledger = Ledger::default();
    ledger.record(&[evidence(&kind_only)], at(0.0));
    assert!(ledger.groups.is_empty());
    ledger.record(&[evidence(&region_too)], at(1.0));
    let groups: Vec<String> = ledger.groups.keys().map(Group::text).collect();
    assert_eq!(groups, ["kind = a, region = b"]);
}

#[test]
fn a_verdict_does_not_wait_for_values_and_moves_when_they_come() {
    let end = Fact::Succeeded { at: at(10.0) };
    let start = Fact::Started {
        at: at(0.0),
        within: Duration::from_mins(1),
    };
    let mut ledger = Ledger::default();
    let unknown = [start, end].map(|fact| evidence(&(1, fact, [None, None])));
    ledger.record(&unknown, at(20.0));
    let one_good = |ledger: &Ledger, group: &str| {
        let by_group = ledger.by_group();
        assert_eq!(by_group.keys().collect::<Vec<_>>(), [group]);
        assert_eq!(by_group[group].values().map(|sum| sum.good).sum::<i64>(), 1);
    };
    one_good(&ledger, "kind = (none), region = (none)");
    let known = evidence(&(1, end, [Some("b".to_owned()), Some("a".to_owned())]));
    ledger.record(&[known], at(30.0));
    one_good(&ledger, "kind = b, region = a");
    let contradicting = evidence(&(1, end, [Some("a".to_owned()), None]));
    ledger.record(&[contradicting], at(40.0));
    one_good(&ledger, "kind = a, region = a");
}
