//! What may happen to the outbox.

use proptest::prelude::*;

pub(super) const TARGETS: usize = 2;
pub(super) const KEYS: usize = 3;
pub(super) const REPLICAS: usize = 2;
pub(super) const LEASE_SECS: i64 = 60;

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// An alert has a transition that these targets are to be told of.
    Enqueue {
        key: usize,
        targets: Vec<usize>,
    },
    /// A replica leases what is due at a target, and sends it.
    Claim {
        replica: usize,
        target: usize,
        limit: u32,
    },
    /// A replica writes down how one of its tries ended, perhaps long after its lease.
    End {
        replica: usize,
        nth: usize,
        how: How,
    },
    /// A replica forgets all that it was about.
    Crash {
        replica: usize,
    },
    Pass {
        secs: i64,
    },
    /// A target wants to be left alone.
    Hold {
        target: usize,
        secs: i64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Told,
    /// The target has said no, try again after so many seconds.
    Refused(i64),
    /// There was no answer, try again after so many seconds.
    Unknown(i64),
    GivenUp,
}

/// What a claim got of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claimed {
    /// Counted in the order of the outbox, from 0.
    pub(super) delivery: usize,
    pub(super) attempt: i32,
    pub(super) token: i64,
    pub(super) may_be_a_repeat: bool,
}

/// What is to be seen of a step: what was claimed, or whether the lease still held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    Claimed(Vec<Claimed>),
    Ended { lease_held: bool },
}

/// A delivery as it stands: state, attempts and token.
pub(super) type Row = (String, i32, i64);

pub(super) fn op() -> impl Strategy<Value = Op> {
    let targets = prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![0, 1])];
    prop_oneof![
        4 => (0..KEYS, targets).prop_map(|(key, targets)| Op::Enqueue { key, targets }),
        6 => (0..REPLICAS, 0..TARGETS, 1_u32..4)
            .prop_map(|(replica, target, limit)| Op::Claim { replica, target, limit }),
        5 => (0..REPLICAS, 0_usize..4, how())
            .prop_map(|(replica, nth, how)| Op::End { replica, nth, how }),
        1 => (0..REPLICAS).prop_map(|replica| Op::Crash { replica }),
        3 => prop_oneof![Just(1), Just(LEASE_SECS - 1), Just(LEASE_SECS), 1_i64..200]
            .prop_map(|secs| Op::Pass { secs }),
        1 => (0..TARGETS, 1_i64..150).prop_map(|(target, secs)| Op::Hold { target, secs }),
    ]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => Just(How::Told),
        2 => (0_i64..100).prop_map(How::Refused),
        2 => (0_i64..100).prop_map(How::Unknown),
        1 => Just(How::GivenUp),
    ]
}

/// After these everybody has been told of everything, whatever went before: all replicas die, and one
/// that is well does the rest.
pub(super) fn to_the_end() -> Vec<Op> {
    let mut ops: Vec<_> = (0..REPLICAS).map(|replica| Op::Crash { replica }).collect();
    ops.push(Op::Pass { secs: 1_000 });
    // Each claim gets one of every key at least.
    for _ in 0..super::LONGEST {
        for target in 0..TARGETS {
            let (replica, limit) = (0, u32::try_from(KEYS).unwrap());
            ops.push(Op::Claim {
                replica,
                target,
                limit,
            });
            let told = Op::End {
                replica,
                nth: 0,
                how: How::Told,
            };
            ops.extend(vec![told; KEYS]);
        }
    }
    ops
}
