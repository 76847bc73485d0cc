//! The number of messages that people can read in a chat: some single ones, the rest in digests.

use std::time::Duration;

use super::rate_limit::RateLimit;
use crate::domain::model::time::Timestamp;

/// Ten at once, then one every half minute.
const SINGLE_MESSAGES: RateLimit = RateLimit {
    every: Duration::from_secs(30),
    burst: 10,
};
/// The first at once, so that people notice a storm of alerts; each later one contains all that
/// arrived in between.
const DIGESTS: RateLimit = RateLimit {
    every: Duration::from_secs(30),
    burst: 1,
};

/// The recent messages to a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatPace {
    /// The time at which ten single messages at once are allowed again.
    pub singles_free_at: Timestamp,
    /// The time at which a digest is allowed again.
    pub digest_free_at: Timestamp,
}

impl ChatPace {
    /// The state of a target that nothing was sent to.
    pub const UNUSED: Self = Self {
        singles_free_at: Timestamp::UNIX_EPOCH,
        digest_free_at: Timestamp::UNIX_EPOCH,
    };

    /// Returns how many messages may be sent singly.
    pub fn singles(self, now: Timestamp) -> usize {
        let allowed = SINGLE_MESSAGES.allows(self.singles_free_at, now);
        usize::try_from(allowed).unwrap_or(usize::MAX)
    }

    pub fn allows_digest(self, now: Timestamp) -> bool {
        self.digest_free_at <= now
    }

    /// Returns when the next message may be sent singly.
    pub fn next_single(self) -> Timestamp {
        SINGLE_MESSAGES.next_slot(self.singles_free_at)
    }

    /// Returns the state after sending this many single messages and digests.
    #[must_use]
    pub fn spent(self, now: Timestamp, singles: u32, digests: u32) -> Self {
        Self {
            singles_free_at: match singles {
                0 => self.singles_free_at,
                _ => SINGLE_MESSAGES.spend(self.singles_free_at, now, singles),
            },
            digest_free_at: match digests {
                0 => self.digest_free_at,
                _ => DIGESTS.spend(self.digest_free_at, now, digests),
            },
        }
    }
}
