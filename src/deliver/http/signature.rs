//! The signature of Standard Webhooks 1.0.0: HMAC-SHA256 over the exact bytes that are sent.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing secret is not `whsec_` and base64 of 24 to 64 bytes")]
pub(crate) struct InvalidSigningSecret;

/// Returns the value of the header `webhook-signature`. `timestamp` is that of the attempt, in
/// seconds.
pub(crate) fn sign(
    secret: &SecretString,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<String, InvalidSigningSecret> {
    let secret = secret.expose_secret();
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = STANDARD.decode(encoded).map_err(|_| InvalidSigningSecret)?;
    if !(24..=64).contains(&key.len()) {
        return Err(InvalidSigningSecret);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| InvalidSigningSecret)?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Ok(format!("v1,{signature}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn the_published_vectors_come_out() {
        let vectors = [
            (
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
                1_674_087_231,
                r#"{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z","data":{"id":"1f81eb52-5198-4599-803e-771906343485"}}"#,
                "v1,Inw/unYkpAh6Njpdz4O+hnN82xYMXQ6NjnZIQN/mzIQ=",
            ),
        ];
        for (id, timestamp, body, expected) in vectors {
            let signature = sign(&SECRET.into(), id, timestamp, body.as_bytes());
            assert_eq!(signature.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        for bad in ["", "whsec_", "whsec_%%%", "whsec_c2hvcnQ=", "plain words"] {
            let signature = sign(&bad.into(), "msg_1", 0, b"{}");
            assert_eq!(signature, Err(InvalidSigningSecret), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_reference_library_makes_the_same_signature(
            key in proptest::collection::vec(any::<u8>(), 24..=64),
            id in "msg_[0-9a-f]{32}", timestamp in 0_i64..4_000_000_000, body: String,
        ) {
            let secret = format!("whsec_{}", STANDARD.encode(key));
            let reference = standardwebhooks::Webhook::new(&secret).unwrap();
            prop_assert_eq!(
                sign(&secret.into(), &id, timestamp, body.as_bytes()).unwrap(),
                reference.sign(&id, timestamp, body.as_bytes()).unwrap()
            );
        }
    }
}
