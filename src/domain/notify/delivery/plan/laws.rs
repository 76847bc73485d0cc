//! Laws that every plan satisfies, for any queue and target.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::*;
use crate::domain::notify::delivery::{AttemptClass, Redelivery, circuit::TargetCircuit};

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn before(secs: u64) -> Timestamp {
    NOW - Duration::from_secs(secs)
}

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

/// Makes a time of the last days or the next hour, often at a limit.
fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        2 => Just(NOW),
        2 => (0_u64..400).prop_map(before),
        1 => prop_oneof![Just(120_u64), Just(600), Just(21_600), Just(259_200)].prop_map(before),
        1 => (0_u64..300_000).prop_map(before),
        2 => (1_u64..3_600).prop_map(after),
    ]
}

fn state() -> impl Strategy<Value = DeliveryState> {
    prop_oneof![
        5 => Just(DeliveryState::Pending),
        2 => Just(DeliveryState::Leased),
        4 => proptest::sample::select(DeliveryState::ALL.to_vec()),
    ]
}

/// The next event of an alert, or one in its place.
#[derive(Clone, Copy, Debug)]
enum NewDelivery {
    Begins,
    Goes,
    Ends,
    HealthCheck,
    Other,
}

prop_compose! {
    fn delivery()(
        new in proptest::sample::select(vec![
            NewDelivery::Begins, NewDelivery::Goes, NewDelivery::Ends, NewDelivery::Ends, NewDelivery::HealthCheck, NewDelivery::Other,
        ]),
        key in 0_u8..4,
        state in state(),
        attempts in 0_i32..4,
        unrecorded in 0_i32..2,
        results in subsequence(
            vec![
                AttemptClass::Unavailable,
                AttemptClass::Timeout,
                AttemptClass::Rejected,
                AttemptClass::Misconfigured,
            ],
            0..3,
        ),
        times in [time(), time(), time(), time()],
        flags in (any::<bool>(), proptest::bool::weighted(0.1), proptest::bool::weighted(0.2)),
    ) -> (NewDelivery, QueuedDelivery) {
        let attempts = attempts.max(i32::from(state == DeliveryState::Leased));
        let [due_since, retries_since, next_attempt_at, other] = times;
        let (is_page, is_fallback, is_escalated) = flags;
        (new, QueuedDelivery {
            id: 0,
            ordering_key: format!("key-{key}"),
            subject: DeliverySubject::Other,
            priority: if is_page { Severity::Page } else { Severity::Ticket },
            state,
            attempts,
            recorded_attempts: (attempts - unrecorded).max(0),
            results: if attempts == 0 { Vec::new() } else { results },
            due_since: due_since.min(NOW),
            retries_since: retries_since.min(NOW),
            next_attempt_at: if attempts == 0 { due_since.min(NOW) } else { next_attempt_at },
            lease_until: (state == DeliveryState::Leased).then_some(other),
            settled_at: (!state.is_open()).then_some(other.min(NOW)),
            is_fallback,
            is_escalated: is_escalated && !is_fallback,
        })
    }
}

prop_compose! {
    /// Makes a queue. Ids follow its order; episodes of one key follow each other.
    fn queue()(
        new in vec(delivery(), 0..40),
        urgency_of_others in prop_oneof![
            3 => Just(None), 1 => Just(Some(Severity::Ticket)), 1 => Just(Some(Severity::Page)),
        ],
    ) -> DeliveryQueue {
        let mut episodes: BTreeMap<String, (u128, bool)> = BTreeMap::new();
        let mut next = 1_u128;
        let mut deliveries = Vec::new();
        for (index, (new, mut delivery)) in new.into_iter().enumerate() {
            delivery.id = i64::try_from(index).unwrap() + 1;
            let (episode, is_over) = episodes.entry(delivery.ordering_key.clone()).or_default();
            let is_end = matches!(new, NewDelivery::Ends);
            match new {
                NewDelivery::HealthCheck => delivery.subject = DeliverySubject::HealthCheck,
                NewDelivery::Other => delivery.subject = DeliverySubject::Other,
                NewDelivery::Begins | NewDelivery::Goes | NewDelivery::Ends => {
                    if *episode == 0 || *is_over {
                        *episode = next;
                        next += 1;
                    }
                    *is_over = is_end;
                    delivery.subject = DeliverySubject::Alert {
                        episode: Uuid::from_u128(*episode),
                        is_end,
                    };
                }
            }
            deliveries.push(delivery);
        }
        DeliveryQueue { deliveries, urgency_of_others }
    }
}

