//! The durations of workflows over time: a heat map with the deadline as a line, and small charts
//! for single stages.

mod multiple;

use std::time::Duration;

pub(in crate::web) use multiple::{MultiplePoint, multiple};

use super::{
    ChartTable, Figure,
    markup::{Markup, escaped, number},
    plot::{Frame, PlotParts, PlotReading, WIDTH, readings, scale},
};
use crate::{
    domain::{
        counting::durations::{DurationBucket, DurationHistogram},
        model::{
            format,
            time::{TimeRange, Timestamp},
        },
    },
    web::reader::times,
};

const HEIGHT: f64 = 240.0;
/// The number of shades of a cell; the class of the darkest is `h5`.
const SHADES: f64 = 5.0;
/// The labels of the scale, in seconds.
const LABELS: [f64; 15] = [
    0.001,
    0.01,
    0.1,
    1.0,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    3_600.0,
    14_400.0,
    43_200.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
];
/// Closer labels would overlap.
const LABEL_DISTANCE: f64 = 14.0;

/// Durations over time, on a logarithmic scale.
pub(in crate::web) struct HeatMap<'a> {
    /// One per step, oldest first.
    pub(in crate::web) columns: &'a [HeatColumn],
    pub(in crate::web) step: Duration,
    /// The time limit of a workflow, in seconds.
    pub(in crate::web) deadline: f64,
    pub(in crate::web) sentence: String,
}

/// The workflows that were judged in one step.
#[derive(Clone, Debug)]
pub(in crate::web) struct HeatColumn {
    pub(in crate::web) at: Timestamp,
    pub(in crate::web) good: DurationHistogram,
    pub(in crate::web) bad: DurationHistogram,
}

/// The durations at the lower and the upper edge, as logarithms.
#[derive(Clone, Copy)]
struct LogScale {
    low: f64,
    high: f64,
}

impl HeatColumn {
    pub(in crate::web) fn empty(at: Timestamp) -> Self {
        Self {
            at,
            good: DurationHistogram::default(),
            bad: DurationHistogram::default(),
        }
    }

    pub(in crate::web) fn all(&self) -> DurationHistogram {
        let mut all = self.good.clone();
        all.merge(&self.bad);
        all
    }

    /// Returns the class of a cell: red if most of its workflows are bad.
    fn class(&self, bucket: &DurationBucket) -> &'static str {
        let bad = self.bad.events_in(bucket.number);
        if bad * 2.0 > bucket.events {
            "hb"
        } else {
            "hg"
        }
    }
}

impl LogScale {
    /// Returns the pixels from the top.
    fn y(self, secs: f64) -> f64 {
        let place = (secs.max(1e-6).log2() - self.low) / (self.high - self.low);
        HEIGHT - place.clamp(0.0, 1.0) * HEIGHT
    }
}

