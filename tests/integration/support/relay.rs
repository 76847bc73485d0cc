//! A Kafka broker that leaves messages out, sets their times, or has another topic: a relay before real ones.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::sasl::{self, Login};

/// The length of a batch's header, and where its fields are.
const HEADER: usize = 61;
const MAGIC: usize = 16;
const ATTRIBUTES: usize = 22;
const LAST_DELTA: usize = 23;
const COUNT: usize = 57;
/// Clients pass over batches with this attribute.
const IS_CONTROL: u8 = 0x20;
/// The time of the batch is that of appending, and of each of its messages.
const IS_APPEND_TIME: u8 = 0x08;

/// How often the broker leaves out the batches that begin with these offsets.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut(Arc<Mutex<BTreeMap<i64, u32>>>);

impl LeftOut {
    /// Each is there when it has been asked for so often.
    pub(crate) fn times(&self, times: u32, offsets: impl IntoIterator<Item = i64>) {
        let offsets = offsets.into_iter().map(|offset| (offset, times));
        self.0.lock().unwrap().extend(offsets);
    }

    fn has(&self, offset: i64) -> bool {
        let mut left_out = self.0.lock().unwrap();
        let times = left_out.get_mut(&offset).filter(|times| **times > 0);
        times.is_some_and(|times| {
            *times -= 1;
            true
        })
    }
}

/// What a broker does to batches.
#[derive(Clone, Debug, Default)]
struct Alterations {
    left_out: LeftOut,
    append_times: Arc<AtomicBool>,
}

impl Alterations {
    /// Marks the batches of a response.
    fn apply(&self, response: &mut [u8]) {
        let batches = response.len().saturating_sub(HEADER);
        for at in 0..batches {
            let header = &response[at..at + HEADER];
            let number = |at: usize| i32::from_be_bytes(header[at..at + 4].try_into().unwrap());
            let is_batch = header[MAGIC] == 2 && header[..4] == [0; 4] && header[8..10] == [0; 2];
            if !is_batch || number(COUNT) != number(LAST_DELTA) + 1 {
                continue;
            }
            let offset = i64::from(number(4));
            if self.left_out.has(offset) {
                response[at + ATTRIBUTES] |= IS_CONTROL;
            }
            if self.append_times.load(Ordering::Relaxed) {
                response[at + ATTRIBUTES] |= IS_APPEND_TIME;
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) brokers: String,
    pub(crate) left_out: LeftOut,
    append_times: Arc<AtomicBool>,
    target: watch::Sender<String>,
    _carrying: JoinSet<()>,
}

impl Relay {
    /// Before a cluster of one broker.
    pub(crate) async fn to(brokers: &str) -> Self {
        Self::begin(brokers, None, None).await
    }

    /// Clients must log in.
    pub(crate) async fn with_login(brokers: &str, login: Login) -> Self {
        Self::begin(brokers, None, Some(login)).await
    }

    /// It speaks TLS with clients.
    pub(crate) async fn with_tls(brokers: &str, config: ServerConfig) -> Self {
        Self::begin(brokers, Some(Arc::new(config).into()), None).await
    }

    async fn begin(brokers: &str, tls: Option<TlsAcceptor>, login: Option<Login>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap().to_string();
        let alterations = Alterations::default();
        let Alterations {
            left_out,
            append_times,
        } = alterations.clone();
        let (target, followed) = watch::channel(brokers.to_owned());
        let carrier = Carrier {
            near: near.clone(),
            tls,
            login,
            alterations,
        };
        let mut carrying = JoinSet::new();
        carrying.spawn(carrier.run(listener, followed));
        Self {
            brokers: near,
            left_out,
            append_times,
            target,
            _carrying: carrying,
        }
    }

    /// The topic has `LogAppendTime`: from now on times of messages are those of the broker.
    pub(crate) fn has_append_times(&self) {
        self.append_times.store(true, Ordering::Relaxed);
    }

    /// Ends all connections. From now on it is before another cluster.
    pub(crate) fn turn_to(&self, brokers: &str) {
        self.target.send_replace(brokers.to_owned());
    }
}

/// Carries requests and responses.
#[derive(Clone)]
struct Carrier {
    near: String,
    tls: Option<TlsAcceptor>,
    login: Option<Login>,
    alterations: Alterations,
}

pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Carrier {
    async fn run(self, listener: TcpListener, mut target: watch::Receiver<String>) {
        let mut connections = JoinSet::new();
        loop {
            let client = tokio::select! {
                Ok((client, _)) = listener.accept() => client,
                Ok(()) = target.changed() => {
                    connections = JoinSet::new();
                    continue;
                }
                else => return,
            };
            let far = target.borrow().clone();
            connections.spawn(self.clone().carry(client, far));
        }
    }

    /// Until one of both ends.
    async fn carry(self, client: TcpStream, far: String) {
        let mut client: Box<dyn Connection> = match &self.tls {
            None => Box::new(client),
            Some(tls) => match tls.accept(client).await {
                Ok(client) => Box::new(client),
                Err(_) => return,
            },
        };
        let mut broker = TcpStream::connect(&far).await.unwrap();
        if let Some(login) = self.login
            && log_in(login, &mut *client, &mut broker).await.is_none()
        {
            return;
        }
        let (mut requests, client) = split(client);
        let (responses, mut broker) = broker.into_split();
        let addresses = [far, self.near].map(|address| on_the_wire(&address));
        tokio::select! {
            _ = copy(&mut requests, &mut broker) => {}
            () = answer(responses, client, addresses, self.alterations) => {}
        }
    }
}

/// Passes on what clients ask before they log in, which are the versions of requests.
async fn log_in(
    login: Login,
    client: &mut dyn Connection,
    broker: &mut dyn Connection,
) -> Option<()> {
    loop {
        let request = sasl::frame(client).await?;
        let response = match request.get(..2)? {
            sasl::VERSIONS => {
                sasl::send(broker, &request).await?;
                sasl::with_handshake(sasl::frame(broker).await?)
            }
            sasl::HANDSHAKE => login.answer_handshake(&request),
            _ => return login.check(client, &request).await,
        };
        sasl::send(client, &response).await?;
    }
}

/// An address as Kafka writes it: the host, then the port in four bytes.
fn on_the_wire(address: &str) -> Vec<u8> {
    let (host, port) = address.rsplit_once(':').unwrap();
    let port: i32 = port.parse().unwrap();
    [host.as_bytes(), &port.to_be_bytes()].concat()
}

/// Passes responses on, in which the broker has the address of the relay.
async fn answer(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    [broker, relay]: [Vec<u8>; 2],
    alterations: Alterations,
) {
    while let Ok(length) = from.read_u32().await {
        let mut response = vec![0; length as usize];
        if from.read_exact(&mut response).await.is_err() {
            return;
        }
        let places = 0..response.len().saturating_sub(broker.len() - 1);
        for at in places {
            if response[at..].starts_with(&broker) {
                response[at..at + relay.len()].copy_from_slice(&relay);
            }
        }
        alterations.apply(&mut response);
        let frame = [&length.to_be_bytes()[..], &response].concat();
        if to.write_all(&frame).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