fn target() -> impl Strategy<Value = TargetState> {
    let condition = prop_oneof![
        4 => (0_u32..5).prop_map(|failures| TargetCondition::Closed { failures }),
        1 => (time(), 1_u32..8).prop_map(|(failed_at, openings)| TargetCondition::Open {
            since: failed_at,
            failed_at: failed_at.min(NOW),
            openings,
        }),
        1 => time().prop_map(|failed_at| TargetCondition::Misconfigured {
            since: failed_at,
            failed_at: failed_at.min(NOW),
        }),
    ];
    let probing = prop_oneof![2 => Just(None), 1 => time().prop_map(Some)];
    let held = prop_oneof![4 => Just(before(9_999)), 1 => time()];
    let times = [time(), time(), time()];
    (condition, probing, held, times).prop_map(|(condition, probing_until, not_before, times)| {
        let [next_free_at, singles_free_at, digest_free_at] = times;
        let is_closed = matches!(condition, TargetCondition::Closed { .. });
        TargetState {
            health: TargetCircuit {
                condition,
                probing_until: probing_until.filter(|_| !is_closed),
            },
            not_before,
            next_free_at,
            chat_pace: ChatPace {
                singles_free_at,
                digest_free_at,
            },
        }
    })
}

fn policy() -> impl Strategy<Value = DeliveryPolicy> {
    let late = proptest::sample::select(vec![
        LatePolicy::Deliver,
        LatePolicy::Collapse,
        LatePolicy::CollapseQuiet,
    ]);
    let rate = (1_u64..90, 1_u32..20).prop_map(|(secs, burst)| RateLimit {
        every: Duration::from_secs(secs),
        burst,
    });
    (
        late,
        proptest::option::of(rate),
        any::<bool>(),
        1_u32..6,
        any::<bool>(),
    )
        .prop_map(
            |(late, rate_limit, is_chat, at_once, has_fallback)| DeliveryPolicy {
                late,
                rate_limit,
                is_chat,
                at_once,
                has_fallback,
            },
        )
}

/// Returns the actions of each delivery; a digest counts for each of its deliveries.
fn each(actions: &[DeliveryAction]) -> BTreeMap<i64, Vec<&DeliveryAction>> {
    let mut by_id: BTreeMap<i64, Vec<&DeliveryAction>> = BTreeMap::new();
    for action in actions {
        let ids: &[i64] = match action {
            DeliveryAction::Digest(ids) => ids,
            DeliveryAction::Send(id)
            | DeliveryAction::Expire(id)
            | DeliveryAction::Collapse(id)
            | DeliveryAction::Wait { delivery: id, .. } => std::slice::from_ref(id),
            DeliveryAction::Fallback { .. } => &[],
        };
        for id in ids {
            by_id.entry(*id).or_default().push(action);
        }
    }
    by_id
}

fn is_sent(action: &DeliveryAction) -> bool {
    matches!(action, DeliveryAction::Send(_) | DeliveryAction::Digest(_))
}

fn is_ended(action: &DeliveryAction) -> bool {
    matches!(
        action,
        DeliveryAction::Expire(_) | DeliveryAction::Collapse(_)
    )
}

fn messages(actions: &[DeliveryAction]) -> usize {
    actions.iter().filter(|action| is_sent(action)).count()
}

/// Returns the number of single messages, and whether there is a digest.
fn singles(actions: &[DeliveryAction]) -> (usize, bool) {
    let is_digest = |action: &&DeliveryAction| matches!(action, DeliveryAction::Digest(_));
    let digests = actions.iter().filter(is_digest).count();
    (messages(actions) - digests, digests > 0)
}

