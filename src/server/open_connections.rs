//! The open connections of one port: their peers, which of them are idle, and which one to close
//! when the port or a peer has reached its limit.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::Notify, task, time::Instant};
use tokio_util::sync::CancellationToken;

use super::limits::ConnectionLimits;

/// The activity of one connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<ActivityState>);

#[derive(Debug)]
struct ActivityState {
    requests_under_way: AtomicUsize,
    last: Mutex<LastUse>,
    became_idle: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
struct LastUse {
    at: Instant,
    is_request: bool,
}

impl Activity {
    /// Makes the activity of a new connection. `became_idle` is notified when its requests are
    /// answered.
    pub(super) fn new(now: Instant, became_idle: Arc<Notify>) -> Self {
        Self(Arc::new(ActivityState {
            requests_under_way: AtomicUsize::new(0),
            last: Mutex::new(LastUse {
                at: now,
                is_request: false,
            }),
            became_idle,
        }))
    }

    /// Records a request, which is in progress until the returned value is dropped.
    pub(super) fn begin_request(&self) -> RequestUnderWay {
        self.0.requests_under_way.fetch_add(1, Ordering::SeqCst);
        self.note_use();
        RequestUnderWay(self.clone())
    }

    pub(super) fn had_a_request(&self) -> bool {
        self.last().is_request
    }

    fn is_idle(&self) -> bool {
        self.0.requests_under_way.load(Ordering::SeqCst) == 0
    }

    fn note_use(&self) {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = LastUse {
            at: Instant::now(),
            is_request: true,
        };
    }

    fn last(&self) -> LastUse {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct RequestUnderWay(Activity);

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.note_use();
        let state = &self.0.0;
        if state.requests_under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
            state.became_idle.notify_one();
        }
    }
}

#[derive(Debug)]
pub(super) struct OpenConnection {
    pub(super) peer: IpAddr,
    pub(super) activity: Activity,
    /// Requests that the connection closes to make room for another.
    pub(super) make_room: CancellationToken,
}

/// The decision about a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Open,
    /// Accepted after an idle connection of any peer was closed, since the port had reached its
    /// limit.
    InsteadOfAny,
    /// Accepted after an idle connection of the same peer was closed, since the peer had reached
    /// its limit.
    InsteadOfOwn,
    /// Closed: its peer has reached its limit, and all its connections are busy.
    Refused,
}

impl Admission {
    /// Returns the reason in metrics, if a connection is closed.
    pub(super) const fn as_label(self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::InsteadOfAny => Some("port_full"),
            Self::InsteadOfOwn => Some("peer_full"),
            Self::Refused => Some("peer_busy"),
        }
    }
}

/// The open connections, without those that are closing.
#[derive(Debug, Default)]
pub(super) struct OpenConnections(HashMap<task::Id, OpenConnection>);

impl OpenConnections {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the port has reached its limit and no connection can be closed.
    pub(super) fn is_full(&self, limits: &ConnectionLimits) -> bool {
        let is_idle = |open: &OpenConnection| open.activity.is_idle();
        self.0.len() >= limits.connections && !self.0.values().any(is_idle)
    }

    /// Makes room for one more connection of `peer`.
    pub(super) fn admit(&mut self, peer: IpAddr, limits: &ConnectionLimits) -> Admission {
        let of_peer = self.0.values().filter(|open| open.peer == peer);
        if of_peer.count() >= limits.per_peer {
            return if self.close_idle(|open| open.peer == peer) {
                Admission::InsteadOfOwn
            } else {
                Admission::Refused
            };
        }
        if self.0.len() >= limits.connections && self.close_idle(|_| true) {
            return Admission::InsteadOfAny;
        }
        Admission::Open
    }

    pub(super) fn add(&mut self, task: task::Id, open: OpenConnection) {
        self.0.insert(task, open);
    }

    pub(super) fn remove(&mut self, task: task::Id) {
        self.0.remove(&task);
    }

    /// Closes the least recently used idle connection. Returns whether there was one.
    fn close_idle(&mut self, may_close: impl Fn(&OpenConnection) -> bool) -> bool {
        let idle = self
            .0
            .iter()
            .filter(|(_, open)| may_close(open) && open.activity.is_idle());
        let Some(task) = idle
            .min_by_key(|(_, open)| open.activity.last().at)
            .map(|(task, _)| *task)
        else {
            return false;
        };
        if let Some(open) = self.0.remove(&task) {
            open.make_room.cancel();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: fn() -> ConnectionLimits = || ConnectionLimits {
        connections: 4,
        per_peer: 2,
        ..ConnectionLimits::default()
    };

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Opens connections a second after each other, given the last number of each peer's address.
    fn opened(peers: &[u8]) -> (OpenConnections, Vec<OpenConnection>) {
        let (mut open, mut all) = (OpenConnections::default(), Vec::new());
        let mut tasks = task::JoinSet::new();
        for (second, last) in (0..).zip(peers) {
            let at = Instant::now() + Duration::from_secs(second);
            let connection = || OpenConnection {
                peer: peer(*last),
                activity: Activity::new(at, Arc::default()),
                make_room: CancellationToken::new(),
            };
            let one = connection();
            let same = OpenConnection {
                peer: one.peer,
                activity: one.activity.clone(),
                make_room: one.make_room.clone(),
            };
            open.add(tasks.spawn(async {}).id(), one);
            all.push(same);
        }
        (open, all)
    }

    /// Returns the indexes of the connections that are closing.
    fn closed(all: &[OpenConnection]) -> Vec<usize> {
        let is_closed = |at: &usize| all[*at].make_room.is_cancelled();
        (0..all.len()).filter(is_closed).collect()
    }

    #[tokio::test]
    async fn the_idle_connection_that_was_used_least_recently_makes_room() {
        let (mut open, all) = opened(&[1, 2, 3, 4]);
        let _busy = all[0].activity.begin_request();
        assert_eq!(open.admit(peer(5), &LIMITS()), Admission::InsteadOfAny);
        assert_eq!(closed(&all), [1]);
        assert_eq!(open.len(), 3);
        assert_eq!(open.admit(peer(5), &LIMITS()), Admission::Open);
        assert_eq!(closed(&all), [1]);
    }

    #[tokio::test]
    async fn a_peer_with_as_many_as_it_may_have_makes_room_itself() {
        let (mut open, all) = opened(&[1, 2, 2]);
        assert_eq!(open.admit(peer(2), &LIMITS()), Admission::InsteadOfOwn);
        assert_eq!(closed(&all), [1]);
        let (mut open, all) = opened(&[1, 2, 2]);
        let _busy = [1, 2].map(|at: usize| all[at].activity.begin_request());
        assert_eq!(open.admit(peer(2), &LIMITS()), Admission::Refused);
        assert_eq!(closed(&all), [0; 0]);
    }

    #[tokio::test]
    async fn it_is_full_only_while_all_are_busy() {
        let (open, all) = opened(&[1, 2, 3, 4]);
        assert!(!open.is_full(&LIMITS()));
        let mut busy: Vec<_> = all.iter().map(|one| one.activity.begin_request()).collect();
        assert!(open.is_full(&LIMITS()));
        busy.pop();
        assert!(!open.is_full(&LIMITS()));
    }
}
