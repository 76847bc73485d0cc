//! The test of a target, through the same outbox and with the same contents as an alert, and its
//! result.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::{
        alerting::alert::TransitionKind,
        model::{ids::Name, time::Timestamp},
        notify::{
            MessageNote, Notification, RenderContext,
            delivery::DeliveryState,
            preview::{self, Addressee},
            test_notification::{Scenario, TestNotification},
        },
        slo::{Severity, Target},
    },
    store::{NewNotification, StoreError, TestDelivery, Tx},
    web::{
        error::{WebError, most_like},
        page::Negotiation,
        state::WebState,
        write::{
            body::ParsedBody,
            rate_limit::{RemainingQuota, RequestLimit},
        },
    },
};

/// The minimum time between two tests of a target, since each may page someone.
pub(in crate::web) const BETWEEN_TESTS: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, Default, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct TestRequest {
    #[serde(default)]
    scenario: Scenario,
    /// Show what would be sent, without sending it.
    #[serde(default)]
    render: bool,
}

/// The messages that are sent, or would be.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct TestBegun {
    target: Name,
    test: Uuid,
    messages: Vec<TestMessageView>,
}

#[derive(Debug, JsonSchema, Serialize)]
struct TestMessageView {
    message: Uuid,
    kind: TransitionKind,
    /// As the target receives it.
    body: Value,
}

/// The progress of a test.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::web) struct TestView {
    target: Name,
    test: Uuid,
    /// True if nothing more will be sent.
    finished: bool,
    delivered: bool,
    deliveries: Vec<TestDelivery>,
}

pub(in crate::web) async fn post(
    asked: Negotiation,
    state: WebState,
    Path(name): Path<String>,
    ParsedBody { body, once }: ParsedBody<TestRequest>,
) -> Response {
    let now = state.clock.now();
    let begun = async {
        let target = declared(&state, &name)?;
        let mut tx = state.store.begin("test a target").await?;
        if let Some(answer) = once.answered(&mut tx, now).await? {
            return Ok((answer, remaining(&mut tx, &target.name, now).await?));
        }
        let test = TestMessages::new(&state, &target, body.scenario)?;
        if !body.render {
            // Locked until the commit, so that a second test on any replica sees this one.
            tx.lock_target(&target.name).await?;
            let quota = remaining(&mut tx, &target.name, now).await?;
            if quota.is_spent() {
                return Err(WebError::TestedJustNow(quota));
            }
            for (id, content) in &test.messages {
                let queued = NewNotification {
                    id: *id,
                    content,
                    targets: std::slice::from_ref(&target.name),
                    urgency: Severity::Ticket,
                };
                tx.enqueue_notification(queued, now).await?;
            }
        }
        let answer = test.answer(&target);
        let quota = remaining(&mut tx, &target.name, now).await?;
        once.keep(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok((answer, quota))
    };
    match begun.await {
        Ok((answer, quota)) => {
            let mut response = (StatusCode::ACCEPTED, Json::<Value>(answer)).into_response();
            quota.set(response.headers_mut());
            response
        }
        Err(error) => asked.refuse(&state, &error),
    }
}

/// Returns what is left of the limit on tests of a target.
async fn remaining(
    tx: &mut Tx<'_>,
    target: &Name,
    now: Timestamp,
) -> Result<RemainingQuota, StoreError> {
    let last_at = tx.last_test_at(target).await?;
    let recent = last_at.filter(|at| (*at..*at + BETWEEN_TESTS).contains(&now));
    let again_in = recent.map(|at| (at + BETWEEN_TESTS).saturating_since(now));
    let used = u32::from(again_in.is_some());
    Ok(RequestLimit::TARGET_TESTS.after(used, again_in.unwrap_or_default()))
}

/// Starts a test by the button of the page, and returns to the page, which shows the result.
pub(in crate::web) async fn press(
    asked: Negotiation,
    state: WebState,
    path: Path<String>,
    written: ParsedBody<TestRequest>,
) -> Response {
    let answer = post(asked, state, path, written).await;
    if answer.status().is_success() {
        Redirect::to("/targets").into_response()
    } else {
        answer
    }
}

pub(in crate::web) async fn get(
    asked: Negotiation,
    state: WebState,
    Path((name, test)): Path<(String, Uuid)>,
) -> Response {
    asked.view(&state, look(&state, &name, test).await)
}

async fn look(state: &WebState, name: &str, test: Uuid) -> Result<TestView, WebError> {
    let target = name.parse().map_err(|_| no_such_target(state, name))?;
    let mut tx = state.store.begin("read the progress of a test").await?;
    let deliveries = tx.test_deliveries(&target, test).await?;
    if deliveries.is_empty() {
        return Err(WebError::NoSuchPage);
    }
    let waits = |state| matches!(state, DeliveryState::Pending | DeliveryState::Leased);
    Ok(TestView {
        finished: !deliveries.iter().any(|one| waits(one.state)),
        delivered: deliveries
            .iter()
            .all(|one| one.state == DeliveryState::Delivered),
        target,
        test,
        deliveries,
    })
}

fn declared(state: &WebState, name: &str) -> Result<Arc<Target>, WebError> {
    let parsed: Option<Name> = name.parse().ok();
    let catalog = state.catalog.borrow();
    parsed
        .and_then(|name| catalog.targets.get(&name).map(Arc::clone))
        .ok_or_else(|| no_such_target(state, name))
}

fn no_such_target(state: &WebState, name: &str) -> WebError {
    let catalog = Arc::clone(&state.catalog.borrow());
    WebError::NoSuchTarget {
        name: name.to_owned(),
        did_you_mean: most_like(name, catalog.targets.keys().map(Name::as_str)),
    }
}

/// The messages of a test, in order.
struct TestMessages {
    test_notification: TestNotification,
    messages: Vec<(Uuid, Notification)>,
}

impl TestMessages {
    fn new(state: &WebState, target: &Target, scenario: Scenario) -> Result<Self, WebError> {
        let public = state.writes.public_url.as_deref();
        let test_notification = TestNotification {
            id: Uuid::now_v7(),
            scenario,
            at: state.clock.now(),
            page_url: public.map(|base| format!("{}/targets", base.trim_end_matches('/'))),
        };
        let facts = test_notification
            .messages(&target.kind)
            .map_err(|error| WebError::Unreadable(error.to_string()))?;
        let messages = facts
            .into_iter()
            .map(|facts| (Uuid::now_v7(), facts.into()));
        Ok(Self {
            messages: messages.collect(),
            test_notification,
        })
    }

    /// Returns the response with the contents to send, with secrets masked.
    fn answer(&self, target: &Target) -> Value {
        let telling = RenderContext {
            notes: vec![MessageNote::Test],
            ..RenderContext::default()
        };
        let to = Addressee {
            name: &target.name,
            kind: &target.kind,
        };
        let message = |(id, content): &(Uuid, Notification)| TestMessageView {
            message: *id,
            kind: content.kind(),
            body: preview::body(to, content, &telling, self.test_notification.at),
        };
        let begun = TestBegun {
            target: target.name.clone(),
            test: self.test_notification.id,
            messages: self.messages.iter().map(message).collect(),
        };
        serde_json::to_value(begun).unwrap_or_default()
    }
}
