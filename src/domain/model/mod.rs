//! Values that every context uses: time, ids, spans, counts, windows, objectives, and text for people.

pub mod counts;
pub mod format;
pub mod group;
pub mod ids;
pub mod objective;
pub mod recurrence;
pub mod sampling;
pub mod span;
pub mod text;
pub mod time;
pub mod trace_state;
pub mod value;
pub mod window;
