//! Stories of single workflows, without a database.

use std::time::Duration;

use super::*;
use crate::domain::{
    model::ids::SloId,
    workflow::{
        Details, EventKey, Evidence, Fact, Judging, Legs, Outcome, Pauses, Start, TraceRef, judge,
    },
};

const NOON: i64 = 1_795_348_800;

fn at(secs: f64) -> Timestamp {
    Timestamp::from_secs(NOON) + Duration::from_secs_f64(secs)
}

fn trace(n: u8) -> TraceId {
    TraceId::from_slice(&[n; 16]).unwrap()
}

/// Makes a workflow that starts at noon and has a minute.
fn started() -> Workflow {
    Workflow {
        label: "4711".to_owned(),
        start: Some(Start {
            at: at(0.0),
            deadline: Deadline::Within(Duration::from_mins(1)),
        }),
        trace: TraceRef::OfStart(trace(1)),
        ..Workflow::without_evidence(trace(1))
    }
}

fn message(kind: StageEvidenceKind, queue: &str, (from, to): (f64, f64)) -> StageEvidence {
    StageEvidence {
        kind,
        from: at(from),
        to: at(to),
        name: queue.to_owned(),
        service: "shop".to_owned(),
        deliver_at: None,
        trace_id: trace(2),
        is_error: false,
    }
}

fn sent(queue: &str, from: f64) -> StageEvidence {
    message(StageEvidenceKind::Producer, queue, (from, from))
}

fn received(queue: &str, from: f64, to: f64) -> StageEvidence {
    message(StageEvidenceKind::Consumer, queue, (from, to))
}

fn story(workflow: &Workflow, pieces: &[StageEvidence]) -> WorkflowStory {
    WorkflowStory::new(StoryEvidence {
        workflow,
        pieces,
        linked: &[],
    })
}

/// Formats each event as `second step`.
fn read(story: &WorkflowStory) -> Vec<String> {
    let each = story.events.iter().map(|event| {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
        let secs = event.at.micros_since(at(0.0)) as f64 / 1e6;
        let step = if let StoryStep::Received {
            queue, delivery, ..
        } = &event.step
        {
            format!("{queue} #{delivery} waited {:?}", event.step.wait_us())
        } else if let StoryStep::Sent { queue, .. } = &event.step {
            format!("to {queue}")
        } else {
            format!("{:?}", event.step)
        };
        format!("{secs} {step}")
    });
    each.collect()
}

#[test]
fn what_happened_is_told_in_the_order_of_time() {
    let mut workflow = started();
    workflow.success = Some(at(9.0));
    workflow.details.pauses = Pauses::from(TimeRange::new(at(3.0), at(4.0)));
    let pieces = [received("cards", 2.0, 5.0), sent("cards", 0.5)];
    assert_eq!(
        read(&story(&workflow, &pieces)),
        [
            "0 Started",
            "0.5 to cards",
            "2 cards #1 waited Some(1500000)",
            "3 Paused",
            "9 Succeeded",
            "61 Deadline",
        ]
    );
}

#[test]
fn neither_order_nor_copies_of_spans_matter() {
    let workflow = started();
    let pieces = [sent("cards", 0.5), received("cards", 2.0, 5.0)];
    let [first, second] = pieces.clone();
    let shuffled = [second.clone(), first.clone(), second, first];
    assert_eq!(story(&workflow, &pieces), story(&workflow, &shuffled));
}

#[test]
fn a_message_that_is_delivered_again_waits_since_the_delivery_before() {
    let mut failed = received("cards", 1.0, 2.0);
    failed.is_error = true;
    let pieces = [sent("cards", 0.0), failed, received("cards", 12.0, 13.0)];
    let story = story(&started(), &pieces);
    assert_eq!(
        read(&story),
        [
            "0 Started",
            "0 to cards",
            "1 cards #1 waited Some(1000000)",
            "12 cards #2 waited Some(10000000)",
            "60 Deadline",
        ]
    );
    let errors: Vec<bool> = story.events.iter().map(|event| event.is_error).collect();
    assert_eq!(errors, [false, false, true, false, false]);
}

#[test]
fn each_message_of_a_queue_has_deliveries_of_its_own() {
    let pieces = [
        sent("cards", 0.0),
        received("cards", 1.0, 2.0),
        sent("cards", 10.0),
        received("cards", 13.0, 14.0),
    ];
    let story = story(&started(), &pieces);
    assert!(read(&story).contains(&"13 cards #1 waited Some(3000000)".to_owned()));
}

#[test]
fn a_span_that_does_not_name_its_queue_may_be_of_any() {
    for (sender, receiver) in [("cards", ""), ("", "cards"), ("", "")] {
        let pieces = [sent(sender, 1.0), received(receiver, 3.0, 4.0)];
        let story = story(&started(), &pieces);
        assert_eq!(
            read(&story)[2],
            format!("3 {receiver} #1 waited Some(2000000)")
        );
        assert_eq!(story.missing, [MissingStep::End], "{sender}, {receiver}");
    }
    // A message that names the queue takes precedence over one that does not.
    let pieces = [
        sent("cards", 0.5),
        sent("", 1.0),
        received("cards", 3.0, 4.0),
    ];
    assert_eq!(
        read(&story(&started(), &pieces))[3],
        "3 cards #1 waited Some(2500000)"
    );
}

