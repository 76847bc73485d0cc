//! The real program as a child process with a Postgres of its own, and the barest HTTP to talk to it.

use std::{
    fs::{self, Permissions},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::Instant;

/// Much longer than Postgres takes to be set up.
const READY_WITHIN: Duration = Duration::from_mins(2);

pub(super) struct Service {
    pub(super) otlp: SocketAddr,
    pages: SocketAddr,
    child: Child,
    _home: TempDir,
}

impl Service {
    /// `database` is the URL of one, if not one of its own.
    pub(super) fn start(definitions: &str, database: Option<&str>, flags: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        // A Postgres that is started by root belongs to another account, which must come in.
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| home.path().join(name);
        fs::create_dir(path("definitions")).unwrap();
        fs::write(path("definitions/orders.yaml"), definitions).unwrap();
        let [grpc, otlp, pages] = [(); 3].map(|()| free_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
        if let Some(url) = database {
            command.env("DATABASE_URL", url);
        }
        let child = command
            .arg("serve")
            .args(["--log", "warn"])
            .arg("--definitions")
            .arg(path("definitions"))
            .arg("--data-dir")
            .arg(path("postgres"))
            .args(["--otlp-grpc-listen", &grpc.to_string()])
            .args(["--otlp-http-listen", &otlp.to_string()])
            .args(["--listen", &pages.to_string()])
            .args(flags)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let service = Self {
            otlp,
            pages,
            child,
            _home: home,
        };
        let began = Instant::now();
        while !service.is_ready() {
            assert!(began.elapsed() < READY_WITHIN, "the service does not start");
            thread::sleep(Duration::from_millis(200));
        }
        service
    }

    fn is_ready(&self) -> bool {
        TcpStream::connect(self.pages).is_ok_and(|stream| ask(stream, "GET /readyz", b"").0 == 200)
    }

    /// The page, and how long it took.
    pub(super) fn get(&self, path: &str) -> (String, Duration) {
        let began = Instant::now();
        let stream = TcpStream::connect(self.pages).unwrap();
        let (status, body) = ask(stream, &format!("GET {path}"), b"");
        assert_eq!(status, 200, "{path}: {body}");
        (body, began.elapsed())
    }

    /// The most memory that it ever held.
    pub(super) fn most_memory_mib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.unwrap().split_whitespace().next().unwrap();
        kib.parse::<u64>().unwrap() / 1_024
    }

    /// As Kubernetes ends it: Postgres goes with it.
    pub(super) fn stop(mut self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Status and body of one request on a connection of its own.
pub(super) fn ask(mut stream: TcpStream, line: &str, body: &[u8]) -> (u16, String) {
    let head = format!(
        "{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        stream.peer_addr().unwrap(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}
