//! Whether a message is the next one of its partition.
//!
//! Not every offset has a message: compaction removes some, and Kafka needs some for its transactions.
//! But a broker may also leave out messages that it has, as Tansu 0.6 does while several producers
//! write: it assigns offsets before it has stored the messages. So a message with another offset than
//! the next one is not used at once. The partition is read again from the expected offset, once, and
//! what comes then counts.

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
    /// Do not use it, but read again from the expected offset.
    Jump(OffsetJump),
    /// It is the expected one, which came only when it was read again.
    Recovered(OffsetJump),
    /// It came once more: the log has no message with the expected offset.
    Confirmed(OffsetJump),
}

/// The offset that comes next in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OffsetOrder {
    next: Option<i64>,
    /// The partition is read again because of it.
    jump: Option<OffsetJump>,
}

impl OffsetOrder {
    /// Expects `next`; any offset if it is unknown.
    pub(super) const fn expecting(next: Option<i64>) -> Self {
        Self { next, jump: None }
    }

    /// Sets the first offset, unless one is expected.
    pub(super) fn begins_at(&mut self, offset: i64) {
        self.next.get_or_insert(offset);
    }

    pub(super) fn arrive(&mut self, offset: i64) -> MessageOrder {
        let missed = self.next.filter(|next| *next != offset);
        let jump = self.jump.take();
        let order = match (missed, jump) {
            (None, None) => MessageOrder::Next,
            (None, Some(jump)) => MessageOrder::Recovered(jump),
            (Some(expected), Some(_)) => MessageOrder::Confirmed(OffsetJump {
                expected,
                found: offset,
            }),
            (Some(expected), None) => {
                let jump = OffsetJump {
                    expected,
                    found: offset,
                };
                self.jump = Some(jump);
                return MessageOrder::Jump(jump);
            }
        };
        self.next = Some(offset + 1);
        order
    }

    /// Records that the partition is not read again yet: the next message jumps as well.
    pub(super) const fn keep_expecting(&mut self) {
        self.jump = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jump(expected: i64, found: i64) -> OffsetJump {
        OffsetJump { expected, found }
    }

    #[test]
    fn what_was_left_out_is_recovered() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(10), MessageOrder::Next);
        assert_eq!(order.arrive(14), MessageOrder::Jump(jump(11, 14)));
        assert_eq!(order.arrive(11), MessageOrder::Recovered(jump(11, 14)));
        assert_eq!(order.arrive(12), MessageOrder::Next);
    }

    #[test]
    fn offsets_without_messages_are_confirmed_once() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(14), MessageOrder::Jump(jump(10, 14)));
        assert_eq!(order.arrive(14), MessageOrder::Confirmed(jump(10, 14)));
        assert_eq!(order.arrive(15), MessageOrder::Next);
        assert_eq!(order.arrive(17), MessageOrder::Jump(jump(16, 17)));
    }

    #[test]
    fn of_a_part_that_is_recovered_the_rest_is_confirmed() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(14), MessageOrder::Jump(jump(10, 14)));
        assert_eq!(order.arrive(12), MessageOrder::Confirmed(jump(10, 12)));
        assert_eq!(order.arrive(13), MessageOrder::Next);
    }

    #[test]
    fn a_message_that_is_sent_twice_is_used_once() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(10), MessageOrder::Next);
        assert_eq!(order.arrive(10), MessageOrder::Jump(jump(11, 10)));
        assert_eq!(order.arrive(11), MessageOrder::Recovered(jump(11, 10)));
    }

    #[test]
    fn a_log_that_begins_again_is_read_from_its_beginning() {
        let mut order = OffsetOrder::expecting(Some(10));
        assert_eq!(order.arrive(0), MessageOrder::Jump(jump(10, 0)));
        assert_eq!(order.arrive(0), MessageOrder::Confirmed(jump(10, 0)));
        assert_eq!(order.arrive(1), MessageOrder::Next);
    }

    #[test]
    fn nothing_is_passed_over_while_it_cannot_be_read_again() {
        let mut order = OffsetOrder::expecting(Some(10));
        for offset in 11..13 {
            assert_eq!(order.arrive(offset), MessageOrder::Jump(jump(10, offset)));
            order.keep_expecting();
        }
    }

    #[test]
    fn an_unknown_beginning_is_that_of_the_first_message() {
        let mut order = OffsetOrder::default();
        assert_eq!(order.arrive(7), MessageOrder::Next);
        assert_eq!(order.arrive(9), MessageOrder::Jump(jump(8, 9)));
        let mut order = OffsetOrder::default();
        order.begins_at(5);
        assert_eq!(order.arrive(7), MessageOrder::Jump(jump(5, 7)));
    }
}
