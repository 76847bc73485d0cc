//! Where the time goes, on a real Postgres: what is put aside, what is added up, what is shown.

mod durations;
mod folding;
mod keeping;
mod known;
mod sampled;
mod wire;
mod world;
