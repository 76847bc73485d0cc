//! Receives and decompresses bodies, both within the limit.

use std::io::Read;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::ingest::{admission::AdmissionPermit, failure::Failure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentEncoding {
    Identity,
    Gzip,
    /// Deflate in a zlib frame, as HTTP and gRPC define it, or without the frame, as some senders
    /// write it.
    Deflate,
    Zstd,
}

impl ContentEncoding {
    /// Parses a list of encodings: one encoding, and any number of `identity`.
    pub(crate) fn parse(names: &str) -> Result<Self, Failure> {
        let known = |name: &str| match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        };
        let mut encoding = Self::Identity;
        for name in names.split(',') {
            encoding = match (encoding, known(name)) {
                (Self::Identity, Some(other)) | (other, Some(Self::Identity)) => other,
                (Self::Gzip | Self::Deflate | Self::Zstd, _) | (Self::Identity, None) => {
                    let names = names.chars().take(100).collect();
                    return Err(Failure::UnknownEncoding(names));
                }
            };
        }
        Ok(encoding)
    }
}

/// Receives all of `body`, or rejects it as soon as it is known to exceed `limit`.
pub(crate) async fn receive(
    body: &mut Body,
    limit: usize,
    admission: &mut AdmissionPermit,
) -> Result<Bytes, Failure> {
    use axum::body::HttpBody as _;

    /// The initial capacity for a body of unknown length, so that an average one is not copied as
    /// it grows. Unused memory is not allocated by the system.
    const ROOM: usize = 512 << 10;
    /// The maximum capacity that is reserved for an announced length.
    const MOST_ROOM: usize = 1 << 20;

    let announced = body.size_hint();
    if announced.lower() > limit as u64 {
        return Err(Failure::TooLarge { limit });
    }
    let room = announced.exact().map_or(ROOM, |length| {
        usize::try_from(length).unwrap_or(MOST_ROOM).min(MOST_ROOM)
    });
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::BrokenOff(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len().max(all.len()) + data.len() > limit {
            return Err(Failure::TooLarge { limit });
        }
        admission.charge(data.len())?;
        // A small body arrives in one chunk, which need not be copied.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(room.min(limit));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Receives the rest of a rejected body for this long, in addition to the reply, and discards it.
/// If the connection were closed while a client is still sending, the client would see a broken
/// connection instead of the reply.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends by itself, and a shutdown need not wait for it"
)]
pub(crate) fn discard(mut body: Body, until: Instant) {
    tokio::spawn(async move {
        let discarding = async { while let Some(Ok(_)) = body.frame().await {} };
        drop(timeout_at(until, discarding).await);
    });
}

/// Decompresses a body. Slow for its input size: must not be called where other requests wait for
/// the thread.
pub(crate) fn decompress(
    bytes: Bytes,
    encoding: ContentEncoding,
    limit: usize,
    admission: &mut AdmissionPermit,
) -> Result<Bytes, Failure> {
    let compressed = bytes.as_ref();
    match encoding {
        ContentEncoding::Identity => return Ok(bytes),
        ContentEncoding::Gzip => drain(MultiGzDecoder::new(compressed), limit, admission),
        ContentEncoding::Deflate if is_zlib(compressed) => {
            drain(ZlibDecoder::new(compressed), limit, admission)
        }
        ContentEncoding::Deflate => drain(DeflateDecoder::new(compressed), limit, admission),
        ContentEncoding::Zstd => drain(zstd_reader(compressed)?, limit, admission),
    }
    .map(Bytes::from)
}

/// Recognises the header of zlib (RFC 1950), whose two bytes are a multiple of 31.
fn is_zlib(compressed: &[u8]) -> bool {
    const DEFLATE: u8 = 8;

    let [first, second, ..] = compressed else {
        return false;
    };
    first & 0x0f == DEFLATE && u16::from_be_bytes([*first, *second]) % 31 == 0
}

