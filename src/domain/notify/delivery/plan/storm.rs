//! Tests of many alerts within a minute.

use std::time::Duration;

use super::*;
use crate::domain::notify::delivery::circuit::TargetCircuit;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

/// Makes one page per alert, each due at its time.
fn storm(due: impl IntoIterator<Item = Timestamp>) -> DeliveryQueue {
    let due = due.into_iter().zip(1_i64..);
    let deliveries = due.map(|(at, id)| QueuedDelivery {
        id,
        ordering_key: format!("key-{id}"),
        subject: DeliverySubject::Alert {
            episode: Uuid::from_u128(id.unsigned_abs().into()),
            is_end: false,
        },
        priority: Severity::Page,
        state: DeliveryState::Pending,
        attempts: 0,
        recorded_attempts: 0,
        results: Vec::new(),
        due_since: at,
        retries_since: at,
        next_attempt_at: at,
        lease_until: None,
        settled_at: None,
        is_fallback: false,
        is_escalated: false,
    });
    DeliveryQueue {
        deliveries: deliveries.collect(),
        urgency_of_others: None,
    }
}

/// Returns the ids that are sent singly, and those in a digest.
fn sent(actions: &[DeliveryAction]) -> (Vec<i64>, Vec<i64>) {
    let (mut singles, mut digest) = (Vec::new(), Vec::new());
    for action in actions {
        match action {
            DeliveryAction::Send(id) => singles.push(*id),
            DeliveryAction::Digest(ids) => digest.extend(ids),
            DeliveryAction::Expire(_)
            | DeliveryAction::Collapse(_)
            | DeliveryAction::Fallback { .. }
            | DeliveryAction::Wait { .. } => {}
        }
    }
    (singles, digest)
}

#[test]
fn b11_a_storm_that_comes_over_a_minute_is_ten_messages_and_a_digest_each_half_minute() {
    let mut queue = storm((0..200).map(|index| after(index * 60 / 200)));
    let mut target = TargetState {
        health: TargetCircuit::default(),
        not_before: NOW,
        next_free_at: NOW,
        chat_pace: ChatPace::UNUSED,
    };
    let policy = DeliveryPolicy {
        late: LatePolicy::Collapse,
        rate_limit: None,
        is_chat: true,
        at_once: 3,
        has_fallback: false,
    };
    let (mut alone, mut digests) = (0, 0);
    for second in 0..120 {
        let now = after(second);
        let mut known = queue.clone();
        known
            .deliveries
            .retain(|delivery| delivery.due_since <= now);
        let actions = plan(&known, &target, &policy, now);
        let (singles, digest) = sent(&actions);
        let (count, has_digest) = (u32::try_from(singles.len()).unwrap(), !digest.is_empty());
        target.chat_pace = target.chat_pace.spent(now, count, u32::from(has_digest));
        alone += count;
        digests += u32::from(has_digest);
        for delivery in &mut queue.deliveries {
            if singles.contains(&delivery.id) || digest.contains(&delivery.id) {
                delivery.state = DeliveryState::Delivered;
            }
        }
    }
    assert!(
        queue
            .deliveries
            .iter()
            .all(|one| one.state == DeliveryState::Delivered)
    );
    assert!((10..=12).contains(&alone), "{alone} one by one");
    assert!((2..=3).contains(&digests), "{digests} digests");
}
