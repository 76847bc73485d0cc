//! Accepts connections and serves HTTP on them until they are told to close.
//!
//! All ports use it, because all need what the ready-made servers lack: a bound on connections, on how
//! long a silent one may stay, and on how old any may become.

pub mod limits;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::limits::ConnectionLimits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// HTTP/1.1, and HTTP/2 for clients that know of it beforehand.
    Any,
    Http2Only,
}

/// The other end of a connection, in the extensions of its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// Serves `router` until `shutdown`, then lets the requests finish that are under way.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    versions: Versions,
    shutdown: impl Future<Output = ()>,
) {
    let server = ConnectionServer {
        builder: builder(&limits, versions),
        router,
        closing: CancellationToken::new(),
        limits: Arc::new(limits),
    };
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let full = connections.len() >= server.limits.connections;
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(server.clone().attend(stream, peer));
                }
                Err(error) => breathe(&error).await,
            },
        }
    }
    drop(listener);
    server.closing.cancel();
    // A connection closes itself within this time; the rest is for it to be seen.
    let all_closed = async { while connections.join_next().await.is_some() {} };
    drop(timeout(server.limits.closing_within * 2, all_closed).await);
}

/// Accepting fails when a client has gone already, or when files run out: then trying again at once
/// would only burn time.
async fn breathe(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    sleep(Duration::from_millis(50)).await;
}

fn builder(limits: &ConnectionLimits, versions: Versions) -> Builder<TokioExecutor> {
    /// So that a body of usual size needs no round trip for more room.
    const STREAM_WINDOW: u32 = 1 << 20;
    const CONNECTION_WINDOW: u32 = 4 << 20;

    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Runs between requests too, and so bounds both a slow head and an idle connection.
        .header_read_timeout(limits.idle);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Finds peers that are gone. Pings of theirs are answered however often they come.
        .keep_alive_interval(Duration::from_mins(1))
        .keep_alive_timeout(Duration::from_secs(20));
    match versions {
        Versions::Any => builder,
        Versions::Http2Only => builder.http2_only(),
    }
}

#[derive(Clone)]
struct ConnectionServer {
    builder: Builder<TokioExecutor>,
    router: Router,
    limits: Arc<ConnectionLimits>,
    closing: CancellationToken,
}

impl ConnectionServer {
    async fn attend(self, stream: TcpStream, peer: SocketAddr) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let spoken = Arc::new(AtomicBool::new(false));
        let service = self.router.clone().map_request({
            let spoken = Arc::clone(&spoken);
            move |mut request: Request<_>| {
                spoken.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(PeerAddress(peer.ip()));
                request
            }
        });
        let service = TowerToHyperService::new(service);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            () = self.closing.cancelled() => {}
            () = sleep(spread(self.limits.connection_age, peer.port())) => {}
            () = silence(self.limits.first_request_within, &spoken) => {}
        }
        connection.as_mut().graceful_shutdown();
        drop(timeout(self.limits.closing_within, connection).await);
    }
}

/// Ends if no request has come by then, else never.
async fn silence(within: Duration, spoken: &AtomicBool) {
    sleep(within).await;
    if spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Up to a tenth more, by the client's port, so that connections which were opened together are not
/// closed together.
fn spread(age: Duration, port: u16) -> Duration {
    age + age * u32::from(port % 64) / 640
}
