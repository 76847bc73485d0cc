//! Charts as SVG, drawn without a library.
//!
//! A plot has no `viewBox`: its unit is the pixel, so that text keeps its size at any width.
//! Positions on the time axis are percentages; lines are in a nested drawing that is stretched.
//! Colours are classes, so one document serves both themes, and no length is a `style`.
//!
//! To add a chart: write a function that returns a [`Figure`], with the sentence and the table that
//! say the same, and name its classes in `style.css`.

mod budget;
mod bullet;
mod burn;
mod card;
mod dumbbell;
mod durations;
mod event_marks;
mod markup;
mod plot;
mod reasons;
mod sparkline;
mod stages;

pub(super) use budget::{AlertTick, BudgetChart, Future};
pub(super) use bullet::{Bullet, budget_bar, share_bar};
pub(super) use burn::{BurnChart, BurnPoint, FactorLine};
pub(super) use card::{HEIGHT as CARD_HEIGHT, WIDTH as CARD_WIDTH, card};
pub(super) use dumbbell::dumbbell;
pub(super) use durations::{HeatColumn, HeatMap, MultiplePoint, events_text, multiple};
pub(super) use event_marks::EventMark;
pub(super) use markup::{Markup, prose};
pub(super) use reasons::reasons;
pub(super) use sparkline::{sparkline, time_used_bars};
pub(super) use stages::{Bar, strip, track, waterfall};

/// A plot, and everything that says the same in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Figure {
    /// The labels to the left of the plot.
    pub(super) scale: Markup,
    pub(super) plot: Markup,
    /// The values that the crosshair shows, as a block of JSON.
    pub(super) data: Markup,
    pub(super) table: ChartTable,
}

/// The numbers of a chart as a table, for readers who cannot see the chart.
#[derive(Clone, Debug, Default)]
pub(super) struct ChartTable {
    pub(super) caption: String,
    pub(super) head: Vec<String>,
    /// The first cell is the heading of its row.
    pub(super) rows: Vec<Vec<String>>,
}
