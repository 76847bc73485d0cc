//! Whether a message is the next one of its partition.
//!
//! Not every offset has a message: compaction removes some, and Kafka needs some for its transactions.
//! But a broker may also leave out messages that it has, as Tansu 0.6 can while several producers
//! write: it assigns offsets before it has stored the messages. So a message with another offset than
//! the next one is not used at once. The partition is read again from the expected offset: immediately,
//! and once more after a while, until several jumps were confirmed and none was not. What comes then
//! counts.

use std::time::Duration;

/// The time in which a broker stores a message to which it has given an offset.
const STORED_WITHIN: Duration = Duration::from_millis(250);
/// After this many confirmed jumps in a row, reading again once is enough.
const TRUSTED_AFTER: u32 = 3;

/// A message that does not have the expected offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetJump {
    pub(super) expected: i64,
    /// The offset of the message; a lower one if the broker went back.
    pub(super) found: i64,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageOrder {
    Next,
    /// Do not use it, but read again from an offset after a time.
    ReadAgain(i64, Duration),
    /// It is the expected one, which came only when it was read again.
    Recovered(OffsetJump),
    /// It came again: the log has no message with the expected offset.
    Confirmed(OffsetJump),
}

/// The offset that comes next in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OffsetOrder {
    next: Option<i64>,
    /// The partition is read again because of it.
    jump: Option<OffsetJump>,
    /// How often it is.
    attempts: u32,
    /// Jumps that were confirmed since the last one that was not.
    confirmed: u32,
}

impl OffsetOrder {
    /// Expects `next`; any offset if it is unknown.
    pub(super) fn expecting(next: Option<i64>) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// Sets the first offset, unless one is expected.
    pub(super) fn begins_at(&mut self, offset: i64) {
        self.next.get_or_insert(offset);
    }

    pub(super) fn arrive(&mut self, offset: i64) -> MessageOrder {
        let Some(expected) = self.next.filter(|next| *next != offset) else {
            self.next = Some(offset + 1);
            self.attempts = 0;
            let Some(jump) = self.jump.take() else {
                return MessageOrder::Next;
            };
            self.confirmed = 0;
            return MessageOrder::Recovered(jump);
        };
        let found = OffsetJump {
            expected,
            found: offset,
        };
        let enough = if self.confirmed < TRUSTED_AFTER { 2 } else { 1 };
        if self.attempts < enough {
            self.jump.get_or_insert(found);
            let after = STORED_WITHIN * self.attempts;
            self.attempts += 1;
            return MessageOrder::ReadAgain(expected, after);
        }
        *self = Self {
            next: Some(offset + 1),
            confirmed: self.confirmed + 1,
            ..Self::default()
        };
        MessageOrder::Confirmed(found)
    }

    /// Records that the partition could not be read again: the next message jumps as well.
    pub(super) const fn keep_expecting(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(expected: i64, found: i64) -> OffsetJump {
        OffsetJump { expected, found }
    }

    fn again(from: i64) -> MessageOrder {
        MessageOrder::ReadAgain(from, Duration::ZERO)
    }

    fn later(from: i64) -> MessageOrder {
        MessageOrder::ReadAgain(from, STORED_WITHIN)
    }

    #[test]
    fn what_was_left_out_is_recovered() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(10), MessageOrder::Next);
        assert_eq!(order.arrive(14), again(11));
        assert_eq!(order.arrive(11), MessageOrder::Recovered(jump(11, 14)));
        assert_eq!(order.arrive(12), MessageOrder::Next);
        assert_eq!(order.arrive(15), again(13));
        assert_eq!(order.arrive(16), later(13));
        assert_eq!(order.arrive(13), MessageOrder::Recovered(jump(13, 15)));
        assert_eq!(order.arrive(14), MessageOrder::Next);
    }

    #[test]
    fn offsets_without_messages_are_confirmed_and_soon_at_once() {
        let mut order = OffsetOrder::expecting(Some(0));
        for expected in [0, 2, 4] {
            let found = expected + 1;
            assert_eq!(order.arrive(found), again(expected));
            assert_eq!(order.arrive(found), later(expected));
            let confirmed = MessageOrder::Confirmed(jump(expected, found));
            assert_eq!(order.arrive(found), confirmed);
        }
        assert_eq!(order.arrive(7), again(6));
        assert_eq!(order.arrive(7), MessageOrder::Confirmed(jump(6, 7)));
        assert_eq!(order.arrive(9), again(8));
        assert_eq!(order.arrive(8), MessageOrder::Recovered(jump(8, 9)));
        assert_eq!(order.arrive(10), again(9));
        assert_eq!(order.arrive(10), later(9), "it is not trusted any more");
    }

    #[test]
    fn of_a_part_that_is_recovered_the_rest_is_confirmed() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(14), again(10));
        assert_eq!(order.arrive(12), later(10));
        assert_eq!(order.arrive(12), MessageOrder::Confirmed(jump(10, 12)));
        assert_eq!(order.arrive(13), MessageOrder::Next);
    }

    #[test]
    fn a_message_that_is_sent_twice_is_used_once() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(10), MessageOrder::Next);
        assert_eq!(order.arrive(10), again(11));
        assert_eq!(order.arrive(11), MessageOrder::Recovered(jump(11, 10)));
    }

    #[test]
    fn a_log_that_begins_again_is_read_from_its_beginning() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(0), again(10));
        assert_eq!(order.arrive(0), later(10));
        assert_eq!(order.arrive(0), MessageOrder::Confirmed(jump(10, 0)));
        assert_eq!(order.arrive(1), MessageOrder::Next);
    }

    #[test]
    fn nothing_is_passed_over_while_it_cannot_be_read_again() {
        let mut order = OffsetOrder::expecting(Some(10));
        for offset in 11..19 {
            assert_eq!(order.arrive(offset), again(10));
            order.keep_expecting();
        }
    }

    #[test]
    fn an_unknown_beginning_is_that_of_the_first_message() {
        let mut order = OffsetOrder::default();
        assert_eq!(order.arrive(7), MessageOrder::Next);
        assert_eq!(order.arrive(9), again(8));
        let mut order = OffsetOrder::default();
        order.begins_at(5);
        assert_eq!(order.arrive(7), again(5));
    }
}
