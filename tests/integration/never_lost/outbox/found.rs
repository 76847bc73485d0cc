//! Schedules worth keeping, by hand: the fewest steps in the order that matters.

use super::{
    ops::{How, LEASE_SECS, Op},
    run,
};
use crate::support::database::TestDatabase;

const fn claim(replica: usize) -> Op {
    Op::Claim {
        replica,
        target: 0,
        limit: 3,
    }
}

const fn end(replica: usize, how: How) -> Op {
    Op::End {
        replica,
        nth: 0,
        how,
    }
}

fn enqueue(key: usize) -> Op {
    Op::Enqueue {
        key,
        targets: vec![0],
    }
}

const LEASE: Op = Op::Pass { secs: LEASE_SECS };

async fn equals_the_list(schedule: &[Op]) {
    let database = TestDatabase::create().await;
    run(&database, schedule).await.unwrap();
}

#[tokio::test]
async fn a_zombie_that_gives_up_what_another_has_told_changes_nothing() {
    equals_the_list(&[
        enqueue(0),
        claim(0),
        LEASE,
        claim(1),
        end(1, How::Told),
        end(0, How::GivenUp),
    ])
    .await;
}

#[tokio::test]
async fn a_zombie_that_puts_off_what_another_has_leased_changes_nothing() {
    equals_the_list(&[
        enqueue(0),
        claim(0),
        LEASE,
        claim(1),
        end(0, How::Unknown(90)),
        claim(0),
        end(1, How::Told),
    ])
    .await;
}

/// The end waits although its beginning is put off for longer than itself.
#[tokio::test]
pub(crate) async fn t16_an_end_waits_for_a_beginning_that_is_due_later() {
    equals_the_list(&[
        enqueue(0),
        claim(0),
        end(0, How::Refused(99)),
        enqueue(0),
        claim(0),
        LEASE,
        claim(1),
    ])
    .await;
}

#[tokio::test]
async fn a_lease_that_lapsed_and_that_nobody_took_is_still_its_owners() {
    equals_the_list(&[enqueue(0), claim(0), LEASE, end(0, How::Told), claim(1)]).await;
}

#[tokio::test]
async fn a_target_that_is_left_alone_keeps_the_order_of_what_gathers_meanwhile() {
    equals_the_list(&[
        enqueue(1),
        Op::Hold {
            target: 0,
            secs: 100,
        },
        enqueue(1),
        enqueue(0),
        claim(0),
        Op::Pass { secs: 100 },
        claim(0),
        claim(1),
    ])
    .await;
}
