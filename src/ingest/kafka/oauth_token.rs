//! The token of SASL OAUTHBEARER, in a file that another program renews.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rdkafka::client::OAuthToken;
use serde::Deserialize;

use super::{KafkaSettings, SaslLogin};
use crate::{clock::Clock, domain::model::time::Timestamp};

/// The principal of a token that names none. Brokers read it from the token, not from here.
const UNNAMED: &str = "throughline";

/// The reason why the token of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OauthTokenError {
    #[error("cannot read the token for Kafka in `{}`: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("the token for Kafka in `{}` is no JWT that expires: {reason}", file.display())]
    Malformed { file: PathBuf, reason: &'static str },
    #[error(
        "the token for Kafka in `{}` expired at {}: what writes this file has to renew it", file.display(),
        at.to_rfc3339()
    )]
    Expired { file: PathBuf, at: Timestamp },
}

/// Reads the token whenever librdkafka asks for one, which it does before the last one expires. Without
/// a file it is never asked. Clones share the last problem.
#[derive(Clone, Debug)]
pub(super) struct OauthTokenReader {
    file: Option<Arc<Path>>,
    problem: Arc<Mutex<Option<String>>>,
}

impl OauthTokenReader {
    pub(super) fn new(config: &KafkaSettings) -> Self {
        let file = match &config.sasl {
            Some(SaslLogin::TokenFile(file)) => Some(Arc::from(file.as_path())),
            Some(SaslLogin::Password { .. }) | None => None,
        };
        Self {
            file,
            problem: Arc::default(),
        }
    }

    /// Checks the token before anything is connected.
    pub(super) fn check(&self) -> Result<(), OauthTokenError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        read(file, Clock::System.now()).map(drop)
    }

    /// Returns the token for librdkafka, which asks again after ten seconds if there is none.
    pub(super) fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let file = self.file.as_ref().ok_or("no token file is configured")?;
        let token = read(file, Clock::System.now());
        let problem = token.as_ref().err().map(ToString::to_string);
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(problem) = problem.as_ref().filter(|_| *known != problem) {
            tracing::warn!("{problem}");
        }
        *known = problem;
        Ok(token?)
    }

    /// Returns why there was no token when librdkafka last asked for one, as a sentence.
    pub(super) fn problem(&self) -> Option<String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = problem.as_ref()?;
        Some(format!("The brokers are not asked: {problem}."))
    }
}

fn read(file: &Path, now: Timestamp) -> Result<OAuthToken, OauthTokenError> {
    let text = std::fs::read_to_string(file).map_err(|source| OauthTokenError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let token = text.trim();
    let claims = claims(token).map_err(|reason| OauthTokenError::Malformed {
        file: file.to_owned(),
        reason,
    })?;
    let at = Timestamp::from_secs(claims.exp);
    if at <= now {
        let file = file.to_owned();
        return Err(OauthTokenError::Expired { file, at });
    }
    Ok(OAuthToken {
        token: token.to_owned(),
        principal_name: claims.sub.unwrap_or_else(|| UNNAMED.to_owned()),
        lifetime_ms: claims.exp * 1_000,
    })
}

/// What a JWT (RFC 7519) says of itself. Brokers check its signature.
#[derive(Debug, Deserialize)]
struct TokenClaims {
    /// In seconds since the Unix epoch.
    exp: i64,
    sub: Option<String>,
}

fn claims(token: &str) -> Result<TokenClaims, &'static str> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it is not one line of plain characters");
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [_, payload, _] = parts.as_slice() else {
        return Err("it has not three parts with dots between them");
    };
    let payload = URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .map_err(|_| "its second part is not base64url")?;
    let claims: TokenClaims = serde_json::from_slice(&payload)
        .map_err(|_| "its second part is no JSON with `exp` in whole seconds")?;
    let is_of_calendar = (0..=LAST_SECOND).contains(&claims.exp);
    is_of_calendar
        .then_some(claims)
        .ok_or("its `exp` is no time")
}

/// The end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use rdkafka::{
        ClientConfig,
        consumer::{BaseConsumer, Consumer as _},
    };
    use tempfile::TempDir;

    use super::*;
    use crate::ingest::kafka::client::LoginContext;

    fn jwt(payload: &str) -> String {
        let [head, payload] =
            ["{\"alg\":\"RS256\"}", payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{head}.{payload}.c2lnbmF0dXJl")
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// A folder with the file `token`.
    fn written(token: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), token).unwrap();
        folder
    }

    fn read_token(token: &str) -> Result<OAuthToken, String> {
        let folder = written(token);
        let file = folder.path().join("token");
        let name = file.display().to_string();
        read(&file, at(1_000)).map_err(|error| error.to_string().replace(&name, "FILE"))
    }

    #[test]
    fn a_token_has_its_expiry_and_its_principal() {
        let token = jwt(r#"{"exp": 1001, "sub": "throughline@shop"}"#);
        let read = read_token(&format!("{token}\n")).unwrap();
        assert_eq!(read.token, token, "without the end of the line");
        assert_eq!(read.principal_name, "throughline@shop");
        assert_eq!(read.lifetime_ms, 1_001_000);
        let unnamed = read_token(&jwt(r#"{"exp": 1001}"#)).unwrap();
        assert_eq!(unnamed.principal_name, "throughline");
    }

    #[test]
    fn what_is_wrong_with_a_token_is_named_without_showing_it() {
        for (token, problem) in [
            ("secret", "it has not three parts with dots between them"),
            ("a.secret.c d", "it is not one line of plain characters"),
            ("a.se+cret.c", "its second part is not base64url"),
            (
                &jwt("{}"),
                "its second part is no JSON with `exp` in whole seconds",
            ),
            (&jwt(r#"{"exp": 99999999999999}"#), "its `exp` is no time"),
        ] {
            let problem =
                format!("the token for Kafka in `FILE` is no JWT that expires: {problem}");
            assert_eq!(read_token(token).err().unwrap(), problem);
        }
    }

    #[test]
    fn an_expired_token_is_not_used() {
        assert_eq!(
            read_token(&jwt(r#"{"exp": 1000}"#)).err().unwrap(),
            "the token for Kafka in `FILE` expired at 1970-01-01T00:16:40.000Z: what writes this file has \
             to renew it"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nowhere/token"), at(0)).err().unwrap();
        let text = error.to_string();
        assert!(
            text.starts_with("cannot read the token for Kafka in `/nowhere/token`: "),
            "{text}"
        );
    }

    #[test]
    fn librdkafka_is_given_the_token_of_the_file_and_a_problem_is_kept_until_there_is_one() {
        let folder = written(&jwt(r#"{"exp": 1000}"#));
        let reader = OauthTokenReader {
            file: Some(Arc::from(folder.path().join("token"))),
            problem: Arc::default(),
        };
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("group.id", "test")
            .set("security.protocol", "sasl_plaintext")
            .set("sasl.mechanism", "OAUTHBEARER");
        let context = LoginContext::new(reader.clone());
        let consumer: BaseConsumer<LoginContext> = settings.create_with_context(context).unwrap();
        consumer.subscribe(&["spans"]).unwrap();
        drop(consumer.poll(Duration::from_secs(5)));
        let problem = reader.problem().unwrap();
        assert!(
            problem.starts_with("The brokers are not asked: the token for Kafka in"),
            "{problem}"
        );
        fs::write(folder.path().join("token"), jwt(r#"{"exp": 253402300799}"#)).unwrap();
        reader.token().unwrap();
        assert_eq!(reader.problem(), None);
    }
}
