//! The commands: arguments in, text and an exit code out.

pub mod problems;
pub mod schema;
pub mod validate;

#[cfg(test)]
mod tests;
