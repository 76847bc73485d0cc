//! Real workers on real brokers, instrumented by public packages as they are: the verdicts must equal
//! what the workers themselves wrote down.

mod amqplib;
mod boto3sqs;
mod bullmq;
mod celery;
mod confluent_kafka;
mod journal;
mod pika;

use std::{
    ffi::OsStr,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use throughline::domain::slo::DefinitionTemplate;

use self::journal::Journal;
use crate::support::{
    api::{LONG_ENOUGH, POLL_INTERVAL},
    database::TestDatabase,
    installs,
    service::{Service, Site},
};

/// Any longer and work is late: far more than it takes, and less than what is late takes.
const WITHIN_SECS: f64 = 5.0;

/// A template of the product as its user edits it: each of these words is replaced by another, on
/// lines that the template marks and nowhere else.
fn template(name: &str, edits: &[(&str, &str)]) -> String {
    let mut text = DefinitionTemplate::named(name).expect(name).text.to_owned();
    // As the other definitions here.
    let limits = [("within: 5m", "within: 5s"), ("grace: 2m", "grace: 3s")];
    for (from, to) in limits.iter().chain(edits) {
        assert!(text.contains(from), "`{from}` is not in {name}");
        let edited = text.lines().map(|line| {
            let is_comment = line.trim_start().starts_with('#');
            let is_marked = line.contains("# EDIT");
            assert!(is_comment || is_marked || !line.contains(from), "{line}");
            line.replace(from, to) + "\n"
        });
        text = edited.collect();
    }
    text
}

/// The service, and what its clients are told.
struct TestBench {
    database: TestDatabase,
    service: Service,
    journal: Journal,
    broker_url: String,
}

impl TestBench {
    async fn start(definitions: &str, broker_url: &str) -> Self {
        let database = TestDatabase::create().await;
        let service = Site::on(&database, definitions).start().await;
        Self {
            database,
            service,
            journal: Journal::create(),
            broker_url: broker_url.to_owned(),
        }
    }

    /// A client that knows where to go. Nothing of whoever runs the tests is to change what its
    /// instrumentation does.
    fn client(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("BROKER_URL", &self.broker_url)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.service.api.http)
            .env("JOURNAL", self.journal.path());
        command
    }

    /// A client in Python, with what it requires.
    fn python(&self, client: &str) -> Command {
        let mut command = self.client(installs::python(client));
        command.env("PYTHONPATH", installs::sources("shared"));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Has the script of a client do all its work: the workers, which go on, after all of `published`
    /// has come to its end but for what is `lost`.
    async fn run(&self, client: &str, script: &str, [published, lost]: [usize; 2]) -> Running {
        let script = installs::sources(client).join(script);
        let command = |role| {
            let mut command = self.python(client);
            command.arg(&script).arg(role);
            command
        };
        let workers = self.start_worker(command("work")).await;
        complete(command("order"));
        self.all_is_done(published, lost).await;
        workers
    }

    /// Waits until all is done that ever will be: all of `published`, but for what is `lost`.
    async fn all_is_done(&self, published: usize, lost: usize) {
        let done = || {
            let works = self.journal.works();
            let open = works.values().filter(|work| work.end.is_none()).count();
            works.len() == published && open == lost
        };
        self.journal_tells("the end of all work", done).await;
    }

    /// A worker that is ready: what waits until then would be late because of it.
    async fn start_worker(&self, command: Command) -> Running {
        let mut worker = Running::start(command);
        let mut ready = || {
            let ended = worker.0.try_wait().unwrap();
            assert_eq!(ended, None, "a worker ended, see above");
            self.journal.text().contains("\"ready\"")
        };
        self.journal_tells("a worker that is ready", &mut ready)
            .await;
        worker
    }

    async fn journal_tells(&self, what: &str, mut told: impl FnMut() -> bool) {
        let began = Instant::now();
        while !told() {
            let text = self.journal.text();
            assert!(began.elapsed() < LONG_ENOUGH, "no {what}: {text}");
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn assert_counts_are_the_journal_s(&self, slo: &str, kind: &str) {
        let expected = self.journal.counts(kind);
        self.service.api.counts_become(slo, expected).await;
    }

    /// The counts, and each single verdict of workflows that are called as the journal calls them.
    async fn assert_each_verdict_is_the_journal_s(&self, slo: &str, kind: &str) {
        self.assert_counts_are_the_journal_s(slo, kind).await;
        let mut connection = self.database.connect().await;
        let verdicts: Vec<(String, i16)> = sqlx::query_as(
            "select w.label, w.outcome from workflows w join slos s on s.id = w.slo_id
             where s.name = $1 order by w.label",
        )
        .bind(slo)
        .fetch_all(&mut connection)
        .await
        .expect("verdicts can be read");
        assert_eq!(verdicts, self.journal.verdicts(kind));
    }
}

/// Killed when it is dropped, with all that it started.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        let child = command.process_group(0).spawn();
        Self(child.expect("the client starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        killpg(group, Signal::SIGKILL).unwrap_or_default();
        drop(self.0.wait());
    }
}

/// Runs a client to its end.
fn complete(mut command: Command) {
    let status = command.status().expect("the client starts");
    assert!(status.success(), "a client failed, see above: {status}");
}
