//! Stub during writing.
#![expect(dead_code)]
mod chart;
mod format;
mod series;
