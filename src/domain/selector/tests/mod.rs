//! What selectors promise, by subject.
