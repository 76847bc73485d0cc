//! Sums of time ranges that overlap, made from segments that do not.

use std::ops::Range;

use crate::domain::model::{
    counts::EventCounts,
    time::{Resolution, TimeRange, Timestamp},
};

/// The time between the ends of some ranges, in whole minutes as events are counted. The sum of a range is
/// that of the segments in it, so what several ranges share is read once.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    /// Sorted; a segment lies between each two.
    ends: Vec<Timestamp>,
    /// One less than the ends.
    sums: Vec<SegmentSum>,
}

#[derive(Clone, Copy, Debug)]
enum SegmentSum {
    /// No range contains the segment.
    Unused,
    Unread,
    Read(EventCounts),
}

impl Segments {
    /// Makes those of `ranges`, of which none is read yet and none contains `border`.
    pub fn of(ranges: &[TimeRange], border: Timestamp) -> Self {
        let used = ranges.iter().filter(|range| !range.is_empty());
        let used: Vec<TimeRange> = used.map(|range| in_whole_minutes(*range)).collect();
        let ends = used.iter().flat_map(|range| [range.from, range.to]);
        let mut ends: Vec<Timestamp> = ends.chain([border]).collect();
        ends.sort_unstable();
        ends.dedup();
        let sums = vec![SegmentSum::Unused; ends.len() - 1];
        let mut segments = Self { ends, sums };
        for range in used {
            let inside = segments.inside(range);
            let sums = segments.sums.get_mut(inside).into_iter().flatten();
            sums.for_each(|sum| *sum = SegmentSum::Unread);
        }
        segments
    }

    /// Takes over what `known` has of the same segments.
    pub fn take_over(&mut self, known: &Self) {
        for (at, sum) in self.sums.iter_mut().enumerate() {
            if let (SegmentSum::Unread, Some([from, to])) = (*sum, self.ends.get(at..at + 2))
                && let Some(counts) = known.read(TimeRange::new(*from, *to))
            {
                *sum = SegmentSum::Read(counts);
            }
        }
    }

    /// Returns the segments that are not read yet, in the order in which [`Self::put`] takes their sums.
    pub fn unread(&self) -> impl Iterator<Item = TimeRange> {
        let segments = self.ends.iter().zip(self.ends.iter().skip(1));
        let unread = segments.zip(&self.sums);
        let unread = unread.filter(|(_, sum)| matches!(sum, SegmentSum::Unread));
        unread.map(|((from, to), _)| TimeRange::new(*from, *to))
    }

    /// Puts the sums of all segments that are not read yet.
    pub fn put(&mut self, sums: impl Iterator<Item = EventCounts>) {
        let unread = self.sums.iter_mut();
        // Zipped first: what is left of `sums` belongs to others.
        let unread = unread.filter(|sum| matches!(sum, SegmentSum::Unread));
        for (unread, sum) in unread.zip(sums) {
            *unread = SegmentSum::Read(sum);
        }
    }

    /// Returns the sum of one of the ranges.
    pub fn sum(&self, range: TimeRange) -> EventCounts {
        if range.is_empty() {
            return EventCounts::ZERO;
        }
        let inside = self.inside(in_whole_minutes(range));
        let sums = self.sums.get(inside).into_iter().flatten();
        sums.map(|sum| match sum {
            SegmentSum::Unused | SegmentSum::Unread => EventCounts::ZERO,
            SegmentSum::Read(counts) => *counts,
        })
        .sum()
    }

    /// Returns the segments before `border`.
    #[must_use]
    pub fn before(mut self, border: Timestamp) -> Self {
        let ends = self.ends.partition_point(|end| *end <= border);
        self.ends.truncate(ends);
        self.sums.truncate(ends.saturating_sub(1));
        self
    }

    fn read(&self, segment: TimeRange) -> Option<EventCounts> {
        let at = self.ends.binary_search(&segment.from).ok()?;
        match (self.ends.get(at + 1), self.sums.get(at)) {
            (Some(to), Some(SegmentSum::Read(counts))) if *to == segment.to => Some(*counts),
            _ => None,
        }
    }

    /// Returns the places of the segments in a range of whole minutes.
    fn inside(&self, range: TimeRange) -> Range<usize> {
        let place = |at| self.ends.partition_point(|end| *end < at);
        place(range.from)..place(range.to)
    }
}

/// Returns `range`, widened to whole minutes.
fn in_whole_minutes(range: TimeRange) -> TimeRange {
    let minute = Resolution::Minute.length();
    TimeRange::new(range.from.floor_to(minute), range.to.ceil_to(minute))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_secs(minute * 60)
    }

    /// The events of a minute, of which no two have as many.
    fn events(minute: i64) -> EventCounts {
        EventCounts {
            good: minute * minute,
            failed: minute,
            ..EventCounts::ZERO
        }
    }

    fn minutes(range: TimeRange) -> Range<i64> {
        range.from.as_secs() / 60..range.to.as_secs() / 60
    }

    fn counted(range: TimeRange) -> EventCounts {
        minutes(range).map(events).sum()
    }

    /// Reads what is not known of `ranges`, and returns it.
    fn read(segments: &mut Segments) -> Vec<i64> {
        let unread: Vec<TimeRange> = segments.unread().collect();
        segments.put(unread.iter().map(|segment| counted(*segment)));
        unread.into_iter().flat_map(minutes).collect()
    }

    fn ranges() -> impl Strategy<Value = Vec<TimeRange>> {
        let range = (0_i64..60_000, 0_i64..20_000).prop_map(|(from, length)| {
            TimeRange::new(
                Timestamp::from_secs(from),
                Timestamp::from_secs(from + length),
            )
        });
        vec(range, 0..12)
    }

    proptest! {
        #[test]
        fn a_sum_is_that_of_its_minutes_and_each_minute_is_read_once(
            ranges in ranges(), border in 0_i64..1_000,
        ) {
            let mut segments = Segments::of(&ranges, at(border));
            let read = read(&mut segments);
            let mut asked = BTreeSet::new();
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                let whole = in_whole_minutes(*range);
                prop_assert_eq!(segments.sum(*range), counted(whole));
                asked.extend(minutes(whole));
            }
            prop_assert_eq!(read, asked.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn what_is_known_before_a_border_is_not_read_again(ranges in ranges(), border in 0_i64..1_000) {
            let mut first = Segments::of(&ranges, at(border));
            read(&mut first);
            let mut second = Segments::of(&ranges, at(border));
            second.take_over(&first.before(at(border)));
            prop_assert!(read(&mut second).iter().all(|minute| *minute >= border));
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                prop_assert_eq!(second.sum(*range), counted(in_whole_minutes(*range)));
            }
        }
    }
}
