//! The trend of the share of bad events: a message's chart, also for channels that show only text.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::model::{
    counts::EventCounts,
    format,
    time::{TimeRange, Timestamp},
};

/// The number of points: an hour's window is shown as six hours at five minutes.
const POINTS: u32 = 72;
const WINDOWS: u32 = 6;
const MINUTE: Duration = Duration::from_mins(1);
/// The number of characters of a sparkline: what a phone shows beside some words.
const SPARKS: usize = 18;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Marks a point without events.
const NOTHING: char = '·';

/// Shares of bad events in ranges of equal length, oldest first.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Trend {
    pub from: Timestamp,
    #[serde(rename = "step_seconds")]
    pub step_secs: u64,
    /// Seconds since the first event of the SLO, if that is less than the length of the trend.
    #[serde(
        default,
        rename = "seconds_since_first_event",
        skip_serializing_if = "Option::is_none"
    )]
    pub since_first_event_secs: Option<u64>,
    /// In hundredths of a percent, which are exact and short in JSON; `None` without events.
    pub bad_basis_points: Vec<Option<u16>>,
}

impl Trend {
    /// Returns the ranges for a rule with a long window of `long`: together six times as long, the
    /// last ending with the minute of `to`.
    pub fn ranges(long: Duration, to: Timestamp) -> Vec<TimeRange> {
        let step = long * WINDOWS / POINTS;
        let step = Duration::from_secs(step.as_secs().div_ceil(60).max(1) * 60);
        let to = to.ceil_to(MINUTE);
        let from = to - step * POINTS;
        (0..POINTS)
            .map(|n| TimeRange::new(from + step * n, from + step * (n + 1)))
            .collect()
    }

    /// Makes a trend of the counts in [`Self::ranges`], or in the last of them, for an SLO whose
    /// first event was `observed` ago; `None` without events.
    pub fn new(ranges: &[TimeRange], counts: &[EventCounts], observed: Duration) -> Option<Self> {
        let first = ranges.first()?;
        let length: Duration = ranges.iter().map(TimeRange::length).sum();
        Some(Self {
            from: first.from,
            step_secs: first.length().as_secs(),
            since_first_event_secs: (observed < length).then_some(observed.as_secs()),
            bad_basis_points: counts.iter().map(basis_points).collect(),
        })
    }

    pub fn range(&self) -> TimeRange {
        let points = u64::try_from(self.bad_basis_points.len()).unwrap_or(u64::MAX);
        let length = Duration::from_secs(self.step_secs.saturating_mul(points));
        TimeRange::new(self.from, self.from + length)
    }

    /// Formats the time range: `the last 6 h`, or `the 20 min since the first event`.
    pub fn lately(&self) -> String {
        match self.since_first_event_secs {
            None => {
                let length = self.range().length();
                format!("the last {}", format::window(length.as_secs()))
            }
            Some(secs) => format::since_first_event(secs),
        }
    }

    /// Returns the shares; `None` for points without events.
    pub fn bad_ratios(&self) -> impl Iterator<Item = Option<f64>> {
        let points = self.bad_basis_points.iter();
        points.map(|points| points.map(|points| f64::from(points) / 1e4))
    }

    /// Returns the largest share; 0 without any.
    pub fn peak(&self) -> f64 {
        self.bad_ratios().flatten().fold(0.0, f64::max)
    }

    /// Formats `▁▁▂▁▁▁▂▁▃▆███`. The top is the peak, or twice what the `budget` allows if that is
    /// higher, so that noise alone looks flat.
    pub fn sparkline(&self, budget: f64) -> String {
        let top = self.peak().max(2.0 * budget).max(1e-9);
        let chunk = self.bad_basis_points.len().div_ceil(SPARKS).max(1);
        let known = |points: &[Option<u16>]| points.iter().flatten().max().copied();
        let level = |points: u16| level(f64::from(points) / 1e4 / top);
        let chunks = self.bad_basis_points.chunks(chunk);
        chunks
            .map(|points| known(points).map_or(NOTHING, level))
            .collect()
    }
}

fn basis_points(counts: &EventCounts) -> Option<u16> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 10,000"
    )]
    let points = (counts.bad_ratio()?.clamp(0.0, 1.0) * 1e4).round() as u16;
    Some(points)
}

fn level(part: f64) -> char {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 7"
    )]
    let at = (part.clamp(0.0, 1.0) * 7.0).round() as usize;
    LEVELS.get(at).copied().unwrap_or(NOTHING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_reaches_six_windows_back_in_whole_minutes() {
        let to = Timestamp::from_secs(1_795_328_701);
        for (long, step, length) in [
            (3_600, 300, 21_600),
            (21_600, 1_800, 129_600),
            (300, 60, 4_320),
        ] {
            let ranges = Trend::ranges(Duration::from_secs(long), to);
            assert_eq!(ranges.len(), 72);
            assert!(
                ranges.iter().all(|one| one.length().as_secs() == step),
                "{long}"
            );
            assert_eq!(ranges[71].to, to.ceil_to(MINUTE));
            let trend = Trend::new(&ranges, &[EventCounts::ZERO; 72], Duration::MAX).unwrap();
            assert_eq!(trend.range().length().as_secs(), length, "{long}");
            assert_eq!(trend.sparkline(0.005), "·".repeat(18));
        }
    }

    #[test]
    fn a_sparkline_shows_the_peak_of_each_part_and_noise_as_nothing() {
        let trend = |points: [u16; 6]| Trend {
            from: Timestamp::UNIX_EPOCH,
            step_secs: 60,
            since_first_event_secs: None,
            bad_basis_points: points.map(Some).to_vec(),
        };
        let sparks = |points| trend(points).sparkline(0.005);
        assert_eq!(sparks([0, 10, 0, 500, 1_000, 1_000]), "▁▁▁▅██");
        assert_eq!(sparks([5; 6]), "▁▁▁▁▁▁");
        let many = Trend {
            bad_basis_points: (0..72).map(|n| Some(n * 100)).collect(),
            ..trend([0; 6])
        };
        let sparks = many.sparkline(0.005);
        assert_eq!(sparks.chars().count(), 18);
        assert!(sparks.starts_with('▁') && sparks.ends_with('█'), "{sparks}");
    }
}
