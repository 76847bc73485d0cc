//! A limit on wrong tokens and sessions. A sender of too many is rejected for a while. Others are not
//! affected, nor are tokens and sessions of the same sender that were accepted before.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::{ApiToken, KnownTokens, TokenDigest, TokenRecord, TokenRefusal};
use crate::domain::model::time::Timestamp;

/// Attempts by the network of their sender.
#[derive(Clone, Debug, Default)]
pub struct AttemptLimit {
    wrong: HashMap<Network, WindowCount>,
    /// Those of all networks for which `wrong` has no place.
    others: Option<WindowCount>,
    /// The time at which a sender last used a valid token or session.
    right: HashMap<(Network, TokenDigest), Timestamp>,
    swept_at: Option<Timestamp>,
}

/// An IPv4 address or the /64 of an IPv6 address, which is what one sender has at least; `None` if it
/// is unknown.
type Network = Option<IpAddr>;

/// How often something happened since the first time, which is forgotten after a minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowCount {
    since: Timestamp,
    pub(super) count: u32,
}

/// A sender with too many wrong tokens, and when its next one is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong tokens came from this address")]
pub struct Blocked {
    pub again_in: Duration,
}

/// The reason why a token is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenLookupError {
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
    #[error(transparent)]
    Blocked(#[from] Blocked),
}

impl AttemptLimit {
    /// The limit of wrong tokens of one sender within [`WINDOW`](Self::WINDOW).
    pub const MOST: u32 = 10;
    pub const WINDOW: Duration = WindowCount::WINDOW;
    const REMEMBERED: Duration = Duration::from_hours(1);
    /// Bounds memory, even if an attacker has many addresses.
    const MOST_SENDERS: usize = 10_000;
    /// The limit of all senders together that have no place of their own. Above it those of them are
    /// rejected who were not accepted before.
    const MOST_OF_OTHERS: u32 = 10_000;
    /// The least time between two sweeps, each of which looks at all senders.
    const BETWEEN_SWEEPS: Duration = Duration::from_secs(1);

    /// Returns the record of a token from `sender`, if it is valid at `now`.
    pub fn find<'t>(
        &mut self,
        sender: Option<IpAddr>,
        token: &ApiToken,
        known: &'t KnownTokens,
        now: Timestamp,
    ) -> Result<&'t TokenRecord, TokenLookupError> {
        let digest = token.digest();
        self.check(sender, digest, now)?;
        let found = known.find(token, now);
        match &found {
            Ok(_) => self.note_right(sender, digest, now),
            Err(_) => self.note_wrong(sender, now),
        }
        Ok(found?)
    }

    /// Returns whether a token or session of `sender` may be checked.
    pub fn check(
        &self,
        sender: Option<IpAddr>,
        secret: TokenDigest,
        now: Timestamp,
    ) -> Result<(), Blocked> {
        let was_right = self.right.get(&(network(sender), secret));
        let is_trusted = was_right.is_some_and(|at| now < *at + Self::REMEMBERED);
        if is_trusted {
            return Ok(());
        }
        self.admit(sender, now)
    }

    /// Returns whether any token of `sender` may be checked.
    pub fn admit(&self, sender: Option<IpAddr>, now: Timestamp) -> Result<(), Blocked> {
        let own = self.wrong.get(&network(sender)).copied();
        let (wrong, most) = match own {
            None if self.wrong.len() >= Self::MOST_SENDERS => (self.others, Self::MOST_OF_OTHERS),
            own => (own, Self::MOST),
        };
        match wrong.filter(|wrong| wrong.counts_at(now) && wrong.count >= most) {
            None => Ok(()),
            Some(wrong) => Err(Blocked {
                again_in: wrong.until().saturating_since(now),
            }),
        }
    }

    /// Returns how many wrong tokens of `sender` count at `now`, and when they do no longer.
    pub fn used(&self, sender: Option<IpAddr>, now: Timestamp) -> (u32, Duration) {
        let wrong = self.wrong.get(&network(sender));
        let current = wrong.filter(|wrong| wrong.counts_at(now));
        current.map_or((0, Duration::ZERO), |wrong| {
            (wrong.count, wrong.until().saturating_since(now))
        })
    }

    /// Counts a wrong token or session of `sender`.
    pub fn note_wrong(&mut self, sender: Option<IpAddr>, now: Timestamp) {
        let sender = network(sender);
        if self.wrong.len() >= Self::MOST_SENDERS {
            self.sweep(now);
        }
        let is_full = self.wrong.len() >= Self::MOST_SENDERS && !self.wrong.contains_key(&sender);
        let fresh = WindowCount::begin(now);
        let wrong = if is_full {
            self.others.get_or_insert(fresh)
        } else {
            self.wrong.entry(sender).or_insert(fresh)
        };
        wrong.add(now);
    }

    /// Remembers that a token or session of `sender` was accepted.
    pub fn note_right(&mut self, sender: Option<IpAddr>, secret: TokenDigest, now: Timestamp) {
        let key = (network(sender), secret);
        if self.right.len() >= Self::MOST_SENDERS {
            self.sweep(now);
        }
        if self.right.len() < Self::MOST_SENDERS || self.right.contains_key(&key) {
            self.right.insert(key, now);
        }
    }

    /// Forgets what does not count any more.
    fn sweep(&mut self, now: Timestamp) {
        if self
            .swept_at
            .is_some_and(|at| now < at + Self::BETWEEN_SWEEPS)
        {
            return;
        }
        self.swept_at = Some(now);
        self.wrong.retain(|_, wrong| wrong.counts_at(now));
        self.right.retain(|_, at| now < *at + Self::REMEMBERED);
    }
}

