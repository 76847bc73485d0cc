//! Limits on requests, and the headers that say what is left of one (the IETF's draft
//! `httpapi-ratelimit-headers`).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    domain::access::{AttemptLimit, RequestCounts},
    server::whole_seconds,
    store::CHANGE_EVENTS_AN_HOUR,
    web::pages::targets::test::BETWEEN_TESTS,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit");

/// A limit on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct RequestLimit {
    name: &'static str,
    requests: u32,
    window: Duration,
}

impl RequestLimit {
    /// Of wrong tokens from one address.
    pub(in crate::web) const WRONG_TOKENS: Self = Self {
        name: "wrong-tokens",
        requests: AttemptLimit::MOST,
        window: AttemptLimit::WINDOW,
    };
    /// Of requests with one token, by the replica that takes them.
    pub(in crate::web) const TOKEN_REQUESTS: Self = Self {
        name: "token-requests",
        requests: RequestCounts::MOST,
        window: RequestCounts::WINDOW,
    };
    /// Of test notifications to one target.
    pub(in crate::web) const TARGET_TESTS: Self = Self {
        name: "target-tests",
        requests: 1,
        window: BETWEEN_TESTS,
    };
    pub(in crate::web) const CHANGE_EVENTS: Self = Self {
        name: "change-events",
        requests: CHANGE_EVENTS_AN_HOUR,
        window: Duration::from_hours(1),
    };

    /// Returns what is left after `used` requests, the first of which is forgotten after `more_in`.
    pub(in crate::web) fn after(self, used: u32, more_in: Duration) -> RemainingQuota {
        RemainingQuota {
            limit: self,
            remaining: self.requests.saturating_sub(used),
            more_in: if used == 0 { Duration::ZERO } else { more_in },
        }
    }

    /// Returns what is left if the next request is accepted after `again_in`.
    pub(in crate::web) fn exceeded(self, again_in: Duration) -> RemainingQuota {
        self.after(self.requests, again_in)
    }
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct RemainingQuota {
    limit: RequestLimit,
    remaining: u32,
    /// The time until more is left; zero if all is.
    pub(in crate::web) more_in: Duration,
}

impl RemainingQuota {
    pub(in crate::web) const fn is_spent(&self) -> bool {
        self.remaining == 0
    }

    /// Adds the headers `RateLimit-Policy` and `RateLimit` to those of other limits.
    pub(in crate::web) fn set(&self, headers: &mut HeaderMap) {
        let RequestLimit {
            name,
            requests,
            window,
        } = self.limit;
        let policy = format!("\"{name}\";q={requests};w={}", window.as_secs());
        let more = if self.more_in.is_zero() {
            String::new()
        } else {
            format!(";t={}", whole_seconds(self.more_in))
        };
        let remaining = format!("\"{name}\";r={}{more}", self.remaining);
        for (header, value) in [(POLICY, policy), (REMAINING, remaining)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(header, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(quota: RemainingQuota) -> [String; 2] {
        let mut headers = HeaderMap::new();
        quota.set(&mut headers);
        [POLICY, REMAINING].map(|name| headers[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn an_answer_says_what_is_left_and_when_there_is_more() {
        let left = RequestLimit::WRONG_TOKENS.after(3, Duration::from_millis(41_200));
        let policy = "\"wrong-tokens\";q=10;w=60";
        assert_eq!(headers(left), [policy, "\"wrong-tokens\";r=7;t=42"]);
    }

    #[test]
    fn limits_of_one_answer_are_all_there() {
        let mut headers = HeaderMap::new();
        RequestLimit::TOKEN_REQUESTS
            .after(1, Duration::from_mins(1))
            .set(&mut headers);
        RequestLimit::CHANGE_EVENTS
            .after(2, Duration::from_hours(1))
            .set(&mut headers);
        let all: Vec<_> = headers.get_all(REMAINING).iter().collect();
        assert_eq!(
            all,
            [
                "\"token-requests\";r=5999;t=60",
                "\"change-events\";r=998;t=3600"
            ]
        );
    }

    #[test]
    fn of_an_unused_limit_all_is_left() {
        let left = RequestLimit::TARGET_TESTS.after(0, Duration::from_mins(1));
        assert_eq!(
            headers(left),
            ["\"target-tests\";q=1;w=60", "\"target-tests\";r=1"]
        );
    }

    #[test]
    fn nothing_is_left_of_an_exceeded_limit() {
        let left = RequestLimit::CHANGE_EVENTS.exceeded(Duration::from_millis(1));
        assert_eq!(headers(left)[1], "\"change-events\";r=0;t=1");
    }
}
