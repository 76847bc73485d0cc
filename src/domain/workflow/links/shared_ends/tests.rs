//! Tests of batches judged by count: by example, and against every assignment of ends to workflows.

use proptest::prelude::*;

use super::*;
use crate::domain::model::ids::SpanId;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_795_328_280 + secs)
}

fn span(number: u8) -> SpanRef {
    SpanRef {
        trace_id: TraceId::from_slice(&[9; 16]).unwrap(),
        span_id: SpanId::from_slice(&[number; 8]).unwrap(),
    }
}

fn key(number: u8) -> EventKey {
    EventKey([number; 16])
}

/// Returns workflows that started at these seconds, with 60 s each.
fn started(starts: &[i64]) -> BTreeMap<EventKey, GroupMember> {
    let member = |(number, start): (u8, &i64)| {
        let in_time = Some(TimeRange::new(at(*start), at(start + 60)));
        let member = GroupMember {
            in_time,
            has_ended: false,
        };
        (key(number), member)
    };
    (1..).zip(starts).map(member).collect()
}

fn succeeded(secs: i64, number: u8) -> BranchEnd {
    BranchEnd::Succeeded(at(secs), span(number))
}

fn failed(secs: i64, number: u8) -> BranchEnd {
    BranchEnd::Failed(at(secs), span(number))
}

/// Makes a span that received messages of all `members`; each end is of a branch of its own.
fn delivery(
    number: u8,
    members: &BTreeMap<EventKey, GroupMember>,
    ends: &[BranchEnd],
) -> BatchDelivery {
    BatchDelivery {
        span: span(number),
        workflow_keys: members.keys().copied().collect(),
        branches: (1..).zip(ends).map(|(by, end)| (span(by), *end)).collect(),
    }
}

fn judged(members: &BTreeMap<EventKey, GroupMember>, ends: &[BranchEnd]) -> Vec<SharedEnd> {
    let deliveries = [delivery(200, members, ends)];
    judge_by_count(members, &deliveries).into_values().collect()
}

use SharedEnd::{Cancelled, Failed, MoreEndsThanWorkflows, OneEndForAll, Succeeded};

#[test]
fn s33_of_workflows_of_several_groups_those_without_an_end_are_of_an_unknown_one() {
    let several = |ends: &[BranchEnd]| -> Vec<SharedEnd> {
        let members = started(&[0, 0]);
        let mut shares = judge_by_count(&members, &[delivery(200, &members, ends)]);
        note_several_groups(&mut shares);
        shares.into_values().collect()
    };
    let failed_one = several(&[failed(4, 1), failed(5, 2)]);
    assert_eq!(failed_one, [Failed(at(5)), Failed(at(4))]);
    assert_eq!(several(&[]), [SharedEnd::None; 2], "each has none");
    let members = started(&[0, 0, 0]);
    let ends = [succeeded(4, 1), succeeded(5, 2)];
    let mut shares = judge_by_count(&members, &[delivery(200, &members, &ends)]);
    note_several_groups(&mut shares);
    let expected = [
        Succeeded(at(4)),
        Succeeded(at(5)),
        SharedEnd::NoneOfSeveralGroups,
    ];
    assert_eq!(shares.into_values().collect::<Vec<_>>(), expected);
}

#[test]
fn s33_workflows_without_an_end_are_those_that_no_end_is_left_for() {
    let members = started(&[0, 0, 0]);
    let ends = [succeeded(4, 1), succeeded(5, 2)];
    let expected = [Succeeded(at(4)), Succeeded(at(5)), SharedEnd::None];
    assert_eq!(judged(&members, &ends), expected);
}

#[test]
fn s33_an_end_is_given_to_the_workflow_that_it_is_in_time_for() {
    let members = started(&[0, 50]);
    let ends = [succeeded(55, 1), succeeded(100, 2)];
    assert_eq!(
        judged(&members, &ends),
        [Succeeded(at(55)), Succeeded(at(100))]
    );
    let ends = [succeeded(40, 1), succeeded(70, 2)];
    assert_eq!(
        judged(&members, &ends),
        [Succeeded(at(40)), Succeeded(at(70))]
    );
}

