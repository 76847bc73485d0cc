//! Reads secrets where they are kept, at the moment that they are used.

use secrecy::SecretString;

use crate::domain::definition::SecretRef;

/// Names the place, never the value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MissingSecret {
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

/// Spaces and line ends around a secret are not part of it.
pub(super) async fn read(secret: &SecretRef) -> Result<SecretString, MissingSecret> {
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
