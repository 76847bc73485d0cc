//! The outbox against a list: random schedules of what replicas, targets and time may do are run on a
//! real Postgres and on a model that shares no code with it. Both must say the same after every step,
//! and when all is over everybody was told of everything, in order.

pub(crate) mod found;
mod model;
mod ops;
mod table;

use proptest::{
    collection::vec,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::runtime::Runtime;

use self::{
    model::Model,
    ops::{Op, op},
    table::Table,
};
use crate::support::database::TestDatabase;

const SCHEDULES: u32 = 40;
const LONGEST: usize = 60;

#[test]
fn whatever_happens_in_whatever_order_the_outbox_does_what_a_list_would() {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let mut runner = TestRunner::new(Config {
        cases: SCHEDULES,
        failure_persistence: None,
        ..Config::default()
    });
    let schedules = vec(op(), 1..LONGEST);
    runner
        .run(&schedules, |schedule| {
            runtime.block_on(run(&database, &schedule))
        })
        .unwrap_or_else(|error| panic!("keep this one in `found`: {error}"));
}

/// Every step on both, and then all that is left to do.
async fn run(database: &TestDatabase, schedule: &[Op]) -> Result<(), TestCaseError> {
    let mut table = Table::new(database).await;
    let mut model = Model::default();
    for (nth, op) in schedule.iter().enumerate() {
        let (expected, done) = (model.step(op), table.step(op).await);
        same(nth, op, &expected, &done)?;
        same(nth, op, &model.rows(), &table.rows().await)?;
    }
    for (nth, op) in ops::to_the_end().iter().enumerate() {
        let (expected, done) = (model.step(op), table.step(op).await);
        same(schedule.len() + nth, op, &expected, &done)?;
    }
    same(usize::MAX, &"the end", &model.rows(), &table.rows().await)?;
    model.assert_all_told_in_order();
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(
    nth: usize,
    op: &(dyn std::fmt::Debug + Sync),
    expected: &T,
    found: &T,
) -> Result<(), TestCaseError> {
    if expected == found {
        return Ok(());
    }
    let text = format!("step {nth}, {op:?}: expected {expected:#?}, found {found:#?}");
    Err(TestCaseError::fail(text))
}
