//! The CPU time of a Postgres, by the kernel's account of its processes.

use sqlx::PgConnection;

/// Of all Linux systems that people run.
const TICKS_A_SECOND: f64 = 100.0;

/// A Postgres, known by its first process.
pub(super) struct PostgresCpu {
    postmaster: u64,
}

/// The fields of `/proc/<pid>/stat` after the name: the second is the parent, and four from the twelfth on are
/// times, of which the last two are those of children that have ended.
fn stat(pid: u64) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let number = |field: &str| field.parse().unwrap_or(0);
    Some(fields.split(' ').map(number).collect())
}

impl PostgresCpu {
    pub(super) async fn find(connection: &mut PgConnection) -> Self {
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(connection)
            .await
            .unwrap();
        let postmaster = stat(backend.unsigned_abs().into()).unwrap()[1];
        Self { postmaster }
    }

    /// Returns what it has used so far.
    pub(super) fn seconds(&self) -> f64 {
        let pids = std::fs::read_dir("/proc").unwrap();
        let pids = pids.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let ticks = |pid: u64| -> Option<u64> {
            let fields = stat(pid)?;
            if pid == self.postmaster {
                return Some(fields[11..15].iter().sum());
            }
            (fields[1] == self.postmaster).then(|| fields[11..13].iter().sum())
        };
        let ticks: u64 = pids.filter_map(ticks).sum();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let ticks = ticks as f64;
        ticks / TICKS_A_SECOND
    }
}
