//! Reads secrets at the moment they are used.

use std::sync::{Mutex, PoisonError};

use secrecy::SecretString;

use crate::domain::slo::SecretRef;

/// The error for a secret that cannot be read. Names its source, never its value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MissingSecret {
    #[error("secret missing: env {0} is not set")]
    Env(String),
    #[error("secret missing: file `{path}` cannot be read: {kind}")]
    File {
        path: String,
        kind: std::io::ErrorKind,
    },
    #[error("secret missing: file `{0}` is empty")]
    EmptyFile(String),
}

/// The error for a routing key that cannot be read, or that is not the one of the episode.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RoutingKeyError {
    #[error(transparent)]
    Missing(#[from] MissingSecret),
    #[error(
        "secret missing: PagerDuty knows this alert under an earlier routing key: say where that is \
         kept with `previousRoutingKey`, or resolve it there"
    )]
    Former,
}

/// Secrets that must stay available if their source is lost, as last read. There are as many as the
/// emergency target has.
static HELD: Mutex<Vec<(SecretRef, SecretString)>> = Mutex::new(Vec::new());

/// Reads a secret, without spaces and line ends around it. One that is [held](hold) and cannot be
/// read any more has its last value.
pub(crate) async fn read(secret: &SecretRef) -> Result<SecretString, MissingSecret> {
    let found = find(secret).await;
    found.or_else(|missing| held(secret).ok_or(missing))
}

/// Reads a secret and keeps it in memory for when it cannot be read.
pub(crate) async fn hold(secret: &SecretRef) -> Result<(), MissingSecret> {
    let found = find(secret).await?;
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.retain(|(kept_in, _)| kept_in != secret);
    held.push((secret.clone(), found));
    Ok(())
}

fn held(secret: &SecretRef) -> Option<SecretString> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let found = held.iter().find(|(kept_in, _)| kept_in == secret);
    found.map(|(_, value)| value.clone())
}

async fn find(secret: &SecretRef) -> Result<SecretString, MissingSecret> {
    match secret {
        SecretRef::Env(name) => read_env(name),
        SecretRef::File(path) => read_file(path).await,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a secret is read when it is used, so that it can be rotated"
)]
fn read_env(name: &str) -> Result<SecretString, MissingSecret> {
    std::env::var(name)
        .ok()
        .and_then(|value| trimmed(&value))
        .ok_or_else(|| MissingSecret::Env(name.to_owned()))
}

async fn read_file(path: &str) -> Result<SecretString, MissingSecret> {
    let content = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| MissingSecret::File {
            path: path.to_owned(),
            kind: error.kind(),
        })?;
    trimmed(&content).ok_or_else(|| MissingSecret::EmptyFile(path.to_owned()))
}

fn trimmed(value: &str) -> Option<SecretString> {
    let value = value.trim();
    (!value.is_empty()).then(|| value.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn a_secret_is_read_without_the_line_end_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key").display().to_string();
        std::fs::write(&path, "R0UT1NG\n").unwrap();
        let secret = read(&SecretRef::File(path)).await.unwrap();
        assert_eq!(secret.expose_secret(), "R0UT1NG");
        assert!(!format!("{secret:?}").contains("R0UT1NG"));
    }

    #[tokio::test]
    async fn a_secret_that_is_held_outlives_its_file_and_another_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let [kept, lost] = ["kept", "lost"].map(|name| {
            let path = folder.path().join(name).display().to_string();
            std::fs::write(&path, "R0UT1NG").unwrap();
            SecretRef::File(path)
        });
        hold(&kept).await.unwrap();
        read(&lost).await.unwrap();
        drop(folder);
        assert_eq!(read(&kept).await.unwrap().expose_secret(), "R0UT1NG");
        assert!(read(&lost).await.is_err());
    }

    #[tokio::test]
    async fn a_missing_secret_is_named_by_its_place() {
        let missing = read(&SecretRef::Env("PAGERDUTY_NO_SUCH_KEY".to_owned())).await;
        assert_eq!(
            missing.unwrap_err().to_string(),
            "secret missing: env PAGERDUTY_NO_SUCH_KEY is not set"
        );
        let missing = read(&SecretRef::File("no/such/file".to_owned())).await;
        assert_eq!(
            missing.unwrap_err().to_string(),
            "secret missing: file `no/such/file` cannot be read: entity not found"
        );
    }
}
