//! Tracks the database replica that pages read from: the time until which it has all commits.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::app::loops::periodic::Periodic;
use crate::{domain::model::time::Timestamp, store::Store, web::ReadReplica};

const SECOND: Duration = Duration::from_secs(1);

/// The replica, and the time until which it has everything.
#[derive(Clone, Debug)]
pub(in crate::app) struct FollowedReplica {
    store: Store,
    complete_until: watch::Sender<Option<Timestamp>>,
}

impl FollowedReplica {
    pub(in crate::app) fn new(store: Store) -> Self {
        Self {
            store,
            complete_until: watch::Sender::new(None),
        }
    }

    /// Returns the replica for pages.
    pub(in crate::app) fn pages(&self) -> ReadReplica {
        ReadReplica::new(self.store.clone(), self.complete_until.subscribe())
    }

    pub(in crate::app) fn spawn(self, tasks: &TaskTracker, periodic: &Periodic) {
        let periodic = periodic.clone();
        tasks.spawn(periodic.run("read_replica", SECOND, move |_| {
            let replica = self.clone();
            async move { replica.look().await }
        }));
    }

    /// Measures the replica. While it does not answer, pages read from the primary.
    async fn look(&self) -> anyhow::Result<()> {
        match self.store.complete_until().await {
            Ok(until) => {
                self.complete_until.send_replace(until);
            }
            Err(error) => {
                let before = self.complete_until.send_replace(None);
                if before.is_some() {
                    tracing::warn!(
                        error = %error.in_full(),
                        "the replica of --database-read-url does not answer: pages are read from the primary"
                    );
                }
            }
        }
        Ok(())
    }
}
