//! The body for any other receiver, as a `CloudEvent` 1.0 in structured mode, with the body of a
//! webhook as its data.

use serde_json::{Value, json};

use super::webhook;
use crate::domain::notify::{Notification, RenderContext};

pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Makes the body. `id` and the source are the same for all attempts, so that receivers can drop
/// duplicates.
pub fn body(notification: &Notification, context: &RenderContext, id: &str) -> Value {
    let message = webhook::body(notification, context);
    let source = match notification {
        Notification::Alert(alert) => format!("/throughline/slos/{}", alert.slo),
        Notification::Platform(_) => "/throughline".to_owned(),
    };
    let subject = message.pointer("/data/alert_key");
    json!({
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": message.get("type"),
        "subject": subject.or_else(|| message.pointer("/data/key")),
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
        let notification = sample::firing().into();
        let event = body(&notification, &RenderContext::default(), "msg_1");
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], "msg_1");
        assert_eq!(event["source"], "/throughline/slos/checkout-speed");
        assert_eq!(event["type"], "slo.alert.firing");
        let message = webhook::body(&notification, &RenderContext::default());
        assert_eq!(event["data"], message["data"]);
    }
}
