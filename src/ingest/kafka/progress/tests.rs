//! Tests of the progress of a replica.

use bytes::Bytes;

use super::*;
use crate::ingest::kafka::messages::LogMessage;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn stored(next: i64) -> LogPartition {
    LogPartition {
        partition: 0,
        next_offset: Some(next),
        up_to: at(0),
        clock: BrokerClock::Trusted,
    }
}

/// Reads partition 0 from offset 100 on.
fn reading() -> SharedProgress {
    let progress = SharedProgress::new(vec![stored(100)], "server/1".to_owned());
    assert_eq!(progress.assign(0), Some(100));
    progress
}

fn batch(offsets: std::ops::Range<i64>) -> MessageBatch {
    let mut batch = MessageBatch::default();
    for offset in offsets {
        batch.push(LogMessage {
            partition: 0,
            offset,
            key: None,
            bytes: Bytes::new(),
            headers: None,
            time: None,
        });
    }
    batch
}

fn commit(progress: &SharedProgress, offsets: std::ops::Range<i64>) {
    let begun = progress.begin(&batch(offsets));
    progress.settle(begun, at(1));
}

fn next(progress: &SharedProgress) -> Option<i64> {
    progress.asked()[0].next
}

#[test]
fn a_promoted_standby_is_read_on_where_it_says() {
    let progress = reading();
    commit(&progress, 100..150);
    assert_eq!(progress.compare("server/1", &[stored(100)]), [0; 0]);
    assert_eq!(progress.compare("server/2", &[stored(100)]), [0]);
    assert!(
        progress.reports().is_empty(),
        "the position in the database stays"
    );
    assert_eq!(progress.take_rewinds(), [(0, 100)]);
    assert_eq!(next(&progress), Some(100));
    assert!(progress.take_rewinds().is_empty());
    assert_eq!(progress.compare("server/2", &[stored(100)]), [0; 0]);
    assert_eq!(progress.reports()[0].next_offset, Some(100));
}

#[test]
fn batches_that_were_begun_before_do_not_count() {
    let progress = reading();
    let begun = progress.begin(&batch(100..150));
    assert_eq!(progress.compare("server/2", &[stored(100)]), [0]);
    assert_eq!(progress.take_rewinds(), [(0, 100)]);
    progress.settle(begun, at(1));
    assert_eq!(next(&progress), Some(100));
    commit(&progress, 100..120);
    assert_eq!(next(&progress), Some(120));
}

#[test]
fn a_database_that_cannot_be_told_apart_is_noticed_by_what_it_lacks() {
    let progress = reading();
    commit(&progress, 100..150);
    progress.reported(&progress.reports());
    assert_eq!(progress.compare("server/1", &[stored(150)]), [0; 0]);
    assert_eq!(progress.compare("server/1", &[stored(149)]), [0]);
    assert_eq!(progress.take_rewinds(), [(0, 149)]);
}

fn look(progress: &SharedProgress, group: Option<GroupOffset>) {
    let bounds = LogBounds { start: 7, end: 500 };
    let asked = progress.asked()[0];
    assert_eq!(asked.needs_group, group.is_some());
    assert_eq!(progress.look(asked, group, at(1), bounds), None);
}

fn message(offset: i64) -> LogMessage {
    let messages = batch(offset..offset + 1).messages;
    messages.into_iter().next().unwrap()
}

#[test]
fn the_first_message_of_a_topic_that_was_created_again_is_the_next_one() {
    let progress = reading();
    let (asked, bounds) = (progress.asked()[0], LogBounds { start: 0, end: 0 });
    let loss = progress.look(asked, None, at(1), bounds).unwrap();
    assert_eq!(loss.messages, None);
    progress.go_on(asked, &loss, bounds);
    assert_eq!(progress.arrive(&message(0)), MessageOrder::Next);
    assert_eq!(progress.reports()[0].next_offset, Some(0));
}

#[test]
fn a_partition_that_the_topic_lacks_for_a_minute_is_gone() {
    let progress = SharedProgress::new(vec![stored(100)], "server/1".to_owned());
    assert_eq!(progress.assign(0), Some(100));
    assert_eq!(progress.gone(&[1], at(0)), [0; 0]);
    assert!(progress.reports().is_empty());
    assert_eq!(progress.compare("server/1", &[]), [0; 0]);
    // A broker that did not know it yet.
    assert_eq!(progress.gone(&[0, 1], at(59)), [0; 0]);
    assert_eq!(progress.reports().len(), 1);
    assert_eq!(progress.gone(&[1], at(60)), [0; 0]);
    assert_eq!(progress.gone(&[1], at(119)), [0; 0]);
    assert_eq!(progress.gone(&[1], at(120)), [0]);

    progress.know(Vec::new());
    assert!(progress.reports().is_empty());
    assert_eq!(progress.gone(&[0, 1], at(200)), [0; 0]);
    assert_eq!(progress.reports().len(), 1, "another topic has it again");
}

