//! The excerpt of a response that is stored: short, and without secrets.

use secrecy::{ExposeSecret as _, SecretString};

/// The size limit of an excerpt.
const MAX_BYTES: usize = 256;

/// Shorter parts of a URL are words rather than secrets.
const MIN_PART: usize = 8;

const MASK: &str = "•••";

/// Returns at most 256 bytes on one line, with every secret masked, and of a secret URL also its
/// secret parts. `None` if nothing is left.
pub(crate) fn excerpt(text: &str, secrets: &[SecretString]) -> Option<String> {
    let mut parts: Vec<String> = secrets
        .iter()
        .flat_map(|secret| secret_parts(secret.expose_secret()))
        .collect();
    // Longest first, so that no part is replaced within a longer one that contains it.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let mut safe = text.to_owned();
    for part in &parts {
        safe = safe.replace(part.as_str(), MASK);
        cut_beginning_at_end(&mut safe, part);
    }
    let safe: String = safe
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let shown = safe[..safe.floor_char_boundary(MAX_BYTES)].trim();
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// Returns the secret itself and, for a URL, the parts that would allow its use.
fn secret_parts(secret: &str) -> Vec<String> {
    let mut parts = vec![secret.to_owned()];
    if let Some((_, rest)) = secret.split_once("://") {
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        parts.push(path.to_owned());
        parts.extend(path.split(['/', '?', '&', '=', '#']).map(str::to_owned));
        if let Some((userinfo, _)) = rest.split_once('@') {
            parts.extend(userinfo.split(':').map(str::to_owned));
        }
    }
    parts.retain(|part| part.len() >= MIN_PART || part == secret);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Masks a secret whose beginning was echoed at the end of a response that was cut off.
fn cut_beginning_at_end(text: &mut String, secret: &str) {
    let beginning = (4..secret.len())
        .rev()
        .filter(|length| secret.is_char_boundary(*length))
        .find(|length| text.ends_with(&secret[..*length]));
    if let Some(length) = beginning {
        text.truncate(text.len() - length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_echoed_address_is_masked_also_in_pieces() {
        let url = "https://hooks.slack.com/services/T00000000/B00000000/XXXXsecretXXXX";
        let secrets = [SecretString::from(url)];
        for echo in [
            format!("no route to {url}"),
            "Cannot POST /services/T00000000/B00000000/XXXXsecretXXXX".to_owned(),
            r"https:\/\/hooks.slack.com\/services\/T00000000\/B00000000\/XXXXsecretXXXX".to_owned(),
            "cut off: https://hooks.slack.com/services/T00000000/B00000000/XXXXsec".to_owned(),
        ] {
            let shown = excerpt(&echo, &secrets).unwrap();
            assert!(!shown.contains("XXXXs"), "{shown}");
        }
    }

    #[test]
    fn nothing_is_shown_of_nothing() {
        assert_eq!(excerpt(" \n ", &[]), None);
        assert_eq!(excerpt("no_service\n", &[]).as_deref(), Some("no_service"));
    }

    proptest! {
        #[test]
        fn no_secret_survives_and_256_bytes_are_enough(
            before: String, after: String, secret in "[a-zA-Z0-9+/]{8,80}",
        ) {
            let secrets = [SecretString::from(secret.as_str())];
            let text = format!("{before}{secret}{after}{secret}");
            let shown = excerpt(&text, &secrets).unwrap_or_default();
            prop_assert!(!shown.contains(&secret));
            prop_assert!(shown.len() <= 256);
        }
    }
}
