//! Accepts connections and serves HTTP on them.
//!
//! All ports use it, because common servers lack limits on the number of connections, on their idle
//! time, and on their age.

pub mod limits;
mod open_connections;
pub mod tls;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderValue, header::RETRY_AFTER},
    response::Response,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use prometheus::IntCounter;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::{
    limits::ConnectionLimits,
    open_connections::{Activity, Admission, OpenConnection, OpenConnections, RequestUnderWay},
    tls::Tls,
};
use crate::telemetry::metrics::ConnectionMetrics;

/// The time after which a connection that makes room for another is closed: as long as a reply of
/// the receiver, for a request that arrives at that moment.
const ROOM_WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versions {
    /// HTTP/1.1, and HTTP/2 for clients with prior knowledge.
    Any,
    Http2Only,
}

/// The peer's address, in the extensions of its requests.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub IpAddr);

/// Sets the header `Retry-After`.
pub(crate) fn set_retry_after(headers: &mut HeaderMap, delay: Duration) {
    headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
}

/// Returns at least 1, rounded up so that a retry is not too early.
pub(crate) fn whole_seconds(delay: Duration) -> u64 {
    (delay + Duration::from_millis(999)).as_secs().max(1)
}

/// A port and what it serves.
#[derive(Debug)]
pub(crate) struct Port {
    /// Its label in metrics.
    pub(crate) name: &'static str,
    pub(crate) versions: Versions,
    pub(crate) limits: ConnectionLimits,
    /// `None` if connections are not encrypted.
    pub(crate) tls: Option<Tls>,
    pub(crate) metrics: Option<ConnectionMetrics>,
}

/// Serves `router` until `shutdown`, then completes the requests in progress.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    port: Port,
    shutdown: impl Future<Output = ()>,
) {
    let mut acceptor = Acceptor {
        server: ConnectionServer {
            builder: builder(&port.limits, port.versions),
            router,
            limits: port.limits,
            tls: port.tls.clone(),
            handshakes_failed: port.handshakes_failed(),
            closing: CancellationToken::new(),
        },
        port,
        tasks: JoinSet::new(),
        open: OpenConnections::default(),
        became_idle: Arc::default(),
    };
    tokio::pin!(shutdown);
    loop {
        let is_full = acceptor.is_full();
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = acceptor.tasks.join_next_with_id() => acceptor.note_end(&ended),
            () = acceptor.became_idle.notified(), if is_full => {}
            accepted = listener.accept(), if !is_full => match accepted {
                Ok((stream, peer)) => acceptor.accept(stream, peer),
                Err(error) => back_off(&error).await,
            },
        }
    }
    drop(listener);
    acceptor.close().await;
}

struct Acceptor {
    server: ConnectionServer,
    port: Port,
    /// One per connection, including those that are closing.
    tasks: JoinSet<()>,
    open: OpenConnections,
    became_idle: Arc<Notify>,
}

impl Port {
    fn handshakes_failed(&self) -> Option<IntCounter> {
        let metrics = self.metrics.as_ref()?;
        let labels = [self.name, "tls_handshake"];
        Some(metrics.closed.with_label_values(&labels))
    }
}

impl Acceptor {
    fn is_full(&self) -> bool {
        let limits = &self.port.limits;
        // Clients take a while to close their connections, so the number of closing ones is limited
        // too.
        let with_closing = limits.connections + limits.connections / 8 + 1;
        self.tasks.len() >= with_closing || self.open.is_full(limits)
    }

    fn accept(&mut self, stream: TcpStream, peer: SocketAddr) {
        let admission = self.open.admit(peer.ip(), &self.port.limits);
        if let (Some(metrics), Some(reason)) = (&self.port.metrics, admission.as_label()) {
            let closed = metrics.closed.with_label_values(&[self.port.name, reason]);
            closed.inc();
        }
        if admission != Admission::Refused {
            let open = OpenConnection {
                peer: peer.ip(),
                activity: Activity::new(Instant::now(), Arc::clone(&self.became_idle)),
                make_room: CancellationToken::new(),
            };
            let serving = self.server.clone().serve_connection(
                stream,
                peer,
                open.activity.clone(),
                open.make_room.clone(),
            );
            let task = self.tasks.spawn(serving).id();
            self.open.add(task, open);
        }
        self.measure();
    }