fn own_offset(next: i64) -> GroupOffset {
    GroupOffset { next, is_own: true }
}

fn offset_of_others(next: i64) -> GroupOffset {
    GroupOffset {
        next,
        is_own: false,
    }
}

#[test]
fn a_partition_that_a_promoted_standby_does_not_know_is_read_again_from_where_it_began() {
    let progress = SharedProgress::new(Vec::new(), "server/1".to_owned());
    assert_eq!(progress.assign(0), None);
    look(&progress, Some(offset_of_others(30)));
    commit(&progress, 30..150);
    progress.reported(&progress.reports());
    assert_eq!(progress.compare("server/2", &[]), [0]);
    assert_eq!(progress.take_rewinds(), [(0, 30)]);
    assert_eq!(next(&progress), Some(30));
    assert_eq!(progress.compare("server/2", &[]), [0; 0], "once is enough");
    commit(&progress, 30..40);
    progress.reported(&progress.reports());
    assert_eq!(progress.compare("server/2", &[stored(40)]), [0; 0]);
}

#[test]
fn what_other_replicas_read_of_it_is_read_again_too() {
    let progress = reading();
    look(&progress, None);
    commit(&progress, 100..150);
    let unread = LogPartition {
        next_offset: None,
        ..stored(0)
    };
    assert_eq!(progress.compare("server/2", &[unread]), [0]);
    assert_eq!(progress.take_rewinds(), [(0, 7)]);
}

#[test]
fn a_standby_that_lacks_nothing_is_read_on() {
    let progress = reading();
    commit(&progress, 100..150);
    assert_eq!(progress.compare("server/2", &[stored(150)]), [0; 0]);
}

#[test]
fn a_partition_that_is_taken_away_is_not_read_again_here() {
    let progress = reading();
    commit(&progress, 100..150);
    progress.compare("server/2", &[stored(100)]);
    progress.revoke(&[0]);
    assert!(progress.take_rewinds().is_empty());
    assert_eq!(progress.assign(0), Some(100), "as the database has it");
}

#[test]
fn a_database_that_lacks_a_partition_which_was_read_before_gets_all_that_the_topic_has_of_it() {
    let progress = SharedProgress::new(Vec::new(), "server/2".to_owned());
    assert_eq!(progress.assign(0), None, "the group says where");
    commit(&progress, 150..160);
    assert!(
        progress.reports().is_empty(),
        "who read it is not known yet"
    );
    look(&progress, Some(own_offset(150)));
    assert_eq!(progress.compare("server/2", &[]), [0]);
    assert!(progress.reports().is_empty());
    assert_eq!(progress.take_rewinds(), [(0, 7)]);
    commit(&progress, 7..20);
    assert!(progress.take_uncommitted().is_empty());
    look(&progress, None);
    assert_eq!(progress.compare("server/2", &[]), [0; 0], "once is enough");
    progress.reported(&progress.reports());
    assert_eq!(progress.take_uncommitted(), [(0, 20)]);
}

#[test]
fn a_partition_that_another_replica_has_just_stored_is_read_on_from_the_group() {
    let progress = SharedProgress::new(Vec::new(), "server/1".to_owned());
    assert_eq!(progress.assign(0), None);
    look(&progress, Some(own_offset(150)));
    assert_eq!(progress.compare("server/1", &[stored(155)]), [0; 0]);
    assert_eq!(progress.reports()[0].next_offset, Some(150));
}

#[test]
fn the_offset_of_another_group_member_is_where_a_new_installation_begins() {
    let progress = SharedProgress::new(Vec::new(), "server/1".to_owned());
    assert_eq!(progress.assign(0), None);
    look(&progress, Some(offset_of_others(150)));
    assert_eq!(progress.compare("server/1", &[]), [0; 0]);
    assert!(
        progress.take_uncommitted().is_empty(),
        "not before the database"
    );
    progress.reported(&progress.reports());
    assert_eq!(progress.take_uncommitted(), [(0, 150)]);
}

#[test]
fn messages_that_were_received_before_a_partition_was_revoked_are_no_part_of_its_next_assignment() {
    let progress = reading();
    let received = batch(100..120);
    progress.revoke(&[0]);
    assert_eq!(progress.assign(0), Some(100));
    assert!(progress.take_revoked().contains(&0));
    let mut left = received;
    left.forget(|partition| partition == 0);
    let begun = progress.begin(&left);
    progress.settle(begun, at(1));
    assert_eq!(next(&progress), Some(100));
}
