//! A limit on requests with one token, so that one program leaves others their share.

use std::{collections::HashMap, time::Duration};

use uuid::Uuid;

use super::attempts::WindowCount;
use crate::domain::model::time::Timestamp;

/// Requests by the id of their token.
#[derive(Clone, Debug, Default)]
pub struct RequestCounts {
    counted: HashMap<Uuid, WindowCount>,
}

impl RequestCounts {
    /// The limit of requests with one token within [`WINDOW`](Self::WINDOW).
    pub const MOST: u32 = 6_000;
    pub const WINDOW: Duration = WindowCount::WINDOW;

    /// Counts a request. Returns how many count at `now`, and when they do no longer.
    pub fn count(&mut self, token: Uuid, now: Timestamp) -> (u32, Duration) {
        if !self.counted.contains_key(&token) {
            self.counted.retain(|_, requests| requests.counts_at(now));
        }
        let requests = self.counted.entry(token);
        let requests = requests.or_insert_with(|| WindowCount::begin(now));
        requests.add(now);
        (requests.count, requests.until().saturating_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn each_token_has_a_count_of_its_own_for_a_minute() {
        let mut counts = RequestCounts::default();
        let [mine, other] = [1, 2].map(Uuid::from_u128);
        assert_eq!(counts.count(mine, at(0)), (1, Duration::from_mins(1)));
        assert_eq!(counts.count(mine, at(59)), (2, Duration::from_secs(1)));
        assert_eq!(counts.count(other, at(59)), (1, Duration::from_mins(1)));
        assert_eq!(counts.count(mine, at(60)), (1, Duration::from_mins(1)));
    }

    #[test]
    fn tokens_that_are_not_used_any_more_are_forgotten() {
        let mut counts = RequestCounts::default();
        for token in 0..1_000 {
            counts.count(Uuid::from_u128(token), at(0));
        }
        counts.count(Uuid::from_u128(1_000), at(60));
        assert_eq!(counts.counted.len(), 1);
    }
}
