//! Message brokers, of Debian's packages and of Python's, each test's own: started on a free port, gone
//! with the test.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{
    api::{POLL_INTERVAL, until},
    installs::{python, sources},
    service::free_port,
};

/// A broker and all processes that it started. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    servers: Vec<Child>,
    pub(crate) url: String,
    home: TempDir,
}

impl Broker {
    pub(crate) async fn redis() -> Self {
        let program = found("redis-server", &[]);
        let (home, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut server = Command::new(program);
        server.args(["--bind", "127.0.0.1", "--save", "", "--port"]);
        server.arg(port.to_string()).current_dir(home.path());
        let broker = Self {
            servers: vec![spawn(server, home.path())],
            url: format!("redis://127.0.0.1:{port}/0"),
            home,
        };
        answers(port).await;
        broker
    }

    pub(crate) async fn rabbitmq() -> Self {
        // Past Debian's wrapper, which would change the user and with it the folders.
        let program = found("rabbitmq-server", &["/usr/lib/rabbitmq/bin"]);
        let names = found("epmd", &["/usr/lib/erlang/bin"]);
        let home = tempfile::tempdir().unwrap();
        let [port, names_port, peers_port] = [free_port(), free_port(), free_port()];
        let mut broker = Self {
            servers: Vec::new(),
            url: format!("amqp://127.0.0.1:{port}"),
            home,
        };
        let home = broker.home.path().to_owned();
        // Erlang would leave one behind that all of the machine shares.
        let mut server = Command::new(names);
        server.env("ERL_EPMD_PORT", names_port.to_string());
        server.env("ERL_EPMD_ADDRESS", "127.0.0.1");
        broker.servers.push(spawn(server, &home));
        answers(names_port).await;
        let mut server = Command::new(program);
        server
            .env("HOME", &home)
            .env("ERL_EPMD_PORT", names_port.to_string())
            .env("RABBITMQ_NODENAME", format!("test-{port}@localhost"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", peers_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", home.join("none"))
            .env("RABBITMQ_CONFIG_FILE", home.join("none"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
            .env("RABBITMQ_MNESIA_BASE", home.join("data"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", home.join("pid"));
        broker.servers.push(spawn(server, &home));
        answers(port).await;
        broker
    }

    /// moto, which answers as Amazon's SQS does.
    pub(crate) async fn sqs() -> Self {
        let (home, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut server = Command::new(python("sqs"));
        server.args(["-m", "moto.server", "--host", "127.0.0.1", "--port"]);
        server.arg(port.to_string());
        let broker = Self {
            servers: vec![spawn(server, home.path())],
            url: format!("http://127.0.0.1:{port}"),
            home,
        };
        answers(port).await;
        broker
    }

    /// The cluster that librdkafka brings along, which chooses its port itself.
    pub(crate) async fn kafka() -> Self {
        let home = tempfile::tempdir().unwrap();
        let address = home.path().join("address");
        let mut server = Command::new(python("kafka"));
        server.arg(sources("kafka").join("broker.py")).arg(&address);
        let server = spawn(server, home.path());
        let told = async || std::fs::read_to_string(&address).ok();
        Self {
            url: until("the address of a broker", told).await,
            servers: vec![server],
            home,
        }
    }

    /// Another implementation of Kafka, as a Python package brings it along.
    pub(crate) async fn tansu() -> Self {
        let (home, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut server = Command::new(python("tansu"));
        server.arg(sources("tansu").join("broker.py"));
        server.arg(port.to_string());
        let broker = Self {
            servers: vec![spawn(server, home.path())],
            url: format!("127.0.0.1:{port}"),
            home,
        };
        answers(port).await;
        broker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().rev() {
            let group = Pid::from_raw(i32::try_from(server.id()).unwrap());
            killpg(group, Signal::SIGKILL).unwrap_or_default();
            drop(server.wait());
        }
    }
}

/// A program on the path, or else in `folders`; a missing one fails the test.
pub(super) fn found(program: &str, folders: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().map(PathBuf::from);
    folders
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is missing: `.dev/setup tests` installs it"))
}

pub(super) fn spawn(mut command: Command, home: &Path) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(home.join("said"))
        .unwrap();
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("the broker starts")
}

pub(super) async fn answers(port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    until("a broker that answers", async || {
        TcpStream::connect_timeout(&address, POLL_INTERVAL).ok()
    })
    .await;
}
