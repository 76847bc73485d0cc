//! The demo's webhook: receives what is posted and answers with success.
//!
//! Written directly on a socket, since it is not part of the product: one request per connection,
//! with the minimum of HTTP.

use std::{io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

const THANKS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
/// A notification has 20 kB at most.
const MAX_BODY_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Hook {
    listener: TcpListener,
    bodies: mpsc::UnboundedSender<Value>,
}

impl Hook {
    /// Binds to a free port of this machine. Received bodies are sent to the returned channel.
    pub(super) async fn bind() -> io::Result<(Self, mpsc::UnboundedReceiver<Value>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (bodies, received) = mpsc::unbounded_channel();
        Ok((Self { listener, bodies }, received))
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Receives one request after the other, until `shutdown` is cancelled.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        loop {
            let received = tokio::select! {
                received = self.receive() => received,
                () = shutdown.cancelled() => return,
            };
            match received {
                Ok(body) => drop(self.bodies.send(body)),
                Err(error) => tracing::warn!(%error, "the demo could not read a webhook"),
            }
        }
    }

    async fn receive(&self) -> io::Result<Value> {
        let (mut stream, _) = self.listener.accept().await?;
        let body = read_body(&mut stream).await?;
        stream.write_all(THANKS).await?;
        stream.shutdown().await?;
        Ok(serde_json::from_slice(&body)?)
    }
}

async fn read_body(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream).take(2 * MAX_BODY_BYTES as u64);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value
                .trim()
                .parse()
                .map_err(|_| io::ErrorKind::InvalidData)?;
        }
    }
    let mut body = vec![0; length.min(MAX_BODY_BYTES)];
    reader.read_exact(&mut body).await?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_posted_arrives_and_is_answered() {
        let (hook, mut received) = Hook::bind().await.unwrap();
        let address = hook.address().unwrap();
        let shutdown = CancellationToken::new();
        let talk = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n{\"a\": 1}";
            stream.write_all(request).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, THANKS);
            assert_eq!(received.recv().await.unwrap()["a"], 1);
            shutdown.cancel();
        };
        tokio::join!(hook.run(shutdown.clone()), talk);
    }

    #[tokio::test]
    async fn a_caller_who_hangs_up_does_not_keep_the_next_one_waiting() {
        let (hook, mut received) = Hook::bind().await.unwrap();
        let address = hook.address().unwrap();
        let shutdown = CancellationToken::new();
        let talk = async {
            drop(TcpStream::connect(address).await.unwrap());
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(request).await.unwrap();
            assert!(received.recv().await.is_some());
            shutdown.cancel();
        };
        tokio::join!(hook.run(shutdown.clone()), talk);
    }
}
