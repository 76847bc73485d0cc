//! Every way in which a target may behave when it is told for the first time.

use std::time::Duration;

use super::expired::Expired;
use crate::support::receiver::{Receiver, Reply};

/// What the program gives a target in these tests.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// How a target behaves once, before it is as it should be.
#[derive(Clone, Debug)]
pub(super) struct Mode {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    first: First,
    /// Requests until the target is told, if nobody dies.
    pub(super) requests: usize,
    /// Whether the first try tells it.
    pub(super) told_at_once: bool,
    /// Whether it ends without an answer.
    pub(super) is_unknown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Webhook,
    Slack,
}

#[derive(Clone, Debug)]
enum First {
    Fine,
    Replies(Reply),
    /// Its address leads to a server with an expired certificate.
    ExpiredCertificate,
    /// Its name cannot be resolved.
    NoName,
}

/// A target that behaves so.
#[derive(Debug)]
pub(super) struct Behaving {
    pub(super) receiver: Receiver,
    /// Where it is told first; `None` if that is the receiver.
    pub(super) elsewhere: Option<String>,
    pub(super) expired: Option<Expired>,
}

impl Mode {
    fn told(name: &'static str, first: First) -> Self {
        Self {
            name,
            kind: Kind::Webhook,
            first,
            requests: 1,
            told_at_once: true,
            is_unknown: false,
        }
    }

    fn told_by_the_second(name: &'static str, reply: Reply) -> Self {
        Self {
            requests: 2,
            told_at_once: false,
            ..Self::told(name, First::Replies(reply))
        }
    }

    fn unanswered(name: &'static str, reply: Reply) -> Self {
        Self {
            is_unknown: true,
            ..Self::told_by_the_second(name, reply)
        }
    }

    fn unreachable(name: &'static str, first: First) -> Self {
        Self {
            told_at_once: false,
            ..Self::told(name, first)
        }
    }

    /// Whether the first try gets as far as a request to the receiver.
    pub(super) const fn is_reached(&self) -> bool {
        matches!(self.first, First::Fine | First::Replies(_))
    }

    /// `before` come before what is this mode's own.
    pub(super) async fn start(&self, before: Vec<Reply>) -> Behaving {
        let own = match &self.first {
            First::Replies(reply) => Some(reply.clone()),
            First::Fine | First::ExpiredCertificate | First::NoName => None,
        };
        let receiver = Receiver::start(before.into_iter().chain(own)).await;
        let expired = match self.first {
            First::ExpiredCertificate => Some(Expired::start().await),
            _ => None,
        };
        let elsewhere = match &self.first {
            First::ExpiredCertificate => expired.as_ref().map(|server| server.url.clone()),
            // No resolver knows the names below `.invalid` (RFC 6761).
            First::NoName => Some("http://hooks.invalid/".to_owned()),
            First::Fine | First::Replies(_) => None,
        };
        Behaving {
            receiver,
            elsewhere,
            expired,
        }
    }
}

fn says(status: u16, body: &str) -> Reply {
    Reply::Status(status, body.to_owned())
}

fn header(status: u16, name: &'static str, value: &str) -> Reply {
    Reply::Header(status, name, value.to_owned())
}

/// All of them, each with what must come of it.
pub(super) fn all() -> Vec<Mode> {
    let slack = |mode: Mode| Mode {
        kind: Kind::Slack,
        ..mode
    };
    let told = |name, reply| Mode::told(name, First::Replies(reply));
    let again = Mode::told_by_the_second;
    vec![
        Mode::told("fine", First::Fine),
        told("empty", says(200, "")),
        again("says-no", says(200, r#"{"ok":false}"#)),
        again(
            "moved",
            header(302, "location", "https://elsewhere.example/"),
        ),
        // Sent again at once, as text.
        Mode {
            requests: 2,
            ..slack(told("invalid-blocks", says(400, "invalid_blocks")))
        },
        slack(again("no-service", says(404, "no_service"))),
        again("gone", says(410, "")),
        again("limited-for-seconds", header(429, "retry-after", "120")),
        again(
            "limited-until",
            header(429, "retry-after", "Fri, 31 Dec 2027 23:59:59 GMT"),
        ),
        again("error", says(500, "")),
        again("away", says(503, "")),
        Mode::unanswered("hangs", Reply::Hang),
        Mode::unanswered("resets", Reply::Reset),
        told("drips", Reply::Drip),
        told("gigabyte", Reply::Huge),
        Mode::unanswered("slow", Reply::Slow(TIMEOUT * 3 / 2)),
        Mode::unreachable("expired-certificate", First::ExpiredCertificate),
        Mode::unreachable("no-name", First::NoName),
    ]
}
