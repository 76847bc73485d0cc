//! Self-checks of the service, and the notifications of its operators.
//!
//! [`mod@findings`] derives problems from the state of all replicas, targets and SLOs; [`step`]
//! turns repeated findings into one notification that opens and one that resolves; [`why_withheld`]
//! returns the reasons to withhold the heartbeat; [`capacity`] says which machines a load needs. A problem of the service is never an alert on a
//! customer's SLO.

pub mod capacity;
mod certificate;
mod clean_up;
mod database_outage;
pub mod diagnosis;
mod findings;
mod heartbeat;
mod inputs;
mod state;

pub use certificate::{CertificateState, PortCertificate, certificates_in};
pub use clean_up::{CleanUp, CleanUpSign};
pub use database_outage::{DatabaseOutage, LastAnswer, OutageNotice};
pub use findings::{Finding, findings};
pub use heartbeat::why_withheld;
pub use inputs::{
    DeadLetters, HealthInputs, LogSign, ReplicaSign, SilenceSign, SloSign, TargetSign,
};
pub use state::{CheckAnnouncement, CheckPhase, CheckState, Found, HoldTimes, step};
