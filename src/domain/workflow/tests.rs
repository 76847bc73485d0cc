//! The shapes of semantics.md, section 7, at the pure layer.