#[test]
fn s33_a_failure_takes_the_latest_deadline_and_late_ends_the_earliest() {
    let members = started(&[0, 10, 20]);
    let ends = [failed(30, 1), succeeded(90, 2), succeeded(25, 3)];
    let expected = [Succeeded(at(25)), Succeeded(at(90)), Failed(at(30))];
    assert_eq!(judged(&members, &ends), expected);
}

#[test]
fn s33_one_end_of_a_batch_leaves_the_others_ambiguous() {
    let members = started(&[0, 0]);
    let expected = [Succeeded(at(4)), OneEndForAll];
    assert_eq!(judged(&members, &[succeeded(4, 1)]), expected);
    let expected = [OneEndForAll, Failed(at(4))];
    assert_eq!(judged(&members, &[failed(4, 1)]), expected);
}

#[test]
fn s33_as_many_workflows_are_ambiguous_as_there_are_ends_too_many() {
    let members = started(&[0, 0]);
    let ends = [succeeded(4, 1), succeeded(5, 2), succeeded(6, 3)];
    assert_eq!(
        judged(&members, &ends),
        [Succeeded(at(4)), MoreEndsThanWorkflows]
    );
}

#[test]
fn s33_of_several_deliveries_of_one_batch_the_one_with_most_ends_in_time_counts() {
    let members = started(&[0, 0]);
    let first = delivery(201, &members, &[succeeded(4, 1)]);
    let again = delivery(200, &members, &[succeeded(30, 2), succeeded(31, 3)]);
    for deliveries in [[first.clone(), again.clone()], [again, first]] {
        let shares = judge_by_count(&members, &deliveries).into_values();
        let expected = [Succeeded(at(30)), Succeeded(at(31))];
        assert_eq!(shares.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn s33_ends_that_are_left_are_of_workflows_whose_start_is_unknown() {
    let mut members = started(&[0, 0, 0]);
    for number in [2, 3] {
        members.get_mut(&key(number)).unwrap().in_time = None;
    }
    let ends = [succeeded(4, 1), succeeded(5, 2)];
    let expected = [Succeeded(at(4)), Succeeded(at(5)), SharedEnd::None];
    assert_eq!(judged(&members, &ends), expected);
}

#[test]
fn s33_batches_that_share_workflows_are_one_group_if_something_ended_behind_them() {
    let batch = |number: u8, keys: &[u8], has_ends: bool| BatchDelivery {
        span: span(number),
        workflow_keys: keys.iter().map(|number| key(*number)).collect(),
        branches: if has_ends {
            BTreeMap::from([(span(1), succeeded(4, number))])
        } else {
            BTreeMap::new()
        },
    };
    let one = batch(1, &[1, 2], true);
    let other = batch(2, &[3, 4], true);
    let both = |has_ends| batch(3, &[2, 3], has_ends);
    let sizes = |deliveries: [BatchDelivery; 3]| -> Vec<usize> {
        let groups = BatchGroup::of(deliveries).into_iter();
        groups.map(|group| group.workflow_keys.len()).collect()
    };
    assert_eq!(sizes([one.clone(), other.clone(), both(true)]), [4]);
    assert_eq!(sizes([both(false), one, other]), [2, 2]);
}

#[test]
fn s33_a_group_of_more_than_a_thousand_workflows_is_ambiguous() {
    let keys = (0..=u16::try_from(MAX_GROUP).unwrap()).map(|number| {
        let mut key = [0; 16];
        key[..2].copy_from_slice(&number.to_be_bytes());
        EventKey(key)
    });
    let group = BatchGroup {
        workflow_keys: keys.collect(),
        deliveries: Vec::new(),
    };
    let ends = group.judge(&started(&[0, 0]));
    let expected = [SharedEnd::TooManyWorkflows; 2];
    assert_eq!(ends.into_values().collect::<Vec<_>>(), expected);
}

/// Returns the most workflows that can have an end in time of their own, by trying all assignments.
fn most_in_time(ranges: &[TimeRange], ends: &[Timestamp]) -> usize {
    let Some((first, rest)) = ranges.split_first() else {
        return 0;
    };
    let without = most_in_time(rest, ends);
    let with = (0..ends.len()).filter(|nth| is_within(*first, ends[*nth]));
    let with = with.map(|nth| {
        let mut left = ends.to_vec();
        left.remove(nth);
        1 + most_in_time(rest, &left)
    });
    with.max().unwrap_or(0).max(without)
}

fn any_members() -> impl Strategy<Value = BTreeMap<EventKey, GroupMember>> {
    let member = (0_i64..90, 1_i64..70, proptest::bool::weighted(0.1));
    proptest::collection::vec(member, 2..6).prop_map(|members| {
        let member = |(number, (start, within, has_ended)): (u8, &(i64, i64, bool))| {
            let in_time = Some(TimeRange::new(at(*start), at(start + within)));
            let member = GroupMember {
                in_time,
                has_ended: *has_ended,
            };
            (key(number), member)
        };
        (1..).zip(&members).map(member).collect()
    })
}

fn any_ends() -> impl Strategy<Value = Vec<BranchEnd>> {
    let end = (0_i64..160, 0_u8..5);
    proptest::collection::vec(end, 2..6).prop_map(|ends| {
        let end = |(number, (secs, kind)): (u8, &(i64, u8))| match kind {
            0 => failed(*secs, number),
            _ => succeeded(*secs, number),
        };
        (1..).zip(&ends).map(end).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn s33_as_many_are_good_as_can_be(members in any_members(), ends in any_ends()) {
        prop_assume!(ends.len() <= members.len());
        let shares = judge_by_count(&members, &[delivery(200, &members, &ends)]);
        let good = shares.iter().filter(|(key, end)| {
            let range = members[*key].in_time.unwrap();
            matches!(end, Succeeded(at) if is_within(range, *at))
        });
        let open = members.values().filter(|member| !member.has_ended);
        let ranges: Vec<TimeRange> = open.filter_map(|member| member.in_time).collect();
        let successes = ends.iter().filter_map(|end| match end {
            BranchEnd::Succeeded(at, _) => Some(*at),
            BranchEnd::Failed(..) | BranchEnd::Cancelled(..) => None,
        });
        let most = most_in_time(&ranges, &successes.collect::<Vec<_>>());
        prop_assert_eq!(good.count(), most);
    }

    #[test]
    fn s33_no_end_is_given_twice_and_none_is_left_while_it_could_be_given(
        members in any_members(), ends in any_ends(),
    ) {
        prop_assume!(ends.len() <= members.len());
        let shares = judge_by_count(&members, &[delivery(200, &members, &ends)]);
        let mut left: Vec<SharedEnd> = ends.iter().map(|end| end.shared()).collect();
        for end in shares.values().filter(|end| end.at().is_some()) {
            let place = left.iter().position(|other| other == end);
            prop_assert!(place.is_some(), "{:?} was given twice", end);
            left.remove(place.unwrap());
        }
        let waiting = shares.iter().filter(|(_, end)| **end == SharedEnd::None);
        for (key, _) in waiting {
            let range = members[key].in_time.unwrap();
            let fits = |end: &SharedEnd| end.at().is_some_and(|at| at >= range.from);
            prop_assert!(!left.iter().any(fits), "{:?} for {:?}", left, range);
        }
    }

    /// One more start is not an end: a bad event stays bad.
    #[test]
    fn s33_one_more_start_never_makes_a_breach_anything_else(
        members in any_members(), ends in any_ends(), hidden in 1_u8..6,
    ) {
        let mut fewer = members.clone();
        prop_assume!(fewer.contains_key(&key(hidden)));
        fewer.get_mut(&key(hidden)).unwrap().in_time = None;
        let breaches = |members: &BTreeMap<EventKey, GroupMember>| -> BTreeSet<EventKey> {
            let shares = judge_by_count(members, &[delivery(200, members, &ends)]);
            let bad = shares.into_iter().filter(|(key, end)| {
                let range = members[key].in_time;
                match end {
                    SharedEnd::None | SharedEnd::NoneOfSeveralGroups | Failed(_) => {
                        range.is_some()
                    }
                    Succeeded(at) => range.is_some_and(|range| !is_within(range, *at)),
                    Cancelled(_)
                    | MoreEndsThanWorkflows
                    | OneEndForAll
                    | SharedEnd::TooManyWorkflows => false,
                }
            });
            bad.map(|(key, _)| key).collect()
        };
        let (before, after) = (breaches(&fewer), breaches(&members));
        prop_assert!(before.len() <= after.len(), "{:?} {:?}", before, after);
    }
}
