//! A network between the service and its database that a test can hold up.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
    sync::watch,
    task::JoinSet,
};

use super::{database::TestDatabase, service::free_port};

/// An address of the database that leads through this process. Nobody listens there at first.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) url: String,
    port: u16,
    socket: PathBuf,
    flowing: Arc<Mutex<watch::Sender<bool>>>,
    /// Of connections that nothing comes through any more.
    stranded: Vec<watch::Sender<bool>>,
    carrying: JoinSet<()>,
}

impl Link {
    pub(crate) fn to(database: &TestDatabase) -> Self {
        let options = &database.options;
        let port = free_port();
        Self {
            url: format!(
                "postgres://{}@127.0.0.1:{port}/{}?sslmode=disable",
                options.get_username(),
                options.get_database().unwrap()
            ),
            port,
            socket: options.get_socket().unwrap().join(".s.PGSQL.5432"),
            flowing: Arc::new(Mutex::new(watch::Sender::new(true))),
            stranded: Vec::new(),
            carrying: JoinSet::new(),
        }
    }

    pub(crate) async fn open(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let (socket, flowing) = (self.socket.clone(), Arc::clone(&self.flowing));
        self.carrying.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = UnixStream::connect(&socket).await.unwrap();
                let (here, there) = (near.into_split(), far.into_split());
                let flowing = flowing.lock().unwrap().subscribe();
                connections.spawn(carry(here.0, there.1, flowing.clone()));
                connections.spawn(carry(there.0, here.1, flowing));
            }
        });
    }

    /// From now on nothing comes through, though every connection stands.
    pub(crate) fn hold(&self) {
        self.flowing.lock().unwrap().send_replace(false);
    }

    /// What was held comes through, and all that follows.
    pub(crate) fn release(&self) {
        self.flowing.lock().unwrap().send_replace(true);
    }

    /// Nothing comes through the connections that there are, ever, and new ones are as good as new:
    /// as when a standby takes over the address of a host that lost its power.
    pub(crate) fn strand(&mut self) {
        self.hold();
        let fresh = watch::Sender::new(true);
        let stranded = std::mem::replace(&mut *self.flowing.lock().unwrap(), fresh);
        self.stranded.push(stranded);
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flowing: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1_024];
    loop {
        let count = from.read(&mut bytes).await.unwrap_or(0);
        if count == 0 || flowing.wait_for(|flowing| *flowing).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
