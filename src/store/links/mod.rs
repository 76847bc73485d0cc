//! Edges between spans, and evidence whose workflow is found only by links or message ids.

pub(super) mod batch_messages;
pub(super) mod edges;
pub(super) mod evidence;
pub(super) mod groups;
pub(super) mod rejudge;
pub(super) mod resolve;
pub(super) mod starts;
pub(super) mod traces;