impl HeatMap<'_> {
    pub(in crate::web) fn draw(&self) -> Figure {
        let first = self
            .columns
            .first()
            .map_or(Timestamp::UNIX_EPOCH, |one| one.at);
        let last = self.columns.last().map_or(first, |one| one.at);
        let frame = Frame {
            range: TimeRange::new(first, last + self.step),
            height: HEIGHT,
        };
        let axis = self.axis();
        Figure {
            scale: scale(HEIGHT, &labels(axis)),
            plot: frame.plot(&PlotParts {
                id: "durations",
                sentence: &self.sentence,
                lines: self.cells(axis),
                marks: self.deadline_label(axis),
            }),
            data: self.readings(&frame),
            table: self.table(frame.range.to),
        }
    }

    /// Returns the scale from the shortest to the longest duration, which includes the deadline.
    fn axis(&self) -> LogScale {
        let mut shortest = self.deadline;
        let mut longest = self.deadline;
        for bucket in self.columns.iter().flat_map(|column| {
            let all = column.all();
            all.buckets().collect::<Vec<_>>()
        }) {
            shortest = shortest.min(bucket.from_seconds);
            longest = longest.max(bucket.to_seconds);
        }
        LogScale {
            low: shortest.max(1e-3).log2() - 0.25,
            high: longest.max(2e-3).log2() + 0.25,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few dozen columns")]
    fn cells(&self, axis: LogScale) -> Markup {
        let mut svg = Markup::default();
        let all: Vec<DurationHistogram> = self.columns.iter().map(HeatColumn::all).collect();
        let events = all.iter().flat_map(DurationHistogram::buckets);
        let most = events.map(|bucket| bucket.events).fold(0.0, f64::max);
        let width = WIDTH / self.columns.len().max(1) as f64;
        for (index, (column, all)) in self.columns.iter().zip(&all).enumerate() {
            for bucket in all.buckets() {
                // The square root keeps small numbers visible beside large ones.
                let darkness = (bucket.events / most).sqrt();
                let shade = (darkness * SHADES).ceil().clamp(1.0, SHADES);
                let class = column.class(&bucket);
                let top = axis.y(bucket.to_seconds);
                svg.add(format_args!(
                    r#"<rect class="{class} h{shade}" x="{}" y="{}" width="{}" height="{}"/>"#,
                    number(index as f64 * width),
                    number(top),
                    number(width),
                    number((axis.y(bucket.from_seconds) - top).max(1.0)),
                ));
            }
        }
        svg.add(format_args!(
            r#"<path class="n ax" d="M0 {HEIGHT}h1000"/><path class="n thr tp" d="M0 {}h1000"/>"#,
            number(axis.y(self.deadline))
        ));
        svg
    }

    fn deadline_label(&self, axis: LogScale) -> Markup {
        let mut svg = Markup::default();
        svg.add(format_args!(
            r#"<text class="tp" x="4" y="{}">deadline {}</text>"#,
            number((axis.y(self.deadline) - 4.0).max(10.0)),
            escaped(&format::seconds(self.deadline)),
        ));
        svg
    }

    fn readings(&self, frame: &Frame) -> Markup {
        let of = |read: &dyn Fn(&HeatColumn) -> String| self.columns.iter().map(read).collect();
        let quantile = |q: f64| {
            move |column: &HeatColumn| match column.all().quantile(q) {
                Some(secs) => format::seconds(secs),
                None => String::new(),
            }
        };
        let series = vec![
            PlotReading {
                n: "half within",
                v: of(&quantile(0.5)),
            },
            PlotReading {
                n: "95 % within",
                v: of(&quantile(0.95)),
            },
            PlotReading {
                n: "workflows",
                v: of(&|column| events_text(column.all().events())),
            },
        ];
        readings("durations", frame, self.step, series)
    }

    fn table(&self, now: Timestamp) -> ChartTable {
        let row = |column: &HeatColumn| {
            let all = column.all();
            let quantile = |q| format::seconds(all.quantile(q));
            vec![
                times::moment(column.at, now),
                events_text(all.events()),
                events_text(column.bad.events()),
                quantile(0.5),
                quantile(0.95),
                quantile(0.99),
            ]
        };
        ChartTable {
            caption:
                "Durations of workflows by the time of the verdict; steps without any are left out"
                    .to_owned(),
            head: [
                &times::heading("From"),
                "Workflows",
                "Bad",
                "50 % within",
                "95 % within",
                "99 % within",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: self
                .columns
                .iter()
                .rev()
                .filter(|column| !column.all().is_empty())
                .map(row)
                .collect(),
        }
    }
}

/// Formats a number of events, which may be an estimate.
pub(in crate::web) fn events_text(events: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a number of events")]
    let events = events.round() as i64;
    format::count(events)
}

fn labels(axis: LogScale) -> Vec<(f64, String, &'static str)> {
    let mut labels: Vec<(f64, String, &str)> = Vec::new();
    for secs in LABELS {
        let is_inside = (axis.low..=axis.high).contains(&secs.log2());
        let y = axis.y(secs);
        let has_room = labels
            .last()
            .is_none_or(|(last, ..)| last - y >= LABEL_DISTANCE);
        if is_inside && has_room {
            labels.push((y.clamp(5.0, HEIGHT - 3.0), format::seconds(secs), ""));
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::sampling::Weight;

    fn column(minute: u32, good: &[i64], bad: &[i64]) -> HeatColumn {
        let histogram = |seconds: &[i64]| {
            let mut histogram = DurationHistogram::default();
            for secs in seconds {
                histogram.add(secs * 1_000_000, Weight::ONE, 1);
            }
            histogram
        };
        HeatColumn {
            at: Timestamp::from_secs(1_795_320_000) + Duration::from_mins(1) * minute,
            good: histogram(good),
            bad: histogram(bad),
        }
    }

    fn drawn(columns: &[HeatColumn]) -> Figure {
        HeatMap {
            columns,
            step: Duration::from_mins(1),
            deadline: 60.0,
            sentence: "Durations.".to_owned(),
        }
        .draw()
    }

    #[test]
    fn what_most_workflows_took_is_darkest_and_what_is_mostly_bad_is_red() {
        let columns = [column(0, &[2; 100], &[]), column(1, &[2], &[90])];
        let plot = drawn(&columns).plot.to_string();
        assert_eq!(plot.matches(r#"class="hg h5""#).count(), 1, "{plot}");
        assert_eq!(plot.matches(r#"class="hg h1""#).count(), 1, "{plot}");
        assert_eq!(plot.matches(r#"class="hb h1""#).count(), 1, "{plot}");
        assert!(plot.contains("deadline 1 min"), "{plot}");
        assert!(plot.contains(r#"class="n thr tp""#), "{plot}");
    }

    #[test]
    fn the_table_says_the_same_and_leaves_out_steps_without_workflows() {
        let columns = [column(0, &[2; 99], &[90]), column(1, &[], &[])];
        let table = drawn(&columns).table;
        assert_eq!(table.rows.len(), 1);
        assert_eq!(table.rows[0][1..3], ["100", "1"]);
    }

    #[test]
    fn a_map_without_any_workflow_is_empty_and_has_the_deadline() {
        let plot = drawn(&[column(0, &[], &[])]).plot.to_string();
        assert!(
            !plot.contains("<rect") && plot.contains("deadline"),
            "{plot}"
        );
    }
}
