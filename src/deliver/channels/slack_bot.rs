//! Slack's Web API: one message for each episode, its later notifications in the thread, and the
//! message itself updated when the episode ends.
//!
//! Slack always answers 200 and reports errors in the body. It offers no idempotency key, so a
//! message that may be a repetition says so.

use std::time::Duration;

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    deliver::{
        attempt::{AttemptContext, AttemptResult},
        http::client::{Client, Outgoing},
    },
    domain::{
        alerting::alert::TransitionKind,
        notify::{
            Notification, Reference, RenderContext, SlackMessage, channels::slack,
            delivery::AttemptClass,
        },
    },
};

/// Errors that mean that the message to refer to does not exist, or may not be changed any more.
const CANNOT_REFER: [&str; 7] = [
    "message_not_found",
    "thread_not_found",
    "cannot_reply_to_message",
    "cant_update_message",
    "edit_window_closed",
    "is_inactive",
    "update_failed",
];

/// A bot and the channel that it posts to.
pub(crate) struct Bot<'a> {
    pub(crate) client: &'a Client,
    pub(crate) base: &'a str,
    pub(crate) token: SecretString,
    pub(crate) channel: &'a str,
    pub(crate) timeout: Duration,
    pub(crate) tried: AttemptContext<'a>,
}

/// The notification to send, and its context.
pub(crate) struct SlackUpdate<'a> {
    pub(crate) content: &'a Notification,
    pub(crate) context: &'a RenderContext,
}

enum PostOutcome {
    Done(AttemptResult),
    /// The message that was referred to is gone.
    Gone,
}

impl Bot<'_> {
    /// Posts the first message of an episode.
    pub(crate) async fn begin(&self, update: SlackUpdate<'_>) -> AttemptResult {
        self.post_anew(&update).await
    }

    /// Posts the beginning of an episode that follows the previous one closely: into the same
    /// thread, and also into the channel.
    pub(crate) async fn begin_again(
        &self,
        update: SlackUpdate<'_>,
        last: &SlackMessage,
    ) -> AttemptResult {
        if update.content.kind() == TransitionKind::Resolved {
            return self.post_anew(&update).await;
        }
        let destination = json!({
            "channel": last.channel,
            "thread_ts": last.ts,
            "reply_broadcast": true,
        });
        let tried = self.update_and_reply(&update, last, &destination).await;
        let is_notified = tried.reaction.class == AttemptClass::Delivered;
        if is_notified && tried.reference.is_none() {
            let reference = Some(Reference::SlackMessage(last.clone()));
            return AttemptResult { reference, ..tried };
        }
        tried
    }

    /// Posts a later notification of an episode.
    pub(crate) async fn go_on(
        &self,
        update: SlackUpdate<'_>,
        first: &SlackMessage,
    ) -> AttemptResult {
        let destination = json!({ "channel": first.channel, "thread_ts": first.ts });
        if update.content.kind() == TransitionKind::Resolved {
            return self.update_and_reply(&update, first, &destination).await;
        }
        match self.reply(&update, &destination).await {
            PostOutcome::Done(tried) => tried,
            PostOutcome::Gone => self.post_anew(&update).await,
        }
    }

    async fn update_and_reply(
        &self,
        update: &SlackUpdate<'_>,
        first: &SlackMessage,
        destination: &Value,
    ) -> AttemptResult {
        match self.update(update, first).await {
            PostOutcome::Done(tried) if tried.reaction.class != AttemptClass::Delivered => {
                return tried;
            }
            PostOutcome::Done(_) => {}
            PostOutcome::Gone => return self.post_anew(update).await,
        }
        match self.reply(update, destination).await {
            PostOutcome::Done(tried) => tried,
            PostOutcome::Gone => self.post_anew(update).await,
        }
    }

    async fn post_anew(&self, update: &SlackUpdate<'_>) -> AttemptResult {
        let full = slack::body(update.content, update.context);
        let simple = slack::text_only(update.content, update.context);
        let destination = json!({ "channel": self.channel });
        match self
            .send("chat.postMessage", &destination, full, simple)
            .await
        {
            PostOutcome::Done(tried) => tried,
            PostOutcome::Gone => AttemptResult::unsent(
                AttemptClass::Misconfigured,
                "Slack reports a new message as missing",
            ),
        }
    }

    async fn update(&self, update: &SlackUpdate<'_>, first: &SlackMessage) -> PostOutcome {
        let destination = json!({ "channel": first.channel, "ts": first.ts });
        let mut simple = slack::text_only(update.content, update.context);
        // Slack keeps blocks that are left out.
        simple["blocks"] = json!([]);
        let full = slack::body(update.content, update.context);
        self.send("chat.update", &destination, full, simple).await
    }

    async fn reply(&self, update: &SlackUpdate<'_>, destination: &Value) -> PostOutcome {
        let reply = slack::reply(update.content, update.context);
        let simple = slack::text_only(update.content, update.context);
        let outcome = self
            .send("chat.postMessage", destination, reply, simple)
            .await;
        match outcome {
            // Later notifications still refer to the first message.
            PostOutcome::Done(tried) => PostOutcome::Done(AttemptResult {
                reference: None,
                ..tried
            }),
            PostOutcome::Gone => PostOutcome::Gone,
        }
    }

    /// Sends a request, and once more in a simpler form if the full one is refused.
    async fn send(
        &self,
        method: &str,
        destination: &Value,
        full: Value,
        simple: Value,
    ) -> PostOutcome {
        let outcome = self.call(method, destination, &full).await;
        match outcome {
            PostOutcome::Done(tried) if tried.reaction.class == AttemptClass::Rejected => {
                self.call(method, destination, &simple).await
            }
            outcome => outcome,
        }
    }

    async fn call(&self, method: &str, destination: &Value, message: &Value) -> PostOutcome {
        let mut body = destination.clone();
        if let (Some(body), Some(message)) = (body.as_object_mut(), message.as_object()) {
            body.extend(
                message
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
        }
        let content_type = "application/json; charset=utf-8".to_owned();
        let answer = self
            .client
            .send(Outgoing {
                method: Method::POST,
                url: format!("{}/{method}", self.base.trim_end_matches('/')).into(),
                headers: vec![("content-type", content_type)],
                bearer: Some(self.token.clone()),
                body: body.to_string().into_bytes(),
                timeout: self.timeout,
            })
            .await;
        let response: Option<Value> = answer
            .as_ref()
            .ok()
            .and_then(|answer| serde_json::from_str(&answer.body).ok());
        let error = response
            .as_ref()
            .and_then(|response| response["error"].as_str());
        if error.is_some_and(|error| CANNOT_REFER.contains(&error)) {
            return PostOutcome::Gone;
        }
        let mut tried = self
            .tried
            .understood(answer, std::slice::from_ref(&self.token));
        if tried.reaction.class == AttemptClass::Delivered {
            tried.reference = response.as_ref().and_then(reference);
        }
        PostOutcome::Done(tried)
    }
}

fn reference(response: &Value) -> Option<Reference> {
    Some(Reference::SlackMessage(SlackMessage {
        channel: response["channel"].as_str()?.to_owned(),
        ts: response["ts"].as_str()?.to_owned(),
    }))
}
