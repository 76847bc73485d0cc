//! The stages that a workflow's time is divided into.

use crate::domain::traceql::Selector;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stages {
    /// Waits per queue and processing per service, from the spans of messages.
    #[default]
    Auto,
    /// Not divided at all.
    None,
    /// In the order of the definition.
    Declared(Vec<DeclaredStage>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredStage {
    /// Unique within its SLO.
    pub name: String,
    pub extent: Extent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As long as each span that it selects.
    Span(Selector),
    /// From the end of the earliest span that `from` selects to the start of the earliest that `to` does.
    Between { from: Edge, to: Edge },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The start, or the end, of the workflow itself.
    OfWorkflow,
    Span(Selector),
}

impl Stages {
    pub const fn is_auto(&self) -> bool {
        matches!(self, Self::Auto)
    }

    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}
