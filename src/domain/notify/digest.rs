//! Digests: one message for more notifications than people can read in a chat.

use uuid::Uuid;

use super::{Notification, PlatformNotification, PlatformNotificationKind};
use crate::domain::{
    alerting::alert::TransitionKind,
    model::{format, ids::Name, time::Timestamp},
    slo::Severity,
};

/// Makes one notification of the contents of several deliveries to `target`, in their order.
pub fn digest(target: &Name, contents: &[&Notification], now: Timestamp) -> PlatformNotification {
    let of_kind = |wanted: TransitionKind| {
        let matching = contents.iter().filter(|content| content.kind() == wanted);
        matching.count()
    };
    let (began, ended) = (
        of_kind(TransitionKind::Firing),
        of_kind(TransitionKind::Resolved),
    );
    let others = contents.len() - began - ended;
    let mut parts = Vec::new();
    for (number, word) in [(began, "began"), (ended, "ended"), (others, "changed")] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    let count = format::count(i64::try_from(contents.len()).unwrap_or(i64::MAX));
    PlatformNotification {
        kind: PlatformNotificationKind::Digest,
        key: format!("digest/{target}"),
        episode: Uuid::nil(),
        severity: most_urgent(contents),
        title: format!("{count} more alerts at once: {}", parts.join(", ")),
        lines: contents.iter().map(|content| content.headline()).collect(),
        links: Vec::new(),
        since: now,
        at: now,
    }
}

fn most_urgent(contents: &[&Notification]) -> Severity {
    let severities = contents.iter().map(|content| match content {
        Notification::Alert(facts) => facts.severity,
        Notification::Platform(notification) => notification.severity,
    });
    let urgent = severities.max();
    urgent.unwrap_or(Severity::Ticket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        alerting::snapshot::AlertSnapshot,
        notify::{RenderContext, channels::slack, sample},
    };

    #[test]
    fn t31_a_digest_says_how_many_began_and_ended_and_names_each() {
        let ticket = AlertSnapshot {
            severity: Severity::Ticket,
            ..sample::firing()
        };
        let all: Vec<Notification> = [ticket, sample::firing(), sample::resolved()]
            .map(Notification::from)
            .into();
        let contents: Vec<&Notification> = all.iter().collect();
        let target: Name = "chat".parse().unwrap();
        let notification = digest(&target, &contents, Timestamp::from_secs(0));
        assert_eq!(
            notification.headline(),
            "3 more alerts at once: 2 began, 1 ended"
        );
        assert_eq!(notification.severity, Severity::Page);
        let slack = slack::body(&notification.into(), &RenderContext::default());
        let text = slack.to_string();
        for line in [
            "TICKET Checkout speed: ",
            "PAGE Checkout speed: ",
            "RESOLVED Checkout speed: ",
        ] {
            assert!(text.contains(line), "no `{line}`: {text}");
        }
    }
}
