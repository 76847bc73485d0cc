//! A limit on wrong tokens. A sender of too many is rejected for a while. Others are not affected, nor
//! are tokens of the same sender that were accepted before.

use std::{collections::HashMap, hash::Hash, time::Duration};

use super::{ApiToken, KnownTokens, TokenDigest, TokenRecord, TokenRefusal};
use crate::domain::model::time::Timestamp;

/// Attempts by sender `K`, such as an IP address.
#[derive(Clone, Debug)]
pub struct AttemptLimit<K> {
    wrong: HashMap<K, WrongAttempts>,
    /// The time at which a sender last used a valid token.
    right: HashMap<(K, TokenDigest), Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct WrongAttempts {
    since: Timestamp,
    count: u32,
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

impl<K: Clone + Eq + Hash> AttemptLimit<K> {
    /// The limit of wrong tokens of one sender within [`WINDOW`](Self::WINDOW).
    pub const MOST: u32 = 10;
    pub const WINDOW: Duration = Duration::from_mins(1);
    const REMEMBERED: Duration = Duration::from_hours(1);
    /// Bounds memory, even if an attacker has many addresses.
    const MOST_SENDERS: usize = 10_000;

    /// Returns the record of a token from `sender`, if it is valid at `now`.
    pub fn find<'t>(
        &mut self,
        sender: K,
        token: &ApiToken,
        known: &'t KnownTokens,
        now: Timestamp,
    ) -> Result<&'t TokenRecord, TokenLookupError> {
        let digest = token.digest();
        self.check(&sender, digest, now)?;
        let found = known.find(token, now);
        match &found {
            Ok(_) => self.note_right(sender, digest, now),
            Err(_) => self.note_wrong(sender, now),
        }
        Ok(found?)
    }

    /// Returns whether a token of `sender` may be checked.
    fn check(&self, sender: &K, token: TokenDigest, now: Timestamp) -> Result<(), Blocked> {
        let was_right = self.right.get(&(sender.clone(), token));
        let is_trusted = was_right.is_some_and(|at| now < *at + Self::REMEMBERED);
        if is_trusted {
            return Ok(());
        }
        self.admit(sender, now)
    }

    /// Returns whether any token of `sender` may be checked.
    pub fn admit(&self, sender: &K, now: Timestamp) -> Result<(), Blocked> {
        let Some(wrong) = self.wrong.get(sender) else {
            return Ok(());
        };
        let until = wrong.since + Self::WINDOW;
        if wrong.count < Self::MOST || now >= until {
            return Ok(());
        }
        Err(Blocked {
            again_in: until.saturating_since(now),
        })
    }

    /// Returns how many wrong tokens of `sender` count at `now`, and when they do no longer.
    pub fn used(&self, sender: &K, now: Timestamp) -> (u32, Duration) {
        let wrong = self.wrong.get(sender);
        let current = wrong.filter(|wrong| now < wrong.since + Self::WINDOW);
        current.map_or((0, Duration::ZERO), |wrong| {
            let until = wrong.since + Self::WINDOW;
            (wrong.count, until.saturating_since(now))
        })
    }

    /// Counts a wrong token of `sender`.
    pub fn note_wrong(&mut self, sender: K, now: Timestamp) {
        if self.wrong.len() >= Self::MOST_SENDERS {
            self.wrong
                .retain(|_, wrong| now < wrong.since + Self::WINDOW);
        }
        if self.wrong.len() >= Self::MOST_SENDERS && !self.wrong.contains_key(&sender) {
            return;
        }
        let fresh = WrongAttempts {
            since: now,
            count: 0,
        };
        let wrong = self.wrong.entry(sender).or_insert(fresh);
        if now >= wrong.since + Self::WINDOW {
            *wrong = fresh;
        }
        wrong.count += 1;
    }

    fn note_right(&mut self, sender: K, token: TokenDigest, now: Timestamp) {
        if self.right.len() >= Self::MOST_SENDERS {
            self.right.retain(|_, at| now < *at + Self::REMEMBERED);
        }
        if self.right.len() < Self::MOST_SENDERS {
            self.right.insert((sender, token), now);
        }
    }
}

impl<K> Default for AttemptLimit<K> {
    fn default() -> Self {
        Self {
            wrong: HashMap::new(),
            right: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: TokenDigest = TokenDigest([1; 32]);
    const WRONG: TokenDigest = TokenDigest([2; 32]);

    fn blocked() -> AttemptLimit<&'static str> {
        let mut limit = AttemptLimit::default();
        limit.note_right("mallory", RIGHT, at(0));
        for _ in 0..AttemptLimit::<&str>::MOST {
            limit.note_wrong("mallory", at(0));
        }
        limit
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn too_many_wrong_tokens_block_their_sender_for_a_minute_and_nobody_else() {
        let limit = blocked();
        let again_in = Duration::from_secs(20);
        let blocked = limit.check(&"mallory", WRONG, at(40));
        assert_eq!(blocked, Err(Blocked { again_in }));
        assert_eq!(limit.check(&"mallory", WRONG, at(60)), Ok(()));
        assert_eq!(limit.check(&"dana", WRONG, at(40)), Ok(()));
    }

    #[test]
    fn wrong_tokens_count_for_a_minute_from_the_first() {
        let limit = blocked();
        let count = AttemptLimit::<&str>::MOST;
        assert_eq!(
            limit.used(&"mallory", at(40)),
            (count, Duration::from_secs(20))
        );
        assert_eq!(limit.used(&"mallory", at(60)), (0, Duration::ZERO));
        assert_eq!(limit.used(&"dana", at(40)), (0, Duration::ZERO));
    }

    #[test]
    fn a_token_that_was_right_before_is_not_blocked() {
        assert_eq!(blocked().check(&"mallory", RIGHT, at(40)), Ok(()));
    }

    #[test]
    fn no_number_of_senders_fills_the_memory() {
        let mut limit = AttemptLimit::default();
        for sender in 0..20_000 {
            limit.note_wrong(sender, at(0));
            limit.note_right(sender, RIGHT, at(0));
        }
        assert_eq!(limit.wrong.len(), AttemptLimit::<i32>::MOST_SENDERS);
        assert_eq!(limit.right.len(), AttemptLimit::<i32>::MOST_SENDERS);
        limit.note_wrong(20_000, at(3_600));
        assert_eq!(limit.wrong.len(), 1);
    }
}
