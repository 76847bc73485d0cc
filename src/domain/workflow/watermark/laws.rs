//! Laws of watermarks for any sequence of events, as long as the replicas' clocks are right.

use proptest::prelude::*;

use super::*;

const SILENCE: i64 = 10;
const CATCH_UP: i64 = 60;
const LIMITS: OutageLimits = OutageLimits {
    silence: Duration::from_secs(10),
    catch_up: Duration::from_mins(1),
};

/// The next step of the simulation, for one of three slots of replicas.
#[derive(Clone, Copy, Debug)]
enum ReplicaStep {
    /// This many seconds in which running replicas write heartbeats.
    Live(u8),
    /// The replica is killed, or disconnected from the database: the two look the same.
    FallSilent(usize),
    /// A disconnected replica continues.
    Return(usize),
    /// Another process takes its slot.
    Start(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = ReplicaStep> {
    let place = 0..3_usize;
    prop_oneof![
        5 => (1..90_u8).prop_map(ReplicaStep::Live),
        2 => place.clone().prop_map(ReplicaStep::FallSilent),
        1 => place.clone().prop_map(ReplicaStep::Return),
        2 => place.clone().prop_map(ReplicaStep::Start),
        1 => place.prop_map(ReplicaStep::Leave),
    ]
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ReplicaSlot {
    #[default]
    Empty,
    Running(ReplicaId),
    Silent(ReplicaId),
}

/// The actual replicas, and the times at which the watermark must not move.
struct ReplicaModel {
    now: i64,
    places: [ReplicaSlot; 3],
    started: i64,
    recorded: Replicas,
    last_beats: BTreeMap<ReplicaId, i64>,
    /// The replica, and the beginning and end of the hold.
    holds: Vec<(ReplicaId, [i64; 2])>,
}

impl ReplicaModel {
    fn new() -> Self {
        Self {
            now: 0,
            places: [ReplicaSlot::default(); 3],
            started: 0,
            recorded: Replicas::none(Timestamp::from_secs(0)),
            last_beats: BTreeMap::new(),
            holds: Vec::new(),
        }
    }

    fn take(&mut self, step: ReplicaStep) {
        match step {
            ReplicaStep::Live(seconds) => (0..seconds).for_each(|_| self.live()),
            ReplicaStep::FallSilent(nth) => self.fall_silent(nth),
            ReplicaStep::Return(nth) => {
                if let ReplicaSlot::Silent(replica) = self.places[nth] {
                    self.places[nth] = ReplicaSlot::Running(replica);
                    self.forgive(replica);
                }
            }
            ReplicaStep::Start(nth) => {
                self.started += 1;
                self.leave(nth);
                self.places[nth] = ReplicaSlot::Running(ReplicaId(self.started));
            }
            ReplicaStep::Leave(nth) => self.leave(nth),
        }
    }

    fn fall_silent(&mut self, nth: usize) {
        let ReplicaSlot::Running(replica) = self.places[nth] else {
            return;
        };
        self.places[nth] = ReplicaSlot::Silent(replica);
        if let Some(last_beat) = self.last_beats.get(&replica) {
            let hold = [*last_beat, last_beat + SILENCE + CATCH_UP];
            self.holds.push((replica, hold));
        }
    }

    /// Removes the hold, since an interruption this short is no outage.
    fn forgive(&mut self, replica: ReplicaId) {
        if let Some(last_beat) = self.last_beats.get(&replica).copied()
            && self.now <= last_beat + SILENCE
        {
            let none = (replica, [last_beat, last_beat + SILENCE + CATCH_UP]);
            self.holds.retain(|hold| *hold != none);
        }
    }

    fn leave(&mut self, nth: usize) {
        if let ReplicaSlot::Running(replica) = self.places[nth] {
            let now = Timestamp::from_secs(self.now);
            self.recorded = self.recorded.clone().leave(replica, now, &LIMITS);
        }
        self.places[nth] = ReplicaSlot::Empty;
    }

    /// Simulates one second: running replicas write heartbeats, and the watermark must not pass a
    /// hold.
    fn live(&mut self) {
        self.now += 1;
        for place in self.places {
            let ReplicaSlot::Running(replica) = place else {
                continue;
            };
            self.hold_if_it_was_away(replica);
            let before = self.recorded.together.up_to;
            let now = Timestamp::from_secs(self.now);
            self.recorded = self
                .recorded
                .clone()
                .record_heartbeat(replica, now, &LIMITS);
            self.last_beats.insert(replica, self.now);
            self.check(before);
        }
    }

    /// Adds a hold if the replica had an outage. One that returns has received everything up to its
    /// last heartbeat, unless it was still waiting for its senders; a new one takes over from the
    /// last one.
    fn hold_if_it_was_away(&mut self, replica: ReplicaId) {
        let own = self.last_beats.get(&replica).copied();
        let last = own.or_else(|| self.last_beats.values().max().copied());
        if last.is_none_or(|last_beat| self.now - last_beat <= SILENCE) {
            return;
        }
        let since = own.map_or_else(
            || self.recorded.together.up_to.as_secs(),
            |last_beat| {
                let holds = self.holds.iter();
                let holds = holds.filter(|(of, [_, until])| *of == replica && last_beat < *until);
                holds
                    .map(|(_, [since, _])| *since)
                    .fold(last_beat, i64::min)
            },
        );
        self.holds.push((replica, [since, self.now + CATCH_UP]));
    }

    fn check(&self, before: Timestamp) {
        let up_to = self.recorded.together.up_to;
        assert!(up_to >= before, "it went back");
        let up_to = up_to.as_secs();
        assert!(up_to <= self.now, "it is ahead of the time");
        for (_, [since, until]) in &self.holds {
            let held = self.now < *until && up_to > *since && up_to > before.as_secs();
            assert!(
                !held,
                "it moved to {up_to} at {}, held from {since} until {until}",
                self.now
            );
        }
    }
}

proptest! {
    #[test]
    fn it_moves_only_while_nobody_is_waited_for(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = ReplicaModel::new();
        for step in steps {
            world.take(step);
        }
    }

    #[test]
    fn it_moves_again_once_all_had_their_time(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = ReplicaModel::new();
        for step in steps {
            world.take(step);
        }
        world.take(ReplicaStep::Start(0));
        for _ in 0..2 * (SILENCE + CATCH_UP) {
            world.live();
        }
        prop_assert_eq!(world.recorded.together.up_to, Timestamp::from_secs(world.now));
    }

    #[test]
    fn clocks_that_are_right_again_hold_up_nothing_for_long(
        jumps in prop::collection::vec((0..3_i64, -5_000..5_000_i64), 1..30)
    ) {
        let replicas = [ReplicaId(0), ReplicaId(1), ReplicaId(2)];
        let mut recorded = Replicas::none(Timestamp::from_secs(10_000));
        for (replica, jump) in jumps {
            recorded = recorded.record_heartbeat(ReplicaId(replica), Timestamp::from_secs(10_000 + jump), &LIMITS);
        }
        let right = 10_000 + SILENCE + 2 * CATCH_UP;
        for second in 10_000..=right {
            for replica in replicas {
                recorded = recorded.record_heartbeat(replica, Timestamp::from_secs(second), &LIMITS);
            }
        }
        let right = Timestamp::from_secs(right);
        prop_assert_eq!(recorded.together.as_of(right), right);
    }
}
