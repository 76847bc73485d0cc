//! S14: work that a user cancelled.

use super::{shapes::enqueue, *};

fn cancelled(policy: CancelPolicy, secs: f64) -> SloUnderTest {
    let slo = WorkflowIndicator {
        cancelled: policy,
        ..workflow_slo()
    };
    SloUnderTest::workflow(slo).receive(&[enqueue(0.0), span("a:4", "cancel", [secs, secs])])
}

#[test]
fn s14_cancelled_in_time_is_no_event_but_cancelling_cannot_launder_lateness() {
    let cancelled = |secs| {
        SloUnderTest::workflow(workflow_slo())
            .receive(&[enqueue(0.0), span("a:4", "cancel", [secs, secs])])
    };
    cancelled(12.0).has(Outcome::Cancelled, 12.0);
    cancelled(90.0).has(Outcome::Late, 60.0);
}

#[test]
fn s14_what_cancelling_in_time_means_is_for_the_definition_to_say() {
    cancelled(CancelPolicy::Exclude, 12.0).has(Outcome::Cancelled, 12.0);
    cancelled(CancelPolicy::Good, 12.0).has(Outcome::Good, 12.0);
    cancelled(CancelPolicy::Bad, 12.0).has(Outcome::Failed, 12.0);
}

#[test]
fn s14_after_the_deadline_no_policy_makes_it_anything_but_late() {
    for policy in [CancelPolicy::Exclude, CancelPolicy::Good, CancelPolicy::Bad] {
        cancelled(policy, 90.0).has(Outcome::Late, 60.0);
    }
}

#[test]
fn s14_a_finish_after_the_cancellation_outweighs_it_under_every_policy() {
    for policy in [CancelPolicy::Exclude, CancelPolicy::Good, CancelPolicy::Bad] {
        cancelled(policy, 12.0)
            .receive(&[span("a:5", "finish", [20.0, 30.0])])
            .has(Outcome::Good, 30.0);
    }
}

#[test]
fn s14_the_policy_is_that_of_the_start_even_if_the_cancellation_comes_first() {
    let slo = WorkflowIndicator {
        cancelled: CancelPolicy::Good,
        ..workflow_slo()
    };
    SloUnderTest::workflow(slo)
        .receive(&[span("a:4", "cancel", [12.0, 12.0])])
        .stays_open()
        .receive(&[enqueue(0.0)])
        .has(Outcome::Good, 12.0);
}
