//! Clean-ups, which remove data that is not needed any more: each is a loop of its own, so that a
//! slow or failing one does not delay the others.

use std::time::Duration;

use crate::domain::model::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanUp {
    /// Workflows of the oldest epoch, with their links.
    Epochs,
    /// Keys of workflows that were purged with their epoch.
    PurgedKeys,
    Counts,
    EndSampling,
    /// Attributes of events that were sampled.
    Samples,
    /// Responses to requests with an `Idempotency-Key`.
    Requests,
    Customers,
    /// Groups without events.
    Groups,
    Losses,
    StageSpans,
    StageSums,
    ChangeEvents,
    /// Incidents that ended long ago, with their deliveries.
    Incidents,
    /// Sessions that have expired.
    Sessions,
    AuditLog,
    PastStatuses,
}

/// The time at which a clean-up last had nothing left to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanUpSign {
    pub clean_up: CleanUp,
    pub finished_at: Timestamp,
}

impl CleanUp {
    pub const ALL: [Self; 16] = [
        Self::Epochs,
        Self::PurgedKeys,
        Self::Counts,
        Self::EndSampling,
        Self::Samples,
        Self::Requests,
        Self::Customers,
        Self::Groups,
        Self::Losses,
        Self::StageSpans,
        Self::StageSums,
        Self::ChangeEvents,
        Self::Incidents,
        Self::Sessions,
        Self::AuditLog,
        Self::PastStatuses,
    ];
    /// The interval between the beginnings of each clean-up.
    pub const INTERVAL: Duration = Duration::from_hours(1);

    /// Returns the name of its loop in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Epochs => "clean_up_epochs",
            Self::PurgedKeys => "clean_up_purged_keys",
            Self::Counts => "clean_up_counts",
            Self::EndSampling => "clean_up_end_sampling",
            Self::Samples => "clean_up_samples",
            Self::Requests => "clean_up_requests",
            Self::Customers => "clean_up_customers",
            Self::Groups => "clean_up_groups",
            Self::Losses => "clean_up_losses",
            Self::StageSpans => "clean_up_stage_spans",
            Self::StageSums => "clean_up_stage_sums",
            Self::ChangeEvents => "clean_up_change_events",
            Self::Incidents => "clean_up_incidents",
            Self::Sessions => "clean_up_sessions",
            Self::AuditLog => "clean_up_audit_log",
            Self::PastStatuses => "clean_up_past_statuses",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}
