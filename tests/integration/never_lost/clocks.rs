//! Replicas whose machines have wrong clocks, which jump besides: time is the database's.

use std::{fs, path::PathBuf, time::Duration};

use tempfile::TempDir;
use throughline::{clock::Clock, domain::model::time::Timestamp};

use super::{modes::Kind, replicas::Replicas};
use crate::support::{
    database::TestDatabase,
    receiver::{Receiver, Reply},
    service::Site,
};

/// Makes a program see another time than the machine's (package `faketime`).
fn faketime() -> PathBuf {
    let folders = ["/usr/lib", "/usr/lib64"].map(PathBuf::from);
    // Debian has a folder for each architecture.
    let below = fs::read_dir(&folders[0]).unwrap().flatten();
    let folders = below.map(|entry| entry.path()).chain(folders);
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|library| library.exists());
    found.expect("`.dev/setup tests` installs faketime")
}

/// The clocks of two machines, which can be set.
struct Hands(TempDir);

impl Hands {
    fn file(&self, nth: usize) -> PathBuf {
        self.0.path().join(nth.to_string())
    }

    /// Each off by so much, as `+20m`.
    fn set(&self, off: [&str; 2]) {
        for (nth, off) in off.iter().enumerate() {
            let draft = self.0.path().join("draft");
            fs::write(&draft, off).unwrap();
            fs::rename(draft, self.file(nth)).unwrap();
        }
    }

    fn worn_by(&self, site: Site, nth: usize) -> Site {
        site.variable("LD_PRELOAD", &faketime().display().to_string())
            .variable(
                "FAKETIME_TIMESTAMP_FILE",
                &self.file(nth).display().to_string(),
            )
            .variable("FAKETIME_CACHE_DURATION", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .variable("DONT_FAKE_MONOTONIC", "1")
    }
}

#[tokio::test]
pub(crate) async fn t04_replicas_by_clocks_that_are_wrong_and_jump_tell_once_and_at_the_right_time()
{
    let hands = Hands(tempfile::tempdir().unwrap());
    hands.set(["+20m", "-20m"]);
    let database = TestDatabase::create().await;
    let targets = vec![("hook", Kind::Webhook)];
    let say = |site, nth| hands.worn_by(site, nth);
    let mut replicas = Replicas::start_with(&database, targets, say).await;
    // Long enough for the other one to take the lease, if it were over by its clock.
    let slow = Reply::Slow(Duration::from_millis(1_600));
    let receiver = Receiver::start([slow.clone(), slow]).await;
    replicas.lead("hook", Kind::Webhook, &receiver.url);
    replicas.trouble("hook").await;
    replicas.told("hook", 1).await;
    hands.set(["-3h", "+3h"]);
    replicas.remove(&["hook"]);
    replicas.told("hook", 2).await;

    let told = receiver.requests();
    let kinds: Vec<_> = told.iter().map(|one| one.json()["type"].clone()).collect();
    assert_eq!(kinds, ["slo.alert.firing", "slo.alert.resolved"]);
    let off: f64 = sqlx::query_scalar(
        "select max(abs(extract(epoch from at - created_at)))::float8 from alert_transitions",
    )
    .fetch_one(&mut replicas.connect().await)
    .await
    .unwrap();
    assert!(off < 10.0, "told as of {off} s away");
    for nth in 0..2 {
        let said = replicas.said(nth);
        let first_word = said.split_whitespace().next().unwrap();
        let machine = Timestamp::parse_rfc3339(first_word).unwrap();
        let now = Clock::System.now();
        let off = machine.micros_since(now).unsigned_abs() / 60_000_000;
        assert!(
            (15..25).contains(&off),
            "its clock was off by {off} min: {said}"
        );
    }
}
