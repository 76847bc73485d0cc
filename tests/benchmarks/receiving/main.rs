//! What receiving a span costs, as a multiple of taking its bytes and dropping them.
//!
//! Run with `cargo bench --bench receiving`, on Linux, where the kernel counts the CPU time of each
//! thread: all threads are counted but the one that sends. Read the ratios, not the times.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

mod floor;
mod load;

use std::{net::SocketAddr, time::Duration};

use throughline::{
    domain::span::{AttributeScope, SpanView},
    ingest::{
        Refusal, Unavailable, cors::AllowedOrigins, door::Door, grpc, http, limits::ReceiverLimits,
        receiver::Receiver,
    },
};
use tokio::{net::TcpListener, runtime::Runtime};

use self::load::{Encoding, Load, Protocol, SPANS_A_REQUEST};

const REQUESTS: u32 = 1_000;

/// Asks of each span what a selector index asks, and keeps nothing: no span concerns an SLO.
#[derive(Clone)]
struct IndifferentDoor;

impl Door for IndifferentDoor {
    type Batch = u64;

    fn take(&self, span: &dyn SpanView, batch: &mut u64) -> Result<(), Refusal> {
        let asked = [
            (AttributeScope::Resource, "service.name"),
            (AttributeScope::Span, "messaging.destination.name"),
            (AttributeScope::Span, "messaging.operation.type"),
            (AttributeScope::Span, "messaging.system"),
            (AttributeScope::Span, "customer.id"),
            (AttributeScope::Any, "deployment.environment.name"),
        ];
        for (scope, key) in asked {
            *batch += u64::from(span.attribute(scope, key).is_some());
        }
        *batch ^= span.name().len() as u64 ^ span.end_unix_nano();
        Ok(())
    }

    async fn commit(&self, batch: u64) -> Result<(), Unavailable> {
        std::hint::black_box(batch);
        Ok(())
    }
}

fn main() {
    // Anything else only wants to know that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("CPU nanoseconds a span        floor   receiver   ratio");
    for protocol in [Protocol::Http, Protocol::Grpc] {
        for encoding in [Encoding::Plain, Encoding::Gzip] {
            let load = Load::new(protocol, encoding);
            let floor = nanos_a_span(&load, |listener, runtime| {
                runtime.spawn_server(floor::serve(listener));
            });
            let receiver = nanos_a_span(&load, |listener, runtime| {
                let receiver = Receiver::new(IndifferentDoor, ReceiverLimits::default());
                let never = std::future::pending();
                match protocol {
                    Protocol::Http => runtime.spawn_server(http::serve(
                        listener,
                        receiver,
                        AllowedOrigins::default(),
                        never,
                    )),
                    Protocol::Grpc => runtime.spawn_server(grpc::serve(listener, receiver, never)),
                }
            });
            let ratio = receiver / floor;
            let what = format!("{protocol:?}, {encoding:?}");
            println!("{what:24} {floor:10.0} {receiver:10.0} {ratio:7.2}");
        }
    }
}

/// Starts a server, sends it the load, and counts what the process did beside sending.
fn nanos_a_span(load: &Load, start: impl FnOnce(TcpListener, &Server)) -> f64 {
    let server = Server::new();
    let listener = server.listen();
    let address = listener.local_addr().unwrap();
    start(listener, &server);
    load.send(address, REQUESTS / 10);
    let before = cpu_beside_this_thread();
    load.send(address, REQUESTS);
    let spent = cpu_beside_this_thread().saturating_sub(before);
    spent.as_secs_f64() * 1e9 / f64::from(REQUESTS * SPANS_A_REQUEST)
}

struct Server(Runtime);

impl Server {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self(builder.worker_threads(1).enable_all().build().unwrap())
    }

    fn listen(&self) -> TcpListener {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        self.0.block_on(TcpListener::bind(any)).unwrap()
    }

    fn spawn_server(&self, server: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(server);
    }
}

/// The kernel's account: `/proc/self/task/<thread>/schedstat` begins with nanoseconds on a CPU.
fn cpu_beside_this_thread() -> Duration {
    let own = std::fs::read_link("/proc/thread-self").unwrap();
    let own = own.file_name().unwrap();
    let nanos = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|thread| thread.unwrap())
        .filter(|thread| thread.file_name() != own)
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    Duration::from_nanos(nanos)
}
