//! Differences between the clocks of services, estimated by the smallest wait of the messages
//! between them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::{
    counting::stages::{HopWait, HopWaits, ServicePair},
    model::format,
};

/// The minimum number of messages for an estimate.
const LEAST_HOPS: i64 = 10;
/// The largest wait that shows that clocks differ.
const AHEAD_MICROS: i64 = -1_000;
/// The smallest wait of a queue is rarely longer than this.
const LONG_WAIT_MICROS: i64 = 1_000_000;

/// One pair of services, in this hour and the one before.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(in crate::web::pages::slo) struct ClockView {
    sender: String,
    receiver: String,
    /// The number of examined messages.
    hops: i64,
    /// Negative if messages were received before they were sent.
    least_wait_seconds: f64,
    #[serde(skip)]
    least: HopWait,
}

impl ClockView {
    /// Pairs whose clocks certainly differ first, then by the names of services.
    pub(in crate::web::pages::slo) fn all(waits: HopWaits) -> Vec<Self> {
        let many = waits
            .0
            .into_iter()
            .filter(|(_, wait)| wait.hops >= LEAST_HOPS);
        let mut all: Vec<Self> = many.map(|(pair, wait)| Self::new(pair, wait)).collect();
        all.sort_by_key(|view| view.least.least_micros.min(0));
        all
    }

    fn new(pair: ServicePair, least: HopWait) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 microseconds")]
        let micros = least.least_micros as f64;
        Self {
            sender: pair.sender,
            receiver: pair.receiver,
            hops: least.hops,
            least_wait_seconds: micros / 1e6,
            least,
        }
    }

    /// Formats `−1.5 s`.
    pub(in crate::web::pages::slo) fn wait_text(&self) -> String {
        let sign = if self.least.least_micros <= AHEAD_MICROS {
            "−"
        } else {
            ""
        };
        format!("{sign}{}", self.amount())
    }

    pub(in crate::web::pages::slo) fn reading(&self) -> String {
        let (sender, receiver) = (&self.sender, &self.receiver);
        let hops = format::counted(self.hops, "message");
        let meaning = match self.least.least_micros {
            ..=AHEAD_MICROS => format!(
                ": the clock of {sender} is ahead of that of {receiver} by at least {}",
                self.amount()
            ),
            LONG_WAIT_MICROS.. => {
                format!(": either the queue is never faster, or the clock of {receiver} is ahead")
            }
            _ => String::new(),
        };
        format!("the shortest wait from {sender} to {receiver}, among {hops}{meaning}")
    }

    fn amount(&self) -> String {
        let amount = Duration::from_micros(self.least.least_micros.unsigned_abs());
        format::seconds(amount.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn view(hops: i64, least_micros: i64) -> Option<(String, String)> {
        let pair = ServicePair {
            sender: "checkout".to_owned(),
            receiver: "mailer".to_owned(),
        };
        let wait = HopWait { hops, least_micros };
        let views = ClockView::all(HopWaits(BTreeMap::from([(pair, wait)])));
        let view = views.first()?;
        Some((view.wait_text(), view.reading()))
    }

    #[test]
    fn s31_a_negative_wait_says_whose_clock_is_ahead() {
        let (wait, reading) = view(990, -1_500_000).unwrap();
        assert_eq!(wait, "−1.5 s");
        assert_eq!(
            reading,
            "the shortest wait from checkout to mailer, among 990 messages: the clock of checkout is \
             ahead of that of mailer by at least 1.5 s"
        );
    }

    #[test]
    fn s31_a_long_smallest_wait_may_be_a_clock_that_is_ahead() {
        let (_, reading) = view(990, 2_000_000).unwrap();
        assert!(reading.ends_with("never faster, or the clock of mailer is ahead"));
        let (wait, reading) = view(990, 40_000).unwrap();
        assert_eq!(wait, "40 ms");
        assert!(reading.ends_with("among 990 messages"));
    }

    #[test]
    fn s31_the_smallest_wait_of_few_messages_says_nothing() {
        assert_eq!(view(9, -1_500_000), None);
    }
}
