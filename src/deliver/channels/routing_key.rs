//! The routing key for each PagerDuty event: a resolve must use the key of its trigger, or
//! PagerDuty drops it silently and the incident stays open for ever.
//!
//! A row stores the reference to the key's secret and a fingerprint of the key, never the key
//! itself. If the secret has another value later, the old key is looked for in the secret that the
//! target names for it (`previousRoutingKey`), and among the keys that this process has used; an
//! environment variable cannot be read again after a restart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::{
    deliver::http::secrets::{self, RoutingKeyError},
    domain::{alerting::alert::TransitionKind, model::format, notify::PinnedKey, slo::SecretRef},
};

/// The limit of remembered keys; there are as many as targets and rotations.
const MAX_KEYS: usize = 1_000;

/// Keys that this process has used, by their fingerprints.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoutingKeys(Arc<Mutex<HashMap<String, SecretString>>>);

/// References to the secrets with a target's keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySecrets<'a> {
    pub(crate) current: &'a SecretRef,
    pub(crate) former: Option<&'a SecretRef>,
}

impl RoutingKeys {
    /// Returns the key for the next event of an episode, and what is to be stored about it.
    pub(crate) async fn choose(
        &self,
        key_secrets: KeySecrets<'_>,
        kind: TransitionKind,
        pinned: Option<&PinnedKey>,
    ) -> Result<(SecretString, PinnedKey), RoutingKeyError> {
        let current = secrets::read(key_secrets.current).await;
        let Some(pinned) = pinned else {
            return Ok(self.pin(current?, key_secrets.current));
        };
        if let Ok(key) = &current
            && fingerprint(key) == pinned.fingerprint
        {
            return Ok(self.pin(key.clone(), key_secrets.current));
        }
        if let Some(key) = self.earlier(key_secrets, pinned).await {
            return Ok((key, pinned.clone()));
        }
        match kind {
            // A new incident under the new key is better than none.
            TransitionKind::Firing => Ok(self.pin(current?, key_secrets.current)),
            // Under the new key, an update would open an incident that is never resolved.
            TransitionKind::Updated
            | TransitionKind::DataStopped
            | TransitionKind::DataResumed
            | TransitionKind::Unmuted
            | TransitionKind::Reminded
            | TransitionKind::Acknowledged
            | TransitionKind::Resolved => Err(RoutingKeyError::Former),
        }
    }

    async fn earlier(
        &self,
        key_secrets: KeySecrets<'_>,
        pinned: &PinnedKey,
    ) -> Option<SecretString> {
        for secret in [key_secrets.former, Some(&pinned.secret)]
            .into_iter()
            .flatten()
        {
            let found = secrets::read(secret).await.ok();
            if let Some(key) = found.filter(|key| fingerprint(key) == pinned.fingerprint) {
                return Some(key);
            }
        }
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(&pinned.fingerprint).cloned()
    }

    fn pin(&self, key: SecretString, secret: &SecretRef) -> (SecretString, PinnedKey) {
        let pinned = PinnedKey {
            secret: secret.clone(),
            fingerprint: fingerprint(&key),
        };
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < MAX_KEYS {
            used.insert(pinned.fingerprint.clone(), key.clone());
        }
        (key, pinned)
    }
}

/// Returns 64 bits of a hash: a key is random, so it cannot be found by trying.
fn fingerprint(key: &SecretString) -> String {
    let hash = Sha256::new()
        .chain_update(b"throughline routing key ")
        .chain_update(key.expose_secret());
    format::fingerprint(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    struct PinnedRoutingKey(TempDir);

    impl PinnedRoutingKey {
        fn put(&self, name: &str, key: &str) -> SecretRef {
            let path = self.0.path().join(name);
            std::fs::write(&path, key).unwrap();
            SecretRef::File(path.display().to_string())
        }
    }

    async fn chosen(
        keys: &RoutingKeys,
        key_secrets: KeySecrets<'_>,
        kind: TransitionKind,
        pinned: Option<&PinnedKey>,
    ) -> Result<String, RoutingKeyError> {
        let (key, _) = keys.choose(key_secrets, kind, pinned).await?;
        Ok(key.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn a_resolve_comes_under_the_key_of_its_trigger_though_another_is_kept_by_now() {
        use TransitionKind::{Firing, Resolved};
        let kept = PinnedRoutingKey(tempfile::tempdir().unwrap());
        let current = kept.put("key", "OLD");
        let key_secrets = KeySecrets {
            current: &current,
            former: None,
        };
        let keys = RoutingKeys::default();
        let (_, pinned) = keys.choose(key_secrets, Firing, None).await.unwrap();
        assert!(!format!("{pinned:?}").contains("OLD"));

        kept.put("key", "NEW");
        let key = chosen(&keys, key_secrets, Resolved, Some(&pinned)).await;
        assert_eq!(key.unwrap(), "OLD", "this process has used it");
        let key = chosen(&keys, key_secrets, Firing, None).await;
        assert_eq!(key.unwrap(), "NEW", "another episode");

        let restarted = RoutingKeys::default();
        let key = chosen(&restarted, key_secrets, Resolved, Some(&pinned)).await;
        assert_eq!(key, Err(RoutingKeyError::Former));
        let former = kept.put("former", "OLD");
        let rotated = KeySecrets {
            former: Some(&former),
            ..key_secrets
        };
        let key = chosen(&restarted, rotated, Resolved, Some(&pinned)).await;
        assert_eq!(key.unwrap(), "OLD");
    }

    #[tokio::test]
    async fn a_key_that_moved_to_another_place_is_found_where_it_was() {
        let kept = PinnedRoutingKey(tempfile::tempdir().unwrap());
        let (old, new) = (kept.put("old", "OLD"), kept.put("new", "NEW"));
        let keys = RoutingKeys::default();
        let key_secrets = KeySecrets {
            current: &old,
            former: None,
        };
        let (_, pinned) = keys
            .choose(key_secrets, TransitionKind::Firing, None)
            .await
            .unwrap();
        let moved = KeySecrets {
            current: &new,
            former: None,
        };
        let restarted = RoutingKeys::default();
        let key = chosen(&restarted, moved, TransitionKind::Resolved, Some(&pinned)).await;
        assert_eq!(key.unwrap(), "OLD");
    }
}
