//! The outbox as a list that one walks through from its beginning: slow, and plain to see.

use std::collections::BTreeSet;

use super::ops::{Claimed, How, LEASE_SECS, Op, REPLICAS, Row, Seen, TARGETS};

#[derive(Debug, Default)]
pub(super) struct Model {
    now: i64,
    list: Vec<Entry>,
    held_until: [i64; TARGETS],
    /// What each replica is about, oldest first.
    at_work: [Vec<Claimed>; REPLICAS],
    /// What targets got, in order.
    receipts: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    target: usize,
    key: usize,
    state: State,
    due: i64,
    attempts: i32,
    token: i64,
    /// Attempts that are written down.
    recorded: BTreeSet<i32>,
    /// One of them ended without an answer.
    was_unknown: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Pending,
    LeasedUntil(i64),
    Delivered,
    Dead,
}

impl State {
    const fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::LeasedUntil(_))
    }
}

impl Model {
    pub(super) fn step(&mut self, op: &Op) -> Seen {
        match op {
            Op::Enqueue { key, targets } => {
                for target in targets {
                    self.enqueue(*key, *target);
                }
            }
            Op::Claim {
                replica,
                target,
                limit,
            } => return Seen::Claimed(self.claim(*replica, *target, *limit)),
            Op::End { replica, nth, how } => return self.end(*replica, *nth, *how),
            Op::Crash { replica } => self.at_work[*replica].clear(),
            Op::Pass { secs } => self.now += secs,
            Op::Hold { target, secs } => {
                let until = self.now + secs;
                self.held_until[*target] = self.held_until[*target].max(until);
            }
        }
        Seen::Nothing
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |entry: &Entry| {
            let state = match entry.state {
                State::Pending => "pending",
                State::LeasedUntil(_) => "leased",
                State::Delivered => "delivered",
                State::Dead => "failed",
            };
            (state.to_owned(), entry.attempts, entry.token)
        };
        self.list.iter().map(row).collect()
    }

    fn enqueue(&mut self, key: usize, target: usize) {
        self.list.push(Entry {
            target,
            key,
            state: State::Pending,
            due: self.now,
            attempts: 0,
            token: 0,
            recorded: BTreeSet::new(),
            was_unknown: false,
        });
    }

    fn claim(&mut self, replica: usize, target: usize, limit: u32) -> Vec<Claimed> {
        let mut free: Vec<usize> = (0..self.list.len())
            .filter(|nth| self.list[*nth].target == target && self.is_free(*nth))
            .collect();
        // Even keys are pages.
        free.sort_by_key(|nth| (self.list[*nth].key % 2, self.list[*nth].due, *nth));
        free.truncate(usize::try_from(limit).unwrap());
        free.sort_unstable();
        let claimed: Vec<_> = free.into_iter().map(|nth| self.lease(nth)).collect();
        self.at_work[replica].extend(&claimed);
        self.receipts.extend(claimed.iter().map(|one| one.delivery));
        claimed
    }

    fn is_free(&self, nth: usize) -> bool {
        let entry = &self.list[nth];
        let is_first = !self.list[..nth].iter().any(|older| {
            (older.target, older.key) == (entry.target, entry.key) && older.state.is_open()
        });
        let is_nobodys = match entry.state {
            State::Pending => true,
            State::LeasedUntil(until) => until <= self.now,
            State::Delivered | State::Dead => false,
        };
        let is_held = self.held_until[entry.target] > self.now;
        is_first && is_nobodys && !is_held && entry.due <= self.now
    }

    fn lease(&mut self, nth: usize) -> Claimed {
        let until = self.now + LEASE_SECS;
        let entry = &mut self.list[nth];
        let is_all_known = (1..=entry.attempts).all(|one| entry.recorded.contains(&one));
        entry.state = State::LeasedUntil(until);
        entry.attempts += 1;
        entry.token += 1;
        Claimed {
            delivery: nth,
            attempt: entry.attempts,
            token: entry.token,
            may_be_a_repeat: !is_all_known || entry.was_unknown,
        }
    }

    fn end(&mut self, replica: usize, nth: usize, how: How) -> Seen {
        if nth >= self.at_work[replica].len() {
            return Seen::Nothing;
        }
        let claimed = self.at_work[replica].remove(nth);
        let entry = &mut self.list[claimed.delivery];
        entry.recorded.insert(claimed.attempt);
        entry.was_unknown |= matches!(how, How::Unknown(_));
        let lease_held =
            matches!(entry.state, State::LeasedUntil(_)) && entry.token == claimed.token;
        if lease_held {
            entry.state = match how {
                How::Told => State::Delivered,
                How::GivenUp => State::Dead,
                How::Refused(secs) | How::Unknown(secs) => {
                    entry.due = self.now + secs;
                    State::Pending
                }
            };
        }
        Seen::Ended { lease_held }
    }

    /// Nothing is open, and no target got something older of an alert after something newer.
    pub(super) fn assert_all_told_in_order(&self) {
        let open = self.list.iter().filter(|entry| entry.state.is_open());
        assert_eq!(open.count(), 0, "lost: {:#?}", self.list);
        for (at, receipt) in self.receipts.iter().enumerate() {
            let entry = &self.list[*receipt];
            let is_late = self.receipts[..at].iter().any(|earlier| {
                let before = &self.list[*earlier];
                (before.target, before.key) == (entry.target, entry.key) && earlier > receipt
            });
            assert!(!is_late, "{receipt} came late: {:?}", self.receipts);
        }
    }
}