/// Applies a plan to the queue and the target; sent deliveries then have `state`.
fn apply(
    queue: &mut DeliveryQueue,
    target: &mut TargetState,
    policy: &DeliveryPolicy,
    actions: &[DeliveryAction],
    state: DeliveryState,
) {
    for delivery in &mut queue.deliveries {
        for action in each(actions).remove(&delivery.id).unwrap_or_default() {
            match action {
                DeliveryAction::Send(_) | DeliveryAction::Digest(_) => {
                    delivery.state = state;
                    delivery.attempts += 1;
                    delivery.lease_until = state.is_open().then_some(after(60));
                }
                DeliveryAction::Expire(_) => delivery.state = DeliveryState::Expired,
                DeliveryAction::Collapse(_) => {
                    delivery.state = DeliveryState::Collapsed;
                    delivery.lease_until = None;
                }
                DeliveryAction::Fallback { .. } | DeliveryAction::Wait { .. } => {}
            }
        }
        for action in actions {
            if let DeliveryAction::Fallback { episode, from } = action {
                delivery.is_escalated |=
                    delivery.episode() == Some(*episode) && delivery.id >= *from;
            }
        }
    }
    let count = u32::try_from(messages(actions)).unwrap();
    if count > 0 {
        target.health = target.health.probed(after(60));
        if let Some(rate) = policy.rate_limit {
            target.next_free_at = rate.spend(target.next_free_at, NOW, count);
        }
        let (singles, has_digest) = singles(actions);
        let singles = u32::try_from(singles).unwrap();
        target.chat_pace = target.chat_pace.spent(NOW, singles, u32::from(has_digest));
    }
}

