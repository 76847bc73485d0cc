//! How many messages people read in a chat: some one by one, what is more in digests.

use std::time::Duration;

use super::rate_limit::RateLimit;
use crate::domain::model::time::Timestamp;

/// Ten at once, as in a storm, then one every half minute.
const SINGLE_MESSAGES: RateLimit = RateLimit {
    every: Duration::from_secs(30),
    burst: 10,
};
/// The first at once, so that people know of a storm; each that follows gathers what has come meanwhile.
const DIGESTS: RateLimit = RateLimit {
    every: Duration::from_secs(30),
    burst: 1,
};

/// What a chat has been sent of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatPace {
    /// When ten single messages at once are allowed again.
    pub singles_free_at: Timestamp,
    /// When a digest is allowed again.
    pub digest_free_at: Timestamp,
}

impl ChatPace {
    /// Of a target that nothing was sent to.
    pub const UNUSED: Self = Self {
        singles_free_at: Timestamp::UNIX_EPOCH,
        digest_free_at: Timestamp::UNIX_EPOCH,
    };

    /// How many messages may be sent singly.
    pub fn singles(self, now: Timestamp) -> usize {
        let allowed = SINGLE_MESSAGES.allows(self.singles_free_at, now);
        usize::try_from(allowed).unwrap_or(usize::MAX)
    }

    pub fn allows_digest(self, now: Timestamp) -> bool {
        self.digest_free_at <= now
    }

    /// From when on a message may be sent singly, not before.
    pub fn next_single(self) -> Timestamp {
        SINGLE_MESSAGES.next_slot(self.singles_free_at)
    }

    /// Once so many messages are sent singly, and so many digests.
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
