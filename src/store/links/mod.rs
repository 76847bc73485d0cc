//! Edges between spans, and evidence whose workflow is found only by links or message ids.

pub(super) mod batch_messages;
pub(super) mod checks;
pub(super) mod edges;
pub(super) mod evidence;
pub(super) mod groups;
pub(super) mod lock;
pub(super) mod remaining;
pub(super) mod starts;
pub(super) mod traces;