proptest! {
    #[test]
    fn every_open_delivery_has_one_action_and_no_other_delivery_has_any(
        queue in queue(), target in target(), policy in policy(),
    ) {
        let actions = plan(&queue, &target, &policy, NOW);
        let each = each(&actions);
        for delivery in &queue.deliveries {
            let count = each.get(&delivery.id).map_or(0, Vec::len);
            prop_assert_eq!(count, usize::from(delivery.state.is_open()), "{:?}", delivery);
        }
        prop_assert!(each.keys().all(|id| queue.get(*id).is_some()));
    }

    /// Checks the order within an alert, so that no end is delivered before its beginning.
    #[test]
    fn what_is_sent_is_the_oldest_of_its_alert_that_is_still_to_come(
        queue in queue(), target in target(), policy in policy(),
    ) {
        let actions = plan(&queue, &target, &policy, NOW);
        let each = each(&actions);
        for (id, _) in each.iter().filter(|(_, actions)| is_sent(actions[0])) {
            let sent = queue.get(*id).unwrap();
            let older = queue.deliveries.iter().filter(|older| {
                older.id < sent.id
                    && older.ordering_key == sent.ordering_key
                    && older.state.is_open()
            });
            for older in older {
                prop_assert!(is_ended(each[&older.id][0]), "{:?} overtakes {:?}", sent, older);
            }
            prop_assert!(sent.busy_until(NOW).is_none(), "{:?} is not due", sent);
        }
    }

    #[test]
    fn no_more_is_sent_than_circuit_breaker_rate_limit_and_concurrency_allow(
        queue in queue(), target in target(), policy in policy(),
    ) {
        let actions = plan(&queue, &target, &policy, NOW);
        let sent = u32::try_from(messages(&actions)).unwrap();
        prop_assert!(sent <= policy.at_once);
        if let Some(rate) = policy.rate_limit {
            prop_assert!(sent <= rate.allows(target.next_free_at, NOW));
        }
        prop_assert!(sent == 0 || target.not_before <= NOW);
        let (singles, has_digest) = singles(&actions);
        if policy.is_chat {
            prop_assert!(singles <= target.chat_pace.singles(NOW));
            prop_assert!(!has_digest || target.chat_pace.allows_digest(NOW));
        }
        match target.health.admits(NOW, Severity::Page) {
            CircuitAllowance::All => {}
            CircuitAllowance::One => prop_assert!(sent <= 1),
            CircuitAllowance::None => prop_assert_eq!(sent, 0),
        }
        for action in &actions {
            if let DeliveryAction::Digest(ids) = action {
                prop_assert!(policy.is_chat && (2..=MOST_IN_DIGEST).contains(&ids.len()));
            }
        }
    }

    #[test]
    fn what_waits_has_a_time_and_waits_for_the_next_turn_only_behind_something_sent(
        queue in queue(), target in target(), policy in policy(),
    ) {
        let actions = plan(&queue, &target, &policy, NOW);
        for action in &actions {
            if let DeliveryAction::Wait { until, .. } = action {
                prop_assert!(*until >= NOW);
                prop_assert!(*until > NOW || messages(&actions) > 0, "{:?}", action);
            }
        }
    }

    #[test]
    fn a_plan_that_is_carried_out_is_not_made_again(
        queue in queue(), target in target(), policy in policy(),
    ) {
        let (mut queue, mut target) = (queue, target);
        let first = plan(&queue, &target, &policy, NOW);
        apply(&mut queue, &mut target, &policy, &first, DeliveryState::Leased);
        let second = plan(&queue, &target, &policy, NOW);
        for action in &second {
            prop_assert!(
                !is_ended(action) && !matches!(action, DeliveryAction::Fallback { .. }),
                "again: {:?}",
                action
            );
        }
        let (first, second) = (each(&first), each(&second));
        for (id, actions) in second {
            let is_repeat = is_sent(actions[0]) && first.get(&id).is_some_and(|one| is_sent(one[0]));
            prop_assert!(!is_repeat, "{} is sent twice", id);
        }
    }

    /// Applies plans repeatedly, at a target that accepts everything.
    #[test]
    fn nothing_due_is_forgotten(queue in queue(), policy in policy()) {
        let mut queue = queue;
        let policy = DeliveryPolicy { rate_limit: None, is_chat: false, ..policy };
        let mut target = TargetState {
            health: TargetCircuit::default(),
            not_before: NOW,
            next_free_at: NOW,
            chat_pace: ChatPace::UNUSED,
        };
        loop {
            let actions = plan(&queue, &target, &policy, NOW);
            if messages(&actions) == 0 {
                break;
            }
            apply(&mut queue, &mut target, &policy, &actions, DeliveryState::Delivered);
        }
        let actions = plan(&queue, &target, &policy, NOW);
        for delivery in queue.deliveries.iter().filter(|delivery| delivery.state.is_open()) {
            let is_blocked = queue.deliveries.iter().any(|older| {
                older.id <= delivery.id
                    && older.ordering_key == delivery.ordering_key
                    && older.state.is_open()
                    && older.busy_until(NOW).is_some()
            });
            let is_ended = each(&actions)[&delivery.id].iter().any(|action| is_ended(action));
            prop_assert!(is_blocked || is_ended, "forgotten: {:?}", delivery);
        }
    }

    #[test]
    fn the_order_in_which_rows_are_read_does_not_matter(
        (queue, shuffled) in queue().prop_flat_map(|queue| {
            let deliveries = Just(queue.deliveries.clone()).prop_shuffle();
            (Just(queue), deliveries)
        }),
        target in target(),
        policy in policy(),
    ) {
        let other = DeliveryQueue { deliveries: shuffled, ..queue.clone() };
        prop_assert_eq!(
            plan(&queue, &target, &policy, NOW),
            plan(&other, &target, &policy, NOW)
        );
    }

    #[test]
    fn nothing_that_a_target_may_know_of_ends_without_a_word(
        queue in queue(), target in target(), policy in policy(),
    ) {
        let actions = plan(&queue, &target, &policy, NOW);
        for action in actions.iter().filter(|action| is_ended(action)) {
            let (DeliveryAction::Expire(id) | DeliveryAction::Collapse(id)) = action else {
                continue;
            };
            let ended = queue.get(*id).unwrap();
            let DeliverySubject::Alert { episode, is_end: true } = ended.subject else {
                continue;
            };
            let known = queue.deliveries.iter().any(|one| {
                one.id < *id
                    && one.episode() == Some(episode)
                    && (one.state == DeliveryState::Delivered && one.attempts > 0
                        || one.redelivery() == Redelivery::Possible)
            });
            prop_assert!(!known, "{:?} of {:?}", action, ended);
        }
    }

    #[test]
    fn only_alerts_that_are_here_in_their_own_right_go_to_the_fallback_and_only_once(
        queue in queue(), target in target(), policy in policy(),
    ) {
        let actions = plan(&queue, &target, &policy, NOW);
        let mut seen = BTreeSet::new();
        for action in &actions {
            let DeliveryAction::Fallback { episode, from } = action else { continue };
            prop_assert!(policy.has_fallback && seen.insert(*episode));
            let first = queue.get(*from).unwrap();
            prop_assert!(!first.is_escalated && !first.is_fallback);
            let is_alert = matches!(first.subject, DeliverySubject::Alert { is_end: false, .. });
            prop_assert!(is_alert, "{:?}", first);
        }
    }
}
