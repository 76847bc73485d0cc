//! A Kafka broker that leaves messages out, or has another topic: a relay before real ones.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// The length of a batch's header, and where its fields are.
const HEADER: usize = 61;
const MAGIC: usize = 16;
const ATTRIBUTES: usize = 22;
/// Clients pass over batches with this attribute.
const IS_CONTROL: u8 = 0x20;

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

    /// Marks the batches of a response.
    fn leave_out(&self, response: &mut [u8]) {
        let batches = response.len().saturating_sub(HEADER);
        for at in 0..batches {
            let header = &response[at..at + HEADER];
            let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap());
            let is_batch = header[MAGIC] == 2 && header[..4] == [0; 4] && header[8..10] == [0; 2];
            if is_batch && self.has(number(&header[..8])) {
                response[at + ATTRIBUTES] |= IS_CONTROL;
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) brokers: String,
    pub(crate) left_out: LeftOut,
    target: watch::Sender<String>,
    _carrying: JoinSet<()>,
}

impl Relay {
    /// Before a cluster of one broker.
    pub(crate) async fn to(brokers: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = listener.local_addr().unwrap().to_string();
        let left_out = LeftOut::default();
        let (target, followed) = watch::channel(brokers.to_owned());
        let mut carrying = JoinSet::new();
        carrying.spawn(carry(listener, near.clone(), followed, left_out.clone()));
        Self {
            brokers: near,
            left_out,
            target,
            _carrying: carrying,
        }
    }

    /// Ends all connections. From now on it is before another cluster.
    pub(crate) fn turn_to(&self, brokers: &str) {
        self.target.send_replace(brokers.to_owned());
    }
}

async fn carry(
    listener: TcpListener,
    near: String,
    mut target: watch::Receiver<String>,
    left_out: LeftOut,
) {
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
        let far = target.borrow_and_update().clone();
        let broker = TcpStream::connect(&far).await.unwrap();
        let (requests, responses) = (client.into_split(), broker.into_split());
        connections.spawn(ask(requests.0, responses.1));
        let addresses = [far, near.clone()].map(|address| on_the_wire(&address));
        connections.spawn(answer(responses.0, requests.1, addresses, left_out.clone()));
    }
}

/// An address as Kafka writes it: the host, then the port in four bytes.
fn on_the_wire(address: &str) -> Vec<u8> {
    let (host, port) = address.rsplit_once(':').unwrap();
    let port: i32 = port.parse().unwrap();
    [host.as_bytes(), &port.to_be_bytes()].concat()
}

async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    drop(copy(&mut from, &mut to).await);
}

/// Passes responses on, in which the broker has the address of the relay.
async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    [broker, relay]: [Vec<u8>; 2],
    left_out: LeftOut,
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
        left_out.leave_out(&mut response);
        let frame = [&length.to_be_bytes()[..], &response].concat();
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}
