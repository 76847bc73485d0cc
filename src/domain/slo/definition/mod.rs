//! What a user declared: SLOs, alert policies and notification targets, checked and compiled.
//!
//! A [`Catalog`] is made from all files at once and is valid as a whole; everything behind it may
//! rely on that. On the way a text becomes nodes with their places ([`node`]), then the shapes of
//! [`file`] and [`target_file`], read by a deserializer that notes what is wrong and goes on ([`read`]), then values
//! ([`check`]).
//!
//! To add a field: add it to its shape in `file.rs`, which also makes it part of the JSON Schema,
//! and take it out of `file::not_yet_supported` if it stood there; check it in `check/`; put a file
//! with each mistake that can be made into `tests/fixtures/definitions/bad/`.

mod check;
mod diagnostics;
mod emptied;
mod file;
mod limit_file;
mod node;
mod read;
mod schema;
mod suggest;
mod target_file;
#[cfg(test)]
mod tests;
mod window_file;

pub use self::{
    check::load,
    diagnostics::{DefinitionFile, Excerpt, Problem, ProblemSeverity},
    emptied::{digest, emptied},
    schema::json_schema,
};
