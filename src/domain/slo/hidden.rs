//! Attributes whose values are never stored with samples of spans.

use std::{collections::BTreeSet, sync::Arc};

use super::Slo;

/// Parts of the names of attributes whose values are secret, or name a person.
const SECRETS: [&str; 11] = [
    "authorization",
    "cookie",
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "credential",
    "email",
    "privatekey",
    "session",
];

/// The attributes that name customers, in addition to those whose names indicate a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HiddenAttributes(BTreeSet<String>);

impl HiddenAttributes {
    pub fn of<'a>(slos: impl IntoIterator<Item = &'a Arc<Slo>>) -> Self {
        let customers = slos.into_iter().filter_map(|slo| slo.customer.as_ref());
        Self(customers.map(|customer| customer.key.clone()).collect())
    }

    /// Returns whether the values of attributes with this key are never stored.
    pub fn hide(&self, key: &str) -> bool {
        self.0.contains(key) || names_secret(key)
    }
}

/// Returns whether the letters and digits of `key` contain one of [`SECRETS`]. It is asked of every
/// attribute of a sample, so it copies nothing.
fn names_secret(key: &str) -> bool {
    let letters = key.bytes().filter(u8::is_ascii_alphanumeric);
    let mut rest = letters.map(|letter| letter.to_ascii_lowercase());
    while let Some(first) = rest.next() {
        let begins_here = |secret: &&str| {
            let Some((begins_with, tail)) = secret.as_bytes().split_first() else {
                return false;
            };
            let mut own = rest.clone();
            *begins_with == first && tail.iter().all(|letter| own.next() == Some(*letter))
        };
        if SECRETS.iter().any(begins_here) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_search_in_all_letters_finds(
            parts in prop::collection::vec(
                prop::sample::select(vec!["a", "pi", "Key", "_", "to", "ken", "SEC", "ret", ".", "ß"]),
                0..6,
            ),
        ) {
            let key = parts.concat();
            let letters: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
            let letters = letters.to_ascii_lowercase();
            let is_secret = SECRETS.iter().any(|secret| letters.contains(secret));
            prop_assert_eq!(names_secret(&key), is_secret);
        }
    }

    #[test]
    fn secrets_are_known_by_any_spelling_of_their_names() {
        let hidden = HiddenAttributes::default();
        for key in [
            "http.request.header.authorization",
            "Set-Cookie",
            "db.password",
            "aws.secretAccessKey",
            "x-api-key",
            "api_key",
            "user.Email",
            "session.id",
        ] {
            assert!(hidden.hide(key), "{key}");
        }
        for key in ["order.id", "messaging.destination.name", "key"] {
            assert!(!hidden.hide(key), "{key}");
        }
    }
}
