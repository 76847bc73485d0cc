//! Silences where alerts change: what nobody is told of, and what everybody is told all the same.

use throughline::domain::alerting::{
    alert::{
        AlertState, AlertUpdate,
        TransitionKind::{Firing, Resolved, Unmuted},
    },
    silence::{Draft, Ended, Silence},
    status::SloState,
    suppression::Suppression,
};
use uuid::Uuid;

use crate::support::app::{HOUR, ORDERS, TestApp, after, good};

/// An SLO that fires from minute 10 to 44.
async fn story() -> TestApp {
    let app = TestApp::new().slo(ORDERS).history(HOUR * 48, good(10));
    let app = app.at("10:00").await;
    app.stall().await;
    app
}

impl TestApp {
    async fn silence(&self, matcher: &str, minutes: [u32; 2]) -> Uuid {
        let draft = Draft {
            matchers: vec![matcher.to_owned()],
            starts_at: Some(after(minutes[0])),
            ends_at: Some(after(minutes[1])),
            reason: "upgrade of the queue".to_owned(),
            ..Draft::default()
        };
        let silence = Silence {
            id: Uuid::now_v7(),
            terms: draft.terms(after(0)).unwrap(),
            created_at: after(0),
            ended: None,
        };
        let mut tx = self.store.begin("add a silence").await.unwrap();
        assert!(tx.insert_silence(&silence).await.unwrap());
        tx.commit().await.unwrap();
        silence.id
    }

    async fn end(&self, silence: Uuid, minute: u32) {
        let ended = Ended {
            at: after(minute),
            by: Some("kim".to_owned()),
        };
        let mut tx = self.store.begin("end a silence").await.unwrap();
        assert!(tx.end_silence(silence, &ended).await.unwrap());
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
pub(crate) async fn t34_what_is_silenced_is_recorded_with_its_reason_and_told_to_nobody() {
    let story = story().await;
    let silence = story.silence("team=shop", [5, 200]).await;
    story.ticks(10..=12).await;
    let recorded = story.transitions().await;
    let muted = Suppression::Silenced {
        silence,
        until: after(200),
    };
    assert_eq!(story.kinds().await, [Firing]);
    assert_eq!(recorded[0].suppression, Some(muted));
    assert_eq!(recorded[0].facts.long.counts.timeout, 100);
    assert!(story.deliveries().await.is_empty());
    let status = story.status().await;
    assert_eq!(
        status.state,
        SloState::Paging,
        "it is evaluated and shown as ever"
    );
    assert_eq!(status.alerts[0].progress.muted, Some(muted));
}

#[tokio::test]
pub(crate) async fn t34_what_still_fires_when_its_silence_ends_is_told_at_once() {
    let story = story().await;
    let silence = story.silence("slo=orders", [5, 20]).await;
    story.ticks(10..=19).await;
    assert!(story.deliveries().await.is_empty());
    story.ticks([20]).await;
    let recorded = story.transitions().await;
    assert_eq!(story.kinds().await, [Firing, Unmuted]);
    assert_eq!(recorded[1].suppression, None);
    assert_eq!(recorded[1].facts.fired_at, Some(after(10)));
    assert_eq!(
        recorded[1].facts.development,
        Some(AlertUpdate::Unmuted {
            was: Suppression::Silenced {
                silence,
                until: after(20)
            }
        })
    );
    assert_eq!(
        story.deliveries().await,
        ["oncall unmuted slo/orders/page 0"]
    );
    story.ticks(21..=60).await;
    assert_eq!(story.kinds().await, [Firing, Unmuted, Resolved]);
    assert_eq!(story.deliveries().await.len(), 2, "and then its end");
}

#[tokio::test]
pub(crate) async fn t34_a_silence_that_somebody_ends_is_over_at_once() {
    let story = story().await;
    let silence = story.silence("slo=orders", [5, 200]).await;
    story.ticks(10..=12).await;
    story.end(silence, 13).await;
    story.ticks([13]).await;
    let told = story.transitions().await.remove(1);
    assert_eq!(
        told.facts.development,
        Some(AlertUpdate::Unmuted {
            was: Suppression::Silenced {
                silence,
                until: after(13)
            }
        }),
        "it is told when it was over, not when it would have been"
    );
}

#[tokio::test]
pub(crate) async fn t34_the_end_of_what_people_were_told_of_is_never_muted() {
    let story = story().await;
    story.ticks([10]).await;
    story.silence("slo=orders", [11, 200]).await;
    story.ticks(11..=60).await;
    assert_eq!(story.kinds().await, [Firing, Resolved]);
    assert_eq!(story.transitions().await[1].suppression, None);
    assert_eq!(
        story.deliveries().await,
        [
            "oncall firing slo/orders/page 0",
            "oncall resolved slo/orders/page 0"
        ]
    );
}

#[tokio::test]
pub(crate) async fn t34_what_nobody_was_told_of_ends_without_a_word_and_says_why() {
    let story = story().await;
    let silence = story.silence("severity=page", [5, 200]).await;
    story.ticks(10..=60).await;
    let recorded = story.transitions().await;
    assert_eq!(story.kinds().await, [Firing, Resolved]);
    assert!(recorded.iter().all(|one| one.suppression
        == Some(Suppression::Silenced {
            silence,
            until: after(200)
        })));
    assert!(story.deliveries().await.is_empty());
}

#[tokio::test]
pub(crate) async fn t34_a_silence_of_others_or_of_later_mutes_nothing() {
    let story = story().await;
    story.silence("team=billing", [5, 200]).await;
    story.silence("slo=orders", [100, 200]).await;
    story.ticks([10]).await;
    assert_eq!(story.deliveries().await.len(), 1);
}

#[tokio::test]
pub(crate) async fn t34_one_silence_follows_another_without_a_word_between() {
    let story = story().await;
    story.silence("slo=orders", [5, 20]).await;
    let longer = story.silence("team=shop", [15, 30]).await;
    story.ticks(10..=29).await;
    assert!(story.deliveries().await.is_empty());
    story.ticks([30]).await;
    let told = story.transitions().await.remove(1);
    let Some(AlertUpdate::Unmuted { was }) = told.facts.development else {
        panic!("{:?}", told.facts.kind);
    };
    let until = after(30);
    assert_eq!(
        was,
        Suppression::Silenced {
            silence: longer,
            until
        }
    );
}

#[tokio::test]
pub(crate) async fn t34_a_silence_that_begins_while_it_fires_is_followed_by_a_word_as_well() {
    let story = story().await;
    story.ticks([10]).await;
    story.silence("slo=orders", [11, 20]).await;
    story.ticks(11..=19).await;
    assert_eq!(story.kinds().await, [Firing]);
    assert!(story.status().await.alerts[0].progress.muted.is_some());
    story.ticks([20]).await;
    assert_eq!(story.kinds().await, [Firing, Unmuted]);
    assert_eq!(story.status().await.alerts[0].state, AlertState::Firing);
    assert_eq!(story.status().await.alerts[0].progress.muted, None);
}
