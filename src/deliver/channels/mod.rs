//! The parts of channels beyond a single request: threads, keys and repetition.

pub(super) mod reminder;
pub(super) mod routing_key;
pub(super) mod slack_bot;
