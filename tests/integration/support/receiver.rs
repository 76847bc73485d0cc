//! A real HTTP server that answers by a script, also as no decent server would.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

use super::validators::assert_well_formed;

/// What the server does with one request, once it has read it.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16, String),
    /// With one more header.
    Header(u16, &'static str, String),
    /// With all that was sent as its body, as some error pages do.
    Echo(u16),
    /// 200 once told to.
    Gate(Arc<Notify>),
    /// Never says a word.
    Hang,
    /// Breaks the connection.
    Reset,
    /// 200, but only after so long.
    Slow(Duration),
    /// 200 and a body without an end.
    Endless,
    /// 200 and a body of a gigabyte, as announced.
    Huge,
    /// 200 and a body that comes a byte at a time, without an end.
    Drip,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// By name in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// Listens until it is dropped, and all that it got is judged then. When the script is at its end it
/// answers 200 `ok`.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
    arrived: Notify,
}

impl Receiver {
    pub(crate) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let (listener, url) = listen().await;
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            ..Shared::default()
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&shared)));
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.push((url.clone(), Arc::clone(&shared)));
        Self {
            url,
            shared,
            _server: server,
        }
    }

    /// Everything received so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until so many requests have arrived in all; fails if that takes unreasonably long.
    pub(crate) async fn wait_for(&self, count: usize) {
        tokio::time::timeout(Duration::from_secs(15), self.arrival_of(count))
            .await
            .expect("the request arrives");
    }

    async fn arrival_of(&self, count: usize) {
        loop {
            let arrived = self.shared.arrived.notified();
            if self.requests().len() >= count {
                return;
            }
            arrived.await;
        }
    }
}

/// Every receiver of this process, gone or not.
static KNOWN: Mutex<Vec<(String, Arc<Shared>)>> = Mutex::new(Vec::new());

/// Listens at an address that no receiver of this process had before: ports that are free are used
/// again, and what a target got must not be taken for what another one got.
pub(crate) async fn listen() -> (TcpListener, String) {
    let mut used = Vec::new();
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        if received_at(&url).is_none() {
            return (listener, url);
        }
        // Kept open, so that the next port is another one.
        used.push(listener);
    }
}

/// All that the receiver with this address got; `None` if there was none.
pub(crate) fn received_at(url: &str) -> Option<Vec<Request>> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_at = |of: &str| {
        let path = url.strip_prefix(of);
        path.is_some_and(|path| path.is_empty() || path.starts_with('/'))
    };
    let (_, shared) = known.iter().find(|(of, _)| is_at(of))?;
    Some(shared.requests.lock().unwrap().clone())
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_well_formed(&self.requests());
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, Arc::clone(&shared)));
    }
}

async fn converse(mut stream: TcpStream, shared: Arc<Shared>) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    let reply = shared.script.lock().unwrap().pop_front();
    shared.requests.lock().unwrap().push(request.clone());
    shared.arrived.notify_waiters();
    let reply = reply.unwrap_or_else(|| Reply::Status(200, "ok".to_owned()));
    // A client that has heard enough hangs up; that is its right.
    drop(answer(stream, reply, &request).await);
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).expect("the head is text");
    let mut lines = head.lines();
    let mut request_line = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (request_line.next()?, request_line.next()?);
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length");
    let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request {
        method,
        path,
        headers,
        body,
    })
}

async fn answer(mut stream: TcpStream, reply: Reply, request: &Request) -> std::io::Result<()> {
    let plain = |status: u16, header: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} X\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    };
    match reply {
        Reply::Status(status, body) => stream.write_all(plain(status, "", &body).as_bytes()).await,
        Reply::Header(status, name, value) => {
            let header = format!("{name}: {value}\r\n");
            stream
                .write_all(plain(status, &header, "").as_bytes())
                .await
        }
        Reply::Echo(status) => {
            let sent = String::from_utf8_lossy(&request.body);
            let body = format!("cannot POST {} {sent}", request.path);
            stream.write_all(plain(status, "", &body).as_bytes()).await
        }
        Reply::Gate(gate) => {
            gate.notified().await;
            stream.write_all(plain(200, "", "ok").as_bytes()).await
        }
        Reply::Slow(after) => {
            tokio::time::sleep(after).await;
            stream.write_all(plain(200, "", "ok").as_bytes()).await
        }
        Reply::Hang => std::future::pending().await,
        // Closed without lingering, the connection is reset.
        Reply::Reset => stream.set_zero_linger(),
        Reply::Drip => {
            stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await?;
            pour(stream, usize::MAX).await
        }
        Reply::Huge => {
            let head = format!("HTTP/1.1 200 X\r\ncontent-length: {GIGABYTE}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            pour(stream, GIGABYTE / KILOBYTE.len()).await
        }
    }
}

const KILOBYTE: [u8; 1_024] = [b'x'; 1_024];
const GIGABYTE: usize = 1_024 * 1_024 * 1_024;

async fn pour(mut stream: TcpStream, kilobytes: usize) -> std::io::Result<()> {
    for _ in 0..kilobytes {
        stream.write_all(&KILOBYTE).await?;
    }
    Ok(())
}
