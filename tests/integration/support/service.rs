//! The real program as a child process, with ports, definitions and surroundings of its own.

use std::{
    fs::{self, File, Permissions},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::ConnectOptions as _;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{
    api::{Api, LONG_ENOUGH, POLL_INTERVAL, client, until},
    database::TestDatabase,
};

/// The program, not told anything yet: no variable of whoever runs the tests reaches it.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.env_clear().stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// What stays when a service is started once more: its ports, its definitions, its flags.
#[derive(Debug)]
pub(crate) struct Site {
    home: TempDir,
    ports: Ports,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    grpc: u16,
    http: u16,
    pages: u16,
}

impl Site {
    /// Without a word about the database.
    pub(crate) fn new(definitions: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        // A Postgres that is started by root belongs to another account, which must come in.
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(home.path().join("definitions")).unwrap();
        let site = Self {
            home,
            ports: Ports {
                grpc: free_port(),
                http: free_port(),
                pages: free_port(),
            },
            flags: Vec::new(),
            variables: Vec::new(),
        };
        site.define(definitions);
        site
    }

    /// On a database of the server that all tests share.
    pub(crate) fn on(database: &TestDatabase, definitions: &str) -> Self {
        Self::new(definitions).variable("DATABASE_URL", database.options.to_url_lossy().as_str())
    }

    /// With an embedded Postgres of its own.
    pub(crate) fn embedded(definitions: &str) -> Self {
        let site = Self::new(definitions);
        let data = site.data().display().to_string();
        site.flag("--data-dir", &data)
    }

    pub(crate) fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a settings file.
    pub(crate) fn settings(self, text: &str) -> Self {
        let path = self.path("settings.toml");
        fs::write(&path, text).unwrap();
        self.flag("--config", &path)
    }

    /// Where the embedded Postgres keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("postgres")
    }

    /// Replaces the definitions, in one step as editors do.
    pub(crate) fn define(&self, text: &str) {
        let draft = self.home.path().join("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.home.path().join("definitions/orders.yaml")).unwrap();
    }

    /// Replaces the definitions as the kubelet replaces those of a mounted `ConfigMap`: each state has a
    /// folder of its own, and the link `..data` to the current one is replaced in one step.
    pub(crate) fn mount(&self, text: &str) {
        let folder = self.home.path().join("definitions");
        let previous = fs::read_link(folder.join("..data")).ok();
        let mut names = tempfile::Builder::new();
        let state = names.prefix("..2026_11_29_").tempdir_in(&folder).unwrap();
        let state = state.keep();
        fs::write(state.join("orders.yaml"), text).unwrap();
        let link = folder.join("..data_tmp");
        symlink(state.file_name().unwrap(), &link).unwrap();
        fs::rename(link, folder.join("..data")).unwrap();
        if let Some(previous) = previous {
            fs::remove_dir_all(folder.join(previous)).unwrap();
        } else {
            let file = folder.join("orders.yaml");
            fs::remove_file(&file).unwrap();
            symlink("..data/orders.yaml", file).unwrap();
        }
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&self) -> Service {
        let mut service = self.spawn();
        service.ready().await;
        service
    }

    /// What tests send is minutes old, as if its senders had a backlog. Unless a test says otherwise,
    /// that is not waited for.
    fn catch_up(&self) -> &'static [&'static str] {
        if self.flags.iter().any(|flag| flag == "--catch-up") {
            &[]
        } else {
            &["--catch-up", "1s"]
        }
    }

    pub(crate) fn spawn(&self) -> Service {
        let said = self.home.path().join("said");
        let log = File::options().create(true).append(true).open(&said);
        let log = log.unwrap();
        let Ports { grpc, http, pages } = self.ports;
        let child = program()
            .arg("serve")
            .args(["--definitions", &self.definitions_folder()])
            .args(["--otlp-grpc-listen", &local(grpc)])
            .args(["--otlp-http-listen", &local(http)])
            .args(["--listen", &local(pages)])
            .args(self.catch_up())
            .args(&self.flags)
            .envs(self.variables.clone())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Service {
            child,
            said,
            api: Api {
                client: client(),
                grpc: format!("http://{}", local(grpc)),
                http: format!("http://{}", local(http)),
                pages: format!("http://{}", local(pages)),
            },
        }
    }

    pub(crate) fn definitions_folder(&self) -> String {
        self.path("definitions")
    }

    pub(crate) fn pages_address(&self) -> String {
        local(self.ports.pages)
    }

    pub(crate) fn otlp_http_address(&self) -> String {
        local(self.ports.http)
    }

    pub(crate) fn otlp_grpc_address(&self) -> String {
        local(self.ports.grpc)
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Below the ports that systems give to whoever connects, so that nobody takes it before the service
/// is there, nor while it is started again.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let own = u16::try_from(std::process::id() % 20_000).unwrap();
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 11_000 + (own + nth) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running service. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    said: PathBuf,
    pub(crate) api: Api,
}

impl Service {
    pub(crate) async fn ready(&mut self) {
        let began = Instant::now();
        while self.api.status("/readyz").await != Some(200) {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "the service ended: {}", self.said());
            assert!(began.elapsed() < LONG_ENOUGH, "not ready: {}", self.said());
            sleep(POLL_INTERVAL).await;
        }
    }

    /// All that it wrote, since the first start of its site.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).expect("the service is there");
    }

    /// The most memory that it ever had, in MiB.
    pub(crate) fn peak_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().split_whitespace().next().unwrap();
        kib.parse::<u64>().unwrap() / 1_024
    }

    /// Whether it ended itself in the middle of its work; any other end fails.
    pub(crate) fn aborted(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        let Some(status) = ended else {
            return false;
        };
        let aborted = Some(Signal::SIGABRT as i32);
        assert_eq!(status.signal(), aborted, "{status}: {}", self.said());
        true
    }

    /// `kill -9`, and gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Waits for its own end.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = until("the end of the service", async || {
            self.child.try_wait().unwrap()
        })
        .await;
        (status, self.said())
    }

    fn end(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be collected");
    }
}

impl Drop for Service {
    #[expect(clippy::print_stderr, reason = "why a test failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the service said:\n{}", self.said());
        }
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.end();
        }
    }
}

/// The postmaster of an embedded Postgres, `None` when there is none.
pub(crate) fn postmaster(data: &Path) -> Option<Pid> {
    let pid = fs::read_to_string(data.join("data/postmaster.pid")).ok()?;
    let pid = Pid::from_raw(pid.lines().next()?.parse().ok()?);
    kill(pid, None).is_ok().then_some(pid)
}
