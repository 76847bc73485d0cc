//! TraceQL spanset filters: text to tree to compiled matcher, and the index that dispatches many.

use crate::domain::span::SpanView;

/// One spanset filter, compiled.
#[derive(Clone, Debug)]
pub struct Selector {
    text: String,
}

/// What is wrong with a selector's text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectorError {
    /// The bytes of the text at fault.
    pub span: std::ops::Range<usize>,
    pub message: String,
    /// What to write instead, if it can be told.
    pub help: Option<String>,
}

/// What one span cannot know about itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelectorContext {
    /// The span's end less the start of its workflow, in nanoseconds; without it `workflow:duration`
    /// is the span's own duration.
    pub workflow_duration_ns: Option<i64>,
}

impl Selector {
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, _span: &dyn SpanView, _context: SelectorContext) -> bool {
        false
    }
}

/// Many selectors, each with a value of the caller's, found by what a span must have in common with
/// them.
#[derive(Clone, Debug, Default)]
pub struct SelectorIndex<T> {
    entries: Vec<T>,
}

impl<T: Copy> SelectorIndex<T> {
    pub fn build<'a>(entries: impl IntoIterator<Item = (&'a Selector, T)>) -> Self {
        Self {
            entries: entries.into_iter().map(|(_, value)| value).collect(),
        }
    }

    /// Calls `found` for every selector that could match `span`: none that does is left out, some
    /// that do not may be among them.
    pub fn candidates(&self, _span: &dyn SpanView, mut found: impl FnMut(T)) {
        self.entries.iter().for_each(|value| found(*value));
    }
}