    fn note_end(&mut self, ended: &Result<(task::Id, ()), JoinError>) {
        self.open.remove(match ended {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        });
        self.measure();
    }

    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn measure(&self) {
        if let Some(metrics) = &self.port.metrics {
            let open = metrics.open.with_label_values(&[self.port.name]);
            open.set(self.open.len() as f64);
        }
    }

    async fn close(mut self) {
        self.server.closing.cancel();
        // Connections close themselves within this time; a little more to notice it.
        let all_closed = async { while self.tasks.join_next().await.is_some() {} };
        drop(timeout(self.port.limits.closing_within * 2, all_closed).await);
    }
}

/// Waits after a failed accept. It fails if a client has already gone, or if there are no more file
/// descriptors: then an immediate retry would only use CPU.
async fn back_off(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    sleep(Duration::from_millis(50)).await;
}

fn builder(limits: &ConnectionLimits, versions: Versions) -> Builder<TokioExecutor> {
    /// Large enough that an average body needs no window update.
    const STREAM_WINDOW: u32 = 1 << 20;
    const CONNECTION_WINDOW: u32 = 4 << 20;

    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Also runs between requests, so it limits both a slow head and an idle connection.
        .header_read_timeout(limits.idle);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Detects dead peers. Pings from peers are answered at any rate.
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
    limits: ConnectionLimits,
    tls: Option<Tls>,
    handshakes_failed: Option<IntCounter>,
    closing: CancellationToken,
}

impl ConnectionServer {
    async fn serve_connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        activity: Activity,
        make_room: CancellationToken,
    ) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(tls) = self.tls.clone() else {
            return self.serve_stream(stream, peer, activity, make_room).await;
        };
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            () = make_room.cancelled() => return,
            () = self.closing.cancelled() => return,
        };
        match accepted {
            Ok(stream) => self.serve_stream(stream, peer, activity, make_room).await,
            Err(error) => {
                tracing::debug!(%peer, %error, "no TLS connection");
                if let Some(failed) = self.handshakes_failed {
                    failed.inc();
                }
            }
        }
    }

    async fn serve_stream(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        activity: Activity,
        make_room: CancellationToken,
    ) {
        let router = self.router.clone();
        let service = tower::service_fn({
            let activity = activity.clone();
            move |mut request: Request<_>| {
                request.extensions_mut().insert(PeerAddress(peer.ip()));
                answer(router.clone(), request, activity.begin_request())
            }
        });
        let service = TowerToHyperService::new(service);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let within = tokio::select! {
            _ = &mut connection => return,
            () = make_room.cancelled() => ROOM_WITHIN.min(self.limits.closing_within),
            () = self.closing.cancelled() => self.limits.closing_within,
            () = sleep(jittered(self.limits.connection_age, peer.port())) => self.limits.closing_within,
            () = silence(self.limits.first_request_within, &activity) => self.limits.closing_within,
        };
        connection.as_mut().graceful_shutdown();
        drop(timeout(within, connection).await);
    }
}

async fn answer<B>(
    router: Router,
    request: Request<B>,
    under_way: RequestUnderWay,
) -> Result<Response, Infallible>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let response = router.oneshot(request).await;
    drop(under_way);
    response
}

/// Returns if no request has arrived within this time, otherwise never.
async fn silence(within: Duration, activity: &Activity) {
    sleep(within).await;
    if activity.had_a_request() {
        std::future::pending::<()>().await;
    }
}

/// Returns an age with up to a tenth more, by the client's port, so that connections that were
/// opened together are not closed together.
fn jittered(age: Duration, port: u16) -> Duration {
    age + age * u32::from(port % 64) / 640
}
