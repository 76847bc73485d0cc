//! A Postgres that is stopped at once, cuts connections off or stands still, while alerts begin and end.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    str::FromStr as _,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use throughline::postgres::{EmbeddedServer, PostgresSettings, State};
use tokio::time::sleep;

use super::{modes::Kind, replicas::Replicas};
use crate::support::{
    database::TestDatabase,
    receiver::{Receiver, Reply},
    service::{Site, postmaster},
};

/// The shortest that the timeouts of these tests allow.
const LEASE: Duration = Duration::from_secs(9);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// One connection after the other is cut off.
    Terminate,
    /// `pg_ctl stop -m immediate`, again and again.
    Stop,
    /// No process of the server does anything, for longer than a lease.
    Freeze,
}

impl Harm {
    const ALL: [Self; 3] = [Self::Terminate, Self::Stop, Self::Freeze];

    /// Each with an alert of its own.
    const fn targets(self) -> [&'static str; 4] {
        match self {
            Self::Terminate => ["cut-1", "cut-2", "cut-3", "cut-4"],
            Self::Stop => ["stop-1", "stop-2", "stop-3", "stop-4"],
            Self::Freeze => ["freeze-1", "freeze-2", "freeze-3", "freeze-4"],
        }
    }

    async fn inflict(self, server: &EmbeddedServer, database: &TestDatabase) {
        match self {
            Self::Terminate => terminate(database).await,
            Self::Stop => {
                for _ in 0..2 {
                    stop(server).await;
                }
            }
            Self::Freeze => freeze(server).await,
        }
    }
}

async fn terminate(database: &TestDatabase) {
    let mut connection = database.options.connect().await.unwrap();
    for _ in 0..80 {
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()
             order by random() limit 1",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        sleep(Duration::from_millis(30)).await;
    }
    connection.close().await.unwrap();
}

async fn stop(server: &EmbeddedServer) {
    let mut state = server.watch();
    let pid = postmaster(server.folder()).expect("the server runs");
    kill(pid, Signal::SIGQUIT).unwrap();
    let states = [
        |state: &State| matches!(state, State::Restarting { .. }),
        |state: &State| *state == State::Ready,
    ];
    for awaited in states {
        state.wait_for(awaited).await.unwrap();
    }
    // Long enough for a few transactions.
    sleep(Duration::from_millis(700)).await;
}

async fn freeze(server: &EmbeddedServer) {
    sleep(Duration::from_millis(700)).await;
    let all = processes(server);
    for pid in &all {
        kill(*pid, Signal::SIGSTOP).unwrap();
    }
    sleep(LEASE + Duration::from_secs(1)).await;
    for pid in all.iter().rev() {
        kill(*pid, Signal::SIGCONT).unwrap();
    }
}

/// The postmaster first, which then makes no more of them.
fn processes(server: &EmbeddedServer) -> Vec<Pid> {
    let first = postmaster(server.folder()).expect("the server runs");
    let is_child = |pid: Pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which ends with the last parenthesis: the state, and the parent.
        let parent = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split(' ')
            .nth(2);
        parent == Some(&first.to_string())
    };
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let children = pids.map(Pid::from_raw).filter(|pid| is_child(*pid));
    std::iter::once(first).chain(children).collect()
}

#[tokio::test]
pub(crate) async fn t11_whatever_becomes_of_postgres_all_are_told_in_order_and_once_where_it_is_known()
 {
    let home = tempfile::tempdir().unwrap();
    // A Postgres that is started by root belongs to another account, which must come in.
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let settings = PostgresSettings::keep(home.path().join("postgres"));
    let server = EmbeddedServer::start(&settings).await.unwrap();
    let options = PgConnectOptions::from_str(&server.connection_url()).unwrap();
    let database = TestDatabase::create_on(&options).await;
    let targets = Harm::ALL.iter().flat_map(|harm| harm.targets());
    let targets: Vec<_> = targets.map(|name| (name, Kind::Webhook)).collect();
    let lease = format!("{}s", LEASE.as_secs());
    let say = |site: Site, _| site.flag("--delivery-lease", &lease);
    let mut replicas = Replicas::start_with(&database, targets.clone(), say).await;
    let mut receivers = Vec::new();
    for (name, kind) in &targets {
        // What is told takes long enough to be interrupted.
        let receiver = Receiver::start(vec![Reply::Slow(Duration::from_millis(400)); 20]).await;
        replicas.lead(name, *kind, &receiver.url);
        receivers.push(receiver);
    }
    let mut over = Vec::new();
    for harm in Harm::ALL {
        let harming = harm.inflict(&server, &database);
        let ((), ()) = tokio::join!(harming, all_in_trouble(&mut replicas, harm));
        for name in harm.targets() {
            replicas.told(name, 1).await;
        }
        over.extend(harm.targets());
        replicas.remove(&over);
        if harm != Harm::Freeze {
            harm.inflict(&server, &database).await;
        }
        for name in harm.targets() {
            replicas.told(name, 2).await;
        }
    }
    let mut repeats = 0;
    for ((name, _), receiver) in targets.iter().zip(&receivers) {
        repeats += repeats_where_unknown(&replicas, name, receiver).await;
    }
    println!("{} transitions, {repeats} repeats", targets.len() * 2);
    drop(replicas);
    server.stop().await.unwrap();
}

async fn all_in_trouble(replicas: &mut Replicas, harm: Harm) {
    for name in harm.targets() {
        replicas.trouble(name).await;
    }
}

/// A transition is repeated only if a try at it was not the last and its end is not on record.
async fn repeats_where_unknown(replicas: &Replicas, target: &str, receiver: &Receiver) -> i64 {
    let told: Vec<(String, i32, i64)> = sqlx::query_as(
        "select kind, attempts, (select count(*) from delivery_attempts where delivery_id = d.id
             and class not in ('timeout', 'network'))
         from deliveries d join alert_transitions t on t.id = transition_id
         where target = $1 order by d.id",
    )
    .bind(target)
    .fetch_all(&mut replicas.connect().await)
    .await
    .unwrap();
    let requests = receiver.requests();
    let of_kind = |kind: &str| {
        let kind = format!("slo.alert.{kind}");
        let of_kind = requests
            .iter()
            .filter(|request| request.json()["type"] == kind);
        i64::try_from(of_kind.count()).unwrap()
    };
    let kinds: Vec<_> = told.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, ["firing", "resolved"], "{target}");
    let mut repeats = 0;
    for (kind, attempts, known) in &told {
        let requests = of_kind(kind);
        let unknown = i64::from(*attempts) - known;
        assert!(
            (1..=1 + unknown).contains(&requests),
            "{target}: {requests} requests in {attempts} tries, of which {known} are known"
        );
        repeats += requests - 1;
    }
    let last = requests.last().unwrap().json();
    assert_eq!(last["type"], "slo.alert.resolved", "{target}");
    repeats
}
