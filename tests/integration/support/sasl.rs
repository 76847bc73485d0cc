//! The part of a broker in logins by SASL: it knows one user. After the handshake, frames have no header, as those of
//! brokers without the request `SaslAuthenticate`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256, Sha512};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::relay::Connection;

const SALT: &[u8] = b"salt of the user";
const ITERATIONS: u32 = 4_096;

/// Numbers of requests.
pub(super) const VERSIONS: &[u8] = &[0, 18];
pub(super) const HANDSHAKE: &[u8] = &[0, 17];
/// The number of `UNSUPPORTED_SASL_MECHANISM`.
const UNSUPPORTED: u16 = 33;
/// Where a response to `VERSIONS` has the number of its entries, after its own number and an error.
const COUNT: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// The user, and how it has to log in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login {
    pub(crate) mechanism: Mechanism,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
}

/// The content of the next frame; `None` at the end.
pub(super) async fn frame(connection: &mut dyn Connection) -> Option<Vec<u8>> {
    let length = connection.read_u32().await.ok()?;
    let mut content = vec![0; length as usize];
    connection.read_exact(&mut content).await.ok()?;
    Some(content)
}

pub(super) async fn send(connection: &mut dyn Connection, content: &[u8]) -> Option<()> {
    let length = u32::try_from(content.len()).unwrap();
    let frame = [&length.to_be_bytes()[..], content].concat();
    connection.write_all(&frame).await.ok()?;
    connection.flush().await.ok()
}

/// Adds the handshake, in its first version, to the requests that a broker says it knows.
pub(super) fn with_handshake(mut versions: Vec<u8>) -> Vec<u8> {
    let entries = COUNT + 4;
    let count: [u8; 4] = versions[COUNT..entries].try_into().unwrap();
    let count = u32::from_be_bytes(count) + 1;
    versions[COUNT..entries].copy_from_slice(&count.to_be_bytes());
    let entry = [HANDSHAKE, &[0; 4]].concat();
    versions.splice(entries..entries, entry);
    versions
}

impl Login {
    /// Answers a client that names its mechanism, at the end of its request.
    pub(super) fn answer_handshake(&self, request: &[u8]) -> Vec<u8> {
        let name = self.mechanism.name().as_bytes();
        let length = u16::try_from(name.len()).unwrap().to_be_bytes();
        let is_known = request.ends_with(&[&length, name].concat());
        let error = if is_known { 0 } else { UNSUPPORTED };
        let number = &request[4..8];
        let count = 1_u32.to_be_bytes();
        [number, &error.to_be_bytes(), &count, &length, name].concat()
    }

    /// Checks a client that has sent `first`; `None` if it may not go on.
    pub(super) async fn check(&self, client: &mut dyn Connection, first: &[u8]) -> Option<()> {
        let Self { user, password, .. } = self;
        if self.mechanism != Mechanism::Plain {
            return self.check_scram(client, first).await;
        }
        let expected = format!("\0{user}\0{password}");
        (first == expected.as_bytes()).then_some(())?;
        send(client, b"").await
    }

    /// RFC 5802.
    async fn check_scram(&self, client: &mut dyn Connection, first: &[u8]) -> Option<()> {
        let bare = std::str::from_utf8(first).ok()?.strip_prefix("n,,")?;
        let (user, nonce) = bare.split_once(",r=")?;
        (user == format!("n={}", self.user)).then_some(())?;
        let offered = format!("r={nonce}server,s={},i={ITERATIONS}", STANDARD.encode(SALT));
        send(client, offered.as_bytes()).await?;

        let last = String::from_utf8(frame(client).await?).ok()?;
        let (without_proof, proof) = last.split_once(",p=")?;
        let signed = format!("{bare},{offered},{without_proof}");
        let salted = self.salted();
        let stored = self.digest(&self.hmac(&salted, b"Client Key"));
        let signature = self.hmac(&stored, signed.as_bytes());
        let proof = STANDARD.decode(proof).ok()?;
        let key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        (self.digest(&key) == stored).then_some(())?;
        let server_key = self.hmac(&salted, b"Server Key");
        let verifier = STANDARD.encode(self.hmac(&server_key, signed.as_bytes()));
        send(client, format!("v={verifier}").as_bytes()).await
    }

    fn salted(&self) -> Vec<u8> {
        let password = self.password.as_bytes();
        let mut round = self.hmac(password, &[SALT, &1_u32.to_be_bytes()].concat());
        let mut salted = round.clone();
        for _ in 1..ITERATIONS {
            round = self.hmac(password, &round);
            salted.iter_mut().zip(&round).for_each(|(a, b)| *a ^= b);
        }
        salted
    }

    fn hmac(&self, key: &[u8], data: &[u8]) -> Vec<u8> {
        if self.mechanism == Mechanism::ScramSha512 {
            let mac = Hmac::<Sha512>::new_from_slice(key).unwrap();
            return mac.chain_update(data).finalize().into_bytes().to_vec();
        }
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.chain_update(data).finalize().into_bytes().to_vec()
    }

    fn digest(&self, data: &[u8]) -> Vec<u8> {
        if self.mechanism == Mechanism::ScramSha512 {
            return Sha512::digest(data).to_vec();
        }
        Sha256::digest(data).to_vec()
    }
}