fn zstd_reader(compressed: &[u8]) -> Result<impl Read, Failure> {
    /// 8 MiB, the most that a decoder of HTTP content must support (RFC 9659). A larger window
    /// would be allocated before the first byte is decompressed.
    const WINDOW_LOG_MAX: u32 = 23;

    let mut reader =
        zstd::stream::read::Decoder::with_buffer(compressed).map_err(not_compressed)?;
    reader
        .window_log_max(WINDOW_LOG_MAX)
        .map_err(not_compressed)?;
    Ok(reader)
}

/// Reads the decompressed bytes. The limit is that of the output, so a decompression bomb stops at
/// it.
fn drain(
    mut reader: impl Read,
    limit: usize,
    admission: &mut AdmissionPermit,
) -> Result<Vec<u8>, Failure> {
    const STEP: usize = 64 << 10;

    let mut bytes = Vec::new();
    loop {
        admission.charge(STEP)?;
        let read = (&mut reader)
            .take(STEP as u64)
            .read_to_end(&mut bytes)
            .map_err(not_compressed)?;
        if bytes.len() > limit {
            return Err(Failure::TooLarge { limit });
        }
        if read < STEP {
            return Ok(bytes);
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "to be given to map_err")]
fn not_compressed(error: std::io::Error) -> Failure {
    Failure::NotCompressed(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };

    use super::*;
    use crate::ingest::{admission::AdmissionControl, limits::ReceiverLimits};

    fn admission() -> AdmissionPermit {
        let limits = ReceiverLimits {
            bytes_in_flight: 1 << 20,
            ..ReceiverLimits::default()
        };
        AdmissionControl::new(&limits).enter().unwrap()
    }

    fn compress(encoding: ContentEncoding, plain: &[u8]) -> Vec<u8> {
        match encoding {
            ContentEncoding::Identity => plain.to_vec(),
            ContentEncoding::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::best());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            ContentEncoding::Deflate => {
                let mut writer = ZlibEncoder::new(Vec::new(), Compression::best());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            ContentEncoding::Zstd => zstd::encode_all(plain, 3).unwrap(),
        }
    }

    const COMPRESSED: [ContentEncoding; 3] = [
        ContentEncoding::Gzip,
        ContentEncoding::Deflate,
        ContentEncoding::Zstd,
    ];

    #[test]
    fn what_was_compressed_comes_out_again() {
        let plain: Vec<u8> = (0..300_000_u32)
            .flat_map(u32::to_le_bytes)
            .take(200_000)
            .collect();
        for encoding in COMPRESSED {
            let bytes = Bytes::from(compress(encoding, &plain));
            let out = decompress(bytes, encoding, plain.len(), &mut admission()).unwrap();
            assert!(out == plain, "{encoding:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_when_the_limit_is_reached() {
        let zeros = vec![0; 20 << 20];
        for encoding in COMPRESSED {
            let bytes = Bytes::from(compress(encoding, &zeros));
            assert!(bytes.len() < 100_000);
            let out = decompress(bytes, encoding, 500_000, &mut admission());
            assert_eq!(
                out,
                Err(Failure::TooLarge { limit: 500_000 }),
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn a_bomb_does_not_take_more_than_its_share_of_memory() {
        let bytes = Bytes::from(compress(ContentEncoding::Gzip, &vec![0; 20 << 20]));
        let out = decompress(bytes, ContentEncoding::Gzip, 64 << 20, &mut admission());
        assert_eq!(out, Err(Failure::TooLarge { limit: 1 << 20 }));
    }

    #[test]
    fn truncated_or_wrongly_labelled_bytes_are_refused() {
        for encoding in COMPRESSED {
            let whole = compress(encoding, &[7; 10_000]);
            for length in 0..whole.len() {
                let part = Bytes::copy_from_slice(&whole[..length]);
                let out = decompress(part, encoding, 1 << 20, &mut admission());
                assert!(
                    matches!(out, Err(Failure::NotCompressed(_))),
                    "{encoding:?} cut to {length} of {} bytes: {out:?}",
                    whole.len()
                );
            }
            let plain = Bytes::from_static(b"this was never compressed by anything");
            assert!(decompress(plain, encoding, 1 << 20, &mut admission()).is_err());
        }
    }
}