impl WindowCount {
    pub(super) const WINDOW: Duration = Duration::from_mins(1);

    pub(super) const fn begin(now: Timestamp) -> Self {
        Self {
            since: now,
            count: 0,
        }
    }

    pub(super) fn until(&self) -> Timestamp {
        self.since + Self::WINDOW
    }

    pub(super) fn counts_at(&self, now: Timestamp) -> bool {
        now < self.until()
    }

    /// Counts one more, from now on if those before are forgotten.
    pub(super) fn add(&mut self, now: Timestamp) {
        if !self.counts_at(now) {
            *self = Self::begin(now);
        }
        self.count = self.count.saturating_add(1);
    }
}

fn network(sender: Option<IpAddr>) -> Network {
    sender.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: TokenDigest = TokenDigest([1; 32]);
    const WRONG: TokenDigest = TokenDigest([2; 32]);

    fn blocked() -> AttemptLimit {
        let mut limit = AttemptLimit::default();
        limit.note_right(Some(ip("192.0.2.1")), RIGHT, at(0));
        for _ in 0..AttemptLimit::MOST {
            limit.note_wrong(Some(ip("192.0.2.1")), at(0));
        }
        limit
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn numbered(sender: u32) -> IpAddr {
        IpAddr::V4(sender.into())
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn too_many_wrong_tokens_block_their_sender_for_a_minute_and_nobody_else() {
        let limit = blocked();
        let again_in = Duration::from_secs(20);
        let blocked = limit.check(Some(ip("192.0.2.1")), WRONG, at(40));
        assert_eq!(blocked, Err(Blocked { again_in }));
        assert_eq!(limit.check(Some(ip("192.0.2.1")), WRONG, at(60)), Ok(()));
        assert_eq!(limit.check(Some(ip("192.0.2.2")), WRONG, at(40)), Ok(()));
    }

    #[test]
    fn wrong_tokens_count_for_a_minute_from_the_first() {
        let limit = blocked();
        let count = AttemptLimit::MOST;
        let used = |address, secs| limit.used(Some(ip(address)), at(secs));
        assert_eq!(used("192.0.2.1", 40), (count, Duration::from_secs(20)));
        assert_eq!(used("192.0.2.1", 60), (0, Duration::ZERO));
        assert_eq!(used("192.0.2.2", 40), (0, Duration::ZERO));
    }

    #[test]
    fn a_token_that_was_right_before_is_not_blocked() {
        assert_eq!(
            blocked().check(Some(ip("192.0.2.1")), RIGHT, at(40)),
            Ok(())
        );
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_are_one_sender() {
        let mut limit = AttemptLimit::default();
        for host in 0..AttemptLimit::MOST {
            limit.note_wrong(Some(ip(&format!("2001:db8::{host:x}"))), at(0));
        }
        assert!(limit.admit(Some(ip("2001:db8::ffff:1")), at(1)).is_err());
        assert!(limit.admit(Some(ip("2001:db8:0:1::1")), at(1)).is_ok());
        let mapped = blocked().admit(Some(ip("::ffff:192.0.2.1")), at(1));
        assert!(mapped.is_err());
    }

    #[test]
    fn no_number_of_senders_fills_the_memory() {
        let mut limit = AttemptLimit::default();
        for sender in 0..20_000 {
            limit.note_wrong(Some(numbered(sender)), at(0));
            limit.note_right(Some(numbered(sender)), RIGHT, at(0));
        }
        assert_eq!(limit.wrong.len(), AttemptLimit::MOST_SENDERS);
        assert_eq!(limit.right.len(), AttemptLimit::MOST_SENDERS);
        limit.note_wrong(Some(numbered(20_000)), at(3_600));
        assert_eq!(limit.wrong.len(), 1);
    }

    #[test]
    fn senders_without_a_place_of_their_own_have_one_limit_together() {
        let mut limit = AttemptLimit::default();
        let known = Some(numbered(1_000_000));
        limit.note_right(known, RIGHT, at(0));
        let places = u32::try_from(AttemptLimit::MOST_SENDERS).unwrap();
        let others = places..places + AttemptLimit::MOST_OF_OTHERS;
        for sender in (0..places).chain(others) {
            assert_eq!(
                limit.admit(Some(numbered(sender)), at(0)),
                Ok(()),
                "{sender}"
            );
            limit.note_wrong(Some(numbered(sender)), at(0));
        }
        assert!(limit.admit(Some(numbered(999_999)), at(0)).is_err());
        assert_eq!(limit.check(known, RIGHT, at(0)), Ok(()), "not affected");
        assert_eq!(
            limit.admit(Some(numbered(0)), at(0)),
            Ok(()),
            "it has a place"
        );
        assert_eq!(limit.admit(Some(numbered(999_999)), at(60)), Ok(()));
    }

    #[test]
    fn a_full_table_is_swept_once_a_second() {
        let mut limit = AttemptLimit::default();
        let places = u32::try_from(AttemptLimit::MOST_SENDERS).unwrap();
        (0..places).for_each(|sender| limit.note_wrong(Some(numbered(sender)), at(0)));
        let late = at(59) + Duration::from_millis(500);
        limit.note_wrong(Some(numbered(places)), late);
        limit.note_wrong(Some(numbered(places)), at(60));
        assert_eq!(limit.wrong.len(), AttemptLimit::MOST_SENDERS, "too soon");
        limit.note_wrong(Some(numbered(places)), at(61));
        assert_eq!(limit.wrong.len(), 1);
    }
}
