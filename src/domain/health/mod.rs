//! Self-checks of the service, and the notifications of its operators.
//!
//! [`mod@findings`] reads the signs of life of all replicas, targets and SLOs; [`step`] makes of what is
//! found again and again one notice that opens and one that resolves; [`why_withheld`] says what
//! keeps the heartbeat from being sent. Trouble of ours is never an alert on a customer's SLO.

mod clean_up;
mod database_outage;
pub mod diagnosis;
mod findings;
mod heartbeat;
mod inputs;
mod state;

pub use clean_up::{CleanUp, CleanUpSign};
pub use database_outage::{DatabaseOutage, LastAnswer, OutageNotice};
pub use findings::{Finding, findings};
pub use heartbeat::why_withheld;
pub use inputs::{
    DeadLetters, HealthInputs, LogSign, ReplicaSign, SilenceSign, SloSign, TargetSign,
};
pub use state::{CheckAnnouncement, CheckPhase, CheckState, Found, HoldTimes, step};
