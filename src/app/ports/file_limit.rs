//! The limit on open files of the process, which bounds its connections.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::server::limits::ConnectionLimits;

/// Files reserved for everything but client connections: the database, targets, definitions, the
/// log.
const RESERVED: usize = 256;
/// The minimum per port: the service would be useless with fewer connections.
const LEAST: usize = 16;

/// The number of files that this process may have open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) struct FileLimit(usize);

impl FileLimit {
    /// Raises the soft limit to the hard one: the soft one is low by tradition, for programs that
    /// use `select`.
    pub(in crate::app) fn raise() -> Self {
        let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok(limits) => limits,
            Err(error) => {
                tracing::warn!(%error, "cannot read the limit of open files");
                return Self(1_024);
            }
        };
        let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(error) => {
                tracing::warn!(%error, "cannot raise the limit of open files from {soft} to {hard}");
                soft
            }
        };
        Self(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Reduces `limits` so that enough files are left for the other two ports and for everything
    /// else.
    pub(in crate::app) fn bound(self, limits: ConnectionLimits) -> ConnectionLimits {
        // A fourth, not a third: connections that are closing use an eighth more for a while.
        let share = (self.0.saturating_sub(RESERVED) / 4).max(LEAST);
        ConnectionLimits {
            connections: limits.connections.min(share),
            per_peer: limits.per_peer.min(share),
            ..limits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = FileLimit::raise();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
        assert_eq!(limit, FileLimit(usize::try_from(hard).unwrap()));
    }

    #[test]
    fn three_ports_never_take_all_files() {
        for files in [1_024, 4_096, 65_536, usize::MAX] {
            let bound = FileLimit(files).bound(ConnectionLimits::default());
            let with_closing = bound.connections + bound.connections / 8 + 1;
            assert!(with_closing * 3 + RESERVED <= files, "{files}: {bound:?}");
            assert!(bound.per_peer <= bound.connections);
        }
        let plenty = FileLimit(65_536).bound(ConnectionLimits::default());
        assert_eq!(plenty.connections, ConnectionLimits::default().connections);
    }
}