#[test]
fn s31_a_message_received_before_it_was_sent_shows_that_clocks_differ() {
    let pieces = [sent("cards", 5.0), received("cards", 3.5, 6.0)];
    let skewed = story(&started(), &pieces);
    assert_eq!(skewed.clock_skew_us(), Some(1_500_000));
    assert!(read(&skewed).contains(&"3.5 cards #1 waited Some(-1500000)".to_owned()));
    assert_eq!(story(&started(), &[]).clock_skew_us(), None);
}

#[test]
fn what_is_missing_is_named_until_it_succeeds() {
    let mut workflow = started();
    let pieces = [sent("fulfilment", 4.0)];
    let texts = |workflow: &Workflow| {
        let missing = story(workflow, &pieces).missing;
        missing
            .iter()
            .map(|step| step.text(chrono_tz::Tz::UTC))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&workflow),
        [
            "The message sent to `fulfilment` at 12:00:04 was not received.",
            "No span has ended it.",
        ]
    );
    workflow.success = Some(at(20.0));
    assert!(texts(&workflow).is_empty());
}

#[test]
fn missing_legs_are_counted() {
    let mut workflow = started();
    let legs = &mut workflow.details.legs;
    for (leg, secs) in [(1, 3.0), (2, 2.0)] {
        legs.join(&Legs::succeeded(LegId(leg), at(secs)));
    }
    legs.join(&Legs::failed(LegId(3), at(4.0)));
    legs.join(&Legs::expecting(4));
    let story = story(&workflow, &[]);
    assert_eq!(
        story.missing[0].text(chrono_tz::Tz::UTC),
        "2 of 4 legs have succeeded."
    );
    assert_eq!(
        read(&story)[1..4],
        [
            "2 LegSucceeded { leg: 1 }",
            "3 LegSucceeded { leg: 2 }",
            "4 LegFailed { leg: 3 }",
        ]
    );
}

#[test]
fn an_end_that_a_link_assigned_names_the_trace_it_was_in() {
    let mut workflow = started();
    workflow.success = Some(at(9.0));
    let evidence = Evidence {
        slo: SloId(1),
        revision: workflow.revision,
        key: EventKey([1; 16]),
        label: "4711".to_owned(),
        fact: Fact::Succeeded { at: at(9.0) },
        trace_id: trace(7),
        customer: None,
        sample: None,
        group: Details::default().group,
    };
    let linked = [LinkedEvidence {
        trace_id: trace(7),
        evidence: Workflow::from(&evidence),
    }];
    let known = StoryEvidence {
        workflow: &workflow,
        pieces: &[],
        linked: &linked,
    };
    let story = WorkflowStory::new(known);
    assert_eq!(story.traces(&known), [trace(1), trace(7)]);
    assert_eq!(story.events[1].trace_id, Some(trace(7)));
}

#[test]
fn the_rule_of_each_verdict_says_what_was_compared() {
    let judging = Judging::healthy(Duration::from_mins(2), at(600.0));
    let rule = |workflow: &Workflow| verdict_rule(workflow, &judge(workflow, &judging));
    let ended = |end: f64| Workflow {
        success: Some(at(end)),
        ..started()
    };
    assert_eq!(
        rule(&ended(12.0)),
        "It finished after 12 s, and 1 min are allowed."
    );
    assert_eq!(
        rule(&ended(90.0)),
        "It finished 30 s after its deadline: 1 min are allowed."
    );
    assert_eq!(
        rule(&started()),
        "No end was received by the deadline and the grace after it."
    );
    let mut paused = ended(90.0);
    paused.details.pauses = Pauses::from(TimeRange::new(at(10.0), at(70.0)));
    assert_eq!(
        rule(&paused),
        "It finished after 1 min 30 s, and 1 min are allowed without 1 min of pauses."
    );
    let cancelled = Workflow {
        cancelled: Some(at(3.0)),
        ..started()
    };
    assert_eq!(
        rule(&cancelled),
        "It was cancelled by its deadline, so it is no event."
    );
    let early = Judging::healthy(Duration::from_mins(2), at(10.0));
    let open = verdict_rule(&started(), &judge(&started(), &early));
    assert_eq!(
        open,
        "It is not judged yet: without an end it becomes a timeout after its deadline and the grace."
    );
}

#[test]
fn every_outcome_has_a_rule() {
    for outcome in Outcome::ALL {
        let verdict = crate::domain::workflow::Verdict {
            outcome,
            at: None,
            due: None,
        };
        assert!(
            verdict_rule(&started(), &verdict).ends_with('.'),
            "{outcome:?}"
        );
    }
}
