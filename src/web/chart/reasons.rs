//! The chart of bad workflows by reason, as stacked bars.

use super::{
    ChartTable, Figure,
    markup::{Markup, number},
    plot::{Frame, PlotParts, PlotReading, WIDTH, readings, scale},
};
use crate::{
    domain::{
        counting::series::Series,
        model::{
            counts::EventCounts,
            format,
            time::{TimeRange, Timestamp},
        },
    },
    web::reader::times,
};

const HEIGHT: f64 = 190.0;

/// A CSS class, and the function that returns its count.
type Reason = (&'static str, fn(&EventCounts) -> i64);

const REASONS: [Reason; 3] = [
    ("late", |counts| counts.late),
    ("failed", |counts| counts.failed),
    ("timeout", |counts| counts.timeout),
];

/// Draws one bar per point of `series`.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(in crate::web) fn reasons(series: &Series, sentence: &str) -> Figure {
    let bars: Vec<(Timestamp, EventCounts)> = (0..series.len())
        .map(|index| (series.time(index), series.sum(index, index + 1)))
        .collect();
    let frame = Frame {
        range: TimeRange::new(series.time(0), series.time(series.len())),
        height: HEIGHT,
    };
    let top = round_up(bars.iter().map(|bar| bar.1.bad()).max().unwrap_or(0));
    let y = |n: i64| HEIGHT - n as f64 / top as f64 * (HEIGHT - 6.0);
    let marks = [0, top / 2, top];
    let labels: Vec<_> = marks
        .iter()
        .map(|&n| (y(n), format::count(n), ""))
        .collect();
    let mut lines = Markup::default();
    for n in marks {
        let class = if n == 0 { "ax" } else { "gr" };
        lines.add(format_args!(
            r#"<path class="n {class}" d="M0 {}h1000"/>"#,
            number(y(n))
        ));
    }
    let width = WIDTH / (bars.len().max(1)) as f64;
    for (index, (_, counts)) in bars.iter().enumerate() {
        let mut below = 0;
        for (name, of) in REASONS {
            let n = of(counts).max(0);
            if n > 0 {
                lines.add(format_args!(
                    r#"<rect class="{name}" x="{}" y="{}" width="{}" height="{}"/>"#,
                    number(index as f64 * width + width * 0.08),
                    number(y(below + n)),
                    number(width * 0.84),
                    number(y(below) - y(below + n)),
                ));
            }
            below += n;
        }
    }
    Figure {
        scale: scale(HEIGHT, &labels),
        plot: frame.plot(&PlotParts {
            id: "reasons",
            sentence,
            lines,
            marks: Markup::default(),
        }),
        data: crosshair(&frame, series, &bars),
        table: table(&bars, frame.range.to),
    }
}

fn crosshair(frame: &Frame, series: &Series, bars: &[(Timestamp, EventCounts)]) -> Markup {
    let reading = |(n, of): Reason| PlotReading {
        n,
        v: bars.iter().map(|bar| format::count(of(&bar.1))).collect(),
    };
    readings("reasons", frame, series.step(), REASONS.map(reading).into())
}

fn table(bars: &[(Timestamp, EventCounts)], now: Timestamp) -> ChartTable {
    let row = |(at, counts): &(Timestamp, EventCounts)| {
        std::iter::once(times::moment(*at, now))
            .chain(REASONS.iter().map(|(_, of)| format::count(of(counts))))
            .collect()
    };
    ChartTable {
        caption: "Bad events by reason; times without any are omitted".to_owned(),
        head: [&times::heading("From"), "Late", "Failed", "Timeout"]
            .map(str::to_owned)
            .to_vec(),
        rows: bars
            .iter()
            .rev()
            .filter(|bar| bar.1.bad() != 0)
            .map(row)
            .collect(),
    }
}

/// Rounds up to 2, 4 or 10 times a power of ten, so that half of it is round as well.
fn round_up(n: i64) -> i64 {
    let steps = (0..17).flat_map(|power| [2, 4, 10].map(|step| step * 10_i64.pow(power)));
    let step = steps
        .into_iter()
        .find(|step| n <= step * 5)
        .unwrap_or(i64::MAX / 5);
    (n.max(1) + step - 1) / step * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_even_number_that_holds_everything() {
        for (n, top) in [
            (0, 2),
            (1, 2),
            (7, 8),
            (20, 20),
            (21, 30),
            (173, 200),
            (220, 300),
            (1_999, 2_000),
        ] {
            assert_eq!(round_up(n), top, "{n}");
        }
    }
}
