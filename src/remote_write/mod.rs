//! Writes metrics to a receiver of Prometheus' remote write, where nobody scrapes them.

mod encode;

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use prometheus::proto::MetricFamily;
use reqwest::{
    Method, Request, StatusCode, Url,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

use self::encode::TimeSeries;
use crate::{
    domain::model::time::Timestamp,
    http::{AnswerBounds, BoundedClient, HttpError},
};

/// Receivers limit requests; Prometheus sends 2,000 samples at once.
const SERIES_A_REQUEST: usize = 2_000;
/// The pauses between attempts; a turn of a loop ends after 30 s, whatever is left of them.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(9),
];
const BOUNDS: AnswerBounds = AnswerBounds {
    timeout: Duration::from_secs(10),
    bytes: 64 * 1024,
};
/// Of the answer of a receiver, which says what it refuses.
const QUOTED_CHARS: usize = 300;
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// How the service identifies itself to the receiver.
#[derive(Clone, Debug)]
pub struct RemoteWriteLogin {
    /// The user of basic authentication; `None` for a bearer token.
    pub username: Option<String>,
    /// The file with the password or the token.
    pub secret_file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum RemoteWriteError {
    #[error("`--remote-write-url` is no URL that begins with http:// or https://")]
    InvalidUrl,
    #[error(
        "`--remote-write-url` contains a password, which would be logged: use `--remote-write-username` and \
         `--remote-write-secret-file`"
    )]
    PasswordInUrl,
    #[error("cannot make the client of remote write: {0}")]
    Client(#[source] reqwest::Error),
    #[error("cannot read the secret of remote write in `{}`: {source}", file.display())]
    Secret { file: PathBuf, source: io::Error },
    #[error("the secret of remote write in `{}` is not one line of plain characters", .0.display())]
    MalformedSecret(PathBuf),
    #[error("cannot compress metrics: {0}")]
    Compression(#[from] snap::Error),
    #[error("the receiver of remote write did not answer: {0}")]
    NoAnswer(#[source] HttpError),
    #[error("the receiver of remote write answered {status}: {answer}")]
    Refused { status: StatusCode, answer: String },
}

impl RemoteWriteError {
    /// Returns whether the same request may succeed later.
    fn is_temporary(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// Clones share connections.
#[derive(Clone, Debug)]
pub struct RemoteWriter {
    client: BoundedClient,
    url: Url,
    login: Option<RemoteWriteLogin>,
    target: BTreeMap<String, String>,
}

impl RemoteWriter {
    /// Makes a writer whose series have the label `job="throughline"` and this `instance`.
    pub fn new(
        url: &str,
        login: Option<RemoteWriteLogin>,
        instance: String,
    ) -> Result<Self, RemoteWriteError> {
        let url = Url::parse(url).map_err(|_| RemoteWriteError::InvalidUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RemoteWriteError::InvalidUrl);
        }
        if url.password().is_some() {
            return Err(RemoteWriteError::PasswordInUrl);
        }
        let job = ("job".to_owned(), "throughline".to_owned());
        let writer = Self {
            client: BoundedClient::new(BOUNDS).map_err(RemoteWriteError::Client)?,
            url,
            login,
            target: BTreeMap::from([job, ("instance".to_owned(), instance)]),
        };
        // A secret that cannot be read is an error at the start rather than a minute later.
        writer.headers()?;
        Ok(writer)
    }

    /// Writes the current values as samples of `at`, and returns how many there were. A receiver that is
    /// busy or away is asked again for some seconds.
    pub async fn write(
        &self,
        families: &[MetricFamily],
        at: Timestamp,
    ) -> Result<usize, RemoteWriteError> {
        let mut series = encode::series(families, &self.target, at);
        let count = series.len();
        while !series.is_empty() {
            let rest = series.split_off(series.len().min(SERIES_A_REQUEST));
            self.write_some(series).await?;
            series = rest;
        }
        Ok(count)
    }

    async fn write_some(&self, series: Vec<TimeSeries>) -> Result<(), RemoteWriteError> {
        let body = Bytes::from(encode::body(series)?);
        let mut pauses = PAUSES.into_iter();
        loop {
            let Err(error) = self.post(body.clone()).await else {
                return Ok(());
            };
            match pauses.next() {
                Some(pause) if error.is_temporary() => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), RemoteWriteError> {
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = self.headers()?;
        *request.body_mut() = Some(body.into());
        let answer = self.client.send(request).await;
        let answer = answer.map_err(RemoteWriteError::NoAnswer)?;
        if answer.status.is_success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&answer.body);
        Err(RemoteWriteError::Refused {
            status: answer.status,
            answer: text.trim().chars().take(QUOTED_CHARS).collect(),
        })
    }

    fn headers(&self) -> Result<HeaderMap, RemoteWriteError> {
        let mut headers = HeaderMap::from_iter(
            [
                (header::CONTENT_TYPE, "application/x-protobuf"),
                (header::CONTENT_ENCODING, "snappy"),
                (VERSION, "0.1.0"),
            ]
            .map(|(name, value)| (name, HeaderValue::from_static(value))),
        );
        if let Some(login) = &self.login {
            headers.insert(header::AUTHORIZATION, login.header()?);
        }
        Ok(headers)
    }
}

impl RemoteWriteLogin {
    fn header(&self) -> Result<HeaderValue, RemoteWriteError> {
        let file = &self.secret_file;
        let secret = std::fs::read_to_string(file).map_err(|source| RemoteWriteError::Secret {
            file: file.clone(),
            source,
        })?;
        let secret = secret.trim();
        let text = match &self.username {
            Some(username) => {
                let pair = STANDARD.encode(format!("{username}:{secret}"));
                format!("Basic {pair}")
            }
            None => format!("Bearer {secret}"),
        };
        let mut header = HeaderValue::try_from(text)
            .ok()
            .filter(|_| !secret.is_empty())
            .ok_or_else(|| RemoteWriteError::MalformedSecret(file.clone()))?;
        header.set_sensitive(true);
        Ok(header)
    }
}
