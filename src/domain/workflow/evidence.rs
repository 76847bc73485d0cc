//! What one span says of a workflow, and the join of all that is known.

use std::time::Duration;

use crate::domain::{
    names::{SloId, TraceId},
    time::Timestamp,
};

/// What makes two pieces of evidence one event: a hash of what correlates them, never of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub [u8; 16]);

/// What one span says of one workflow of one SLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub slo: SloId,
    pub key: EventKey,
    /// What people read instead of the key; at most 256 bytes.
    pub label: String,
    pub fact: Fact,
    pub trace_id: TraceId,
    /// At most 256 bytes.
    pub customer: Option<String>,
}

/// The fact itself, with its event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A start span began; the promise is the one in force.
    Started {
        at: Timestamp,
        within: Duration,
    },
    /// A finish span ended.
    Succeeded {
        at: Timestamp,
    },
    /// A terminal failure ended.
    Failed {
        at: Timestamp,
    },
    Cancelled {
        at: Timestamp,
    },
}

/// All that is known of one workflow. [`Workflow::join`] is associative, commutative and idempotent:
/// any order, duplication and spread over replicas gives the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    pub label: String,
    /// The earliest start.
    pub start: Option<Start>,
    /// The earliest end of a success: what comes after it is a redelivery.
    pub success: Option<Timestamp>,
    /// The earliest end of a terminal failure.
    pub failure: Option<Timestamp>,
    pub cancelled: Option<Timestamp>,
    pub trace: TraceRef,
    /// The smallest of the names given, if there is more than one.
    pub customer: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Start {
    pub at: Timestamp,
    pub within: Duration,
}

/// A trace to look at. Ordered by preference: a start span's comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceRef {
    OfStart { at: Timestamp, trace_id: TraceId },
    Other(TraceId),
}
