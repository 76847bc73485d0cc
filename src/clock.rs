//! The only place that reads the time.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::domain::model::time::Timestamp;

/// The source of the current time: the database that replicas share, this machine, or a clock that
/// is set by a test or by a log that is read again.
#[derive(Clone, Debug)]
pub enum Clock {
    Database(DatabaseClock),
    System,
    Manual(ManualClock),
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Database(clock) => clock.now(),
            Self::System => system_now(),
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Adjusts the clock to `database`, the database's time in a response that has just arrived to
    /// a query sent at `asked_at`. Only [`Clock::Database`] follows it.
    pub fn keep_to(&self, database: Timestamp, asked_at: Instant) {
        if let Self::Database(clock) = self {
            clock.keep_to(database, asked_at, Instant::now());
        }
    }
}

/// The database's clock as it was last read, advanced by the monotonic clock of this machine.
///
/// So all replicas agree on the time even if the wall clocks of their machines are wrong or jump.
/// Before the first reading it is the wall clock of this machine. Clones share the reading.
#[derive(Clone, Debug, Default)]
pub struct DatabaseClock(Arc<Mutex<Option<ClockReading>>>);

#[derive(Clone, Copy, Debug)]
struct ClockReading {
    time: Timestamp,
    at: Instant,
}

/// Smaller differences are ignored: the latency of a response causes them, and following them would
/// move the time back and forth.
const TOLERANCE: Duration = Duration::from_millis(100);
/// A response that took longer is ignored: its time is too uncertain.
const LONGEST_WAY: Duration = Duration::from_secs(1);

impl ClockReading {
    fn carried_on_to(self, at: Instant) -> Timestamp {
        self.time + at.saturating_duration_since(self.at)
    }
}

impl DatabaseClock {
    fn now(&self) -> Timestamp {
        self.at(Instant::now()).unwrap_or_else(system_now)
    }

    fn at(&self, at: Instant) -> Option<Timestamp> {
        let reading = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.map(|reading| reading.carried_on_to(at))
    }

    fn keep_to(&self, database: Timestamp, asked_at: Instant, at: Instant) {
        let way = at.saturating_duration_since(asked_at);
        let time = database + way / 2;
        let is_better = self.at(at).is_none_or(|known| {
            let off = Duration::from_micros(known.micros_since(time).unsigned_abs());
            way <= LONGEST_WAY && off > TOLERANCE.max(way)
        });
        if is_better {
            let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *reading = Some(ClockReading { time, at });
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the time"
)]
fn system_now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp::UNIX_EPOCH + since_epoch
}

/// A clock that only moves when it is set. Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.as_micros())))
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }

    /// Sets the time; earlier times are allowed, as real clocks also jump back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_secs(1_795_348_800);

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn t04_the_databases_time_goes_on_whatever_the_machines_clock_says() {
        let (clock, at) = (DatabaseClock::default(), Instant::now());
        clock.keep_to(NOON, at, at);
        assert_eq!(clock.at(at), Some(NOON));
        assert_eq!(clock.at(at + SECOND * 90), Some(NOON + SECOND * 90));
    }

    #[test]
    fn the_time_that_an_answer_takes_does_not_move_it() {
        let (clock, at) = (DatabaseClock::default(), Instant::now());
        clock.keep_to(NOON, at, at);
        let later = at + Duration::from_millis(80);
        clock.keep_to(NOON, at, later);
        assert_eq!(clock.at(later), Some(NOON + Duration::from_millis(80)));
    }

    #[test]
    fn it_follows_where_the_database_goes_but_not_by_an_answer_that_was_long_on_its_way() {
        let (clock, at) = (DatabaseClock::default(), Instant::now());
        clock.keep_to(NOON, at, at);
        let later = NOON + SECOND * 3_600;
        clock.keep_to(later, at, at);
        assert_eq!(clock.at(at), Some(later));
        clock.keep_to(NOON, at, at + SECOND * 2);
        assert_eq!(clock.at(at + SECOND * 2), Some(later + SECOND * 2));
    }

    #[test]
    fn until_the_database_has_spoken_it_is_the_machines() {
        let clock = Clock::Database(DatabaseClock::default());
        let off = clock.now().micros_since(Clock::System.now()).unsigned_abs();
        assert!(off < 60_000_000, "{off} us");
    }
}
