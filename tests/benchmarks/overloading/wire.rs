//! A network between the service and its database, as long as it is set to be.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{self, Instant},
};

pub(super) struct Wire {
    address: SocketAddr,
    options: PgConnectOptions,
    delay: Arc<watch::Sender<Duration>>,
    _carrying: JoinSet<()>,
}

impl Wire {
    pub(super) async fn to(options: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let delay = Arc::new(watch::Sender::new(Duration::ZERO));
        let socket = options.get_socket().unwrap().join(".s.PGSQL.5432");
        let mut carrying = JoinSet::new();
        carrying.spawn(carry_all(listener, socket, delay.subscribe()));
        Self {
            address,
            options: options.clone(),
            delay,
            _carrying: carrying,
        }
    }

    pub(super) fn url(&self) -> String {
        format!(
            "postgres://{}@{}/{}?sslmode=disable",
            self.options.get_username(),
            self.address,
            self.options.get_database().unwrap()
        )
    }

    /// Makes each round trip longer by `delay`.
    pub(super) fn set_delay(&mut self, delay: Duration) {
        self.delay.send_replace(delay / 2);
    }
}

async fn carry_all(listener: TcpListener, socket: PathBuf, delay: watch::Receiver<Duration>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        near.set_nodelay(true).unwrap();
        let far = UnixStream::connect(&socket).await.unwrap();
        let (here, there) = (near.into_split(), far.into_split());
        connections.spawn(carry(here.0, there.1, delay.clone()));
        connections.spawn(carry(there.0, here.1, delay.clone()));
    }
}

/// Carries one direction. What follows is read while the first is on its way, as in a network.
async fn carry(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    delay: watch::Receiver<Duration>,
) {
    let (sender, mut on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>(1_024);
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        let mut buffer = vec![0; 64 * 1_024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let arrives = Instant::now() + *delay.borrow();
            if sender
                .send((arrives, buffer[..length].to_vec()))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    while let Some((arrives, bytes)) = on_the_way.recv().await {
        time::sleep_until(arrives).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
