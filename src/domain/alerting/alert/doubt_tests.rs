//! Tests of alerts whose rules are in doubt.

use super::{
    tests::{breach, every, run, seen},
    *,
};

/// In doubt, and not clear even with unusable events counted as good.
pub(super) const IN_DOUBT: Signal = Signal::InDoubt {
    clear_as_good: false,
};

/// In doubt, but clear with unusable events counted as good.
pub(super) const CLEAR_AS_GOOD: Signal = Signal::InDoubt {
    clear_as_good: true,
};

#[test]
fn s45_what_is_in_doubt_pages_nobody_and_holds_what_fires() {
    for doubt in [IN_DOUBT, CLEAR_AS_GOOD] {
        assert_eq!(run(&every(10, 0..=9_000, &doubt)).1, []);
    }
    let mut ticks = vec![seen(0, breach())];
    ticks.extend(every(10, 10..=9_000, &IN_DOUBT));
    let (alert, changes) = run(&ticks);
    assert_eq!(alert.state(), AlertState::Firing);
    assert_eq!(changes.len(), 1);
}

#[test]
fn s45_what_is_clear_as_far_as_can_be_told_resolves_after_the_long_window() {
    let mut ticks = vec![seen(0, breach())];
    ticks.extend(every(10, 10..=3_600, &CLEAR_AS_GOOD));
    assert_eq!(run(&ticks).0.state(), AlertState::Recovering);
    let mut certain = ticks.clone();
    certain.push(seen(3_605, Signal::Clear));
    assert_eq!(run(&certain).0.state(), AlertState::Inactive);
    let mut worse = ticks.clone();
    worse.push(seen(3_605, IN_DOUBT));
    assert_eq!(run(&worse).0.state(), AlertState::Firing);
    ticks.push(seen(3_610, CLEAR_AS_GOOD));
    assert_eq!(run(&ticks).0.state(), AlertState::Inactive);
}
