//! The body for any other receiver, as a `CloudEvent` 1.0 in structured mode: what a webhook is told,
//! in that envelope.

use serde_json::{Value, json};

use super::{PLATFORM_KEY_CHARS, webhook};
use crate::domain::{
    alerting::snapshot::AlertSnapshot,
    model::text,
    notify::{PlatformNotification, RenderContext},
};

pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// `id` and the source are the same over all tries: receivers drop what they have seen by them.
pub fn body(facts: &AlertSnapshot, context: &RenderContext, id: &str) -> Value {
    let message = webhook::body(facts, context);
    json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("/throughline/slos/{}", facts.slo),
        "type": message.get("type"),
        "subject": message.pointer("/data/alert_key"),
        "time": message.get("timestamp"),
        "datacontenttype": "application/json",
        "data": message.get("data"),
    })
}

/// `id` and the source are the same over all tries.
pub fn platform_body(
    notification: &PlatformNotification,
    context: &RenderContext,
    id: &str,
) -> Value {
    let message = webhook::platform_body(notification, context);
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "/throughline",
        "type": message.get("type"),
        "subject": text::plain(&notification.key, PLATFORM_KEY_CHARS),
        "time": message.get("timestamp"),
        "datacontenttype": "application/json",
        "data": message.get("data"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::notify::sample;

    #[test]
    fn an_event_has_what_every_event_must_have_and_the_data_of_a_webhook() {
        let event = body(&sample::firing(), &RenderContext::default(), "msg_1");
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], "msg_1");
        assert_eq!(event["source"], "/throughline/slos/checkout-speed");
        assert_eq!(event["type"], "slo.alert.firing");
        let message = webhook::body(&sample::firing(), &RenderContext::default());
        assert_eq!(event["data"], message["data"]);
    }
}
