//! The HTTP API of a running service, for commands.

use std::{fmt, io::Write as _, process::ExitCode, time::Duration};

use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Runtime;

/// The timeout of a request; pages answer within milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which service is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// The running service to talk to
    #[arg(
        long,
        env = "THROUGHLINE_SERVER",
        value_name = "URL",
        default_value = "http://localhost:8080",
        global = true
    )]
    server: String,
    /// A header of every request, for a proxy before the service
    #[arg(
        long = "header",
        env = "THROUGHLINE_HEADERS",
        hide_env_values = true,
        value_name = "NAME: VALUE",
        value_delimiter = '\n',
        value_parser = header,
        global = true
    )]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Token of `throughline token create`, or of a proxy before the service; sent as
    /// `Authorization: Bearer`
    #[arg(
        long,
        env = "THROUGHLINE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        value_parser = bearer,
        global = true
    )]
    token: Option<HeaderValue>,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let read = text.split_once(':').and_then(|(name, value)| {
        let name = name.trim().parse().ok()?;
        Some((name, secret(value.trim())?))
    });
    read.ok_or_else(|| "write a name and a value, as `X-Api-Key: abc`".to_owned())
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let value = secret(&format!("Bearer {}", token.trim()));
    value.ok_or_else(|| "a token is one line of plain characters".to_owned())
}

/// Parses a header value that no log shows.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl ServerArgs {
    fn headers(&self) -> HeaderMap {
        let token = self.token.iter().cloned();
        let token = token.map(|token| (header::AUTHORIZATION, token));
        token.chain(self.headers.iter().cloned()).collect()
    }
}

/// A client of one service, with blocking requests.
#[derive(Debug)]
pub struct Api {
    runtime: Runtime,
    client: Client,
    server: String,
}

/// The reason why there is no response to show.
#[derive(Debug)]
pub enum ApiError {
    /// It is unknown whether the service has done anything.
    Unanswered { server: String, cause: String },
    /// The service's explanation of the error.
    Refused(ApiExplanation),
}

/// The API's explanation of an error: problem details (RFC 9457).
#[derive(Debug, Deserialize)]
pub struct ApiExplanation {
    detail: String,
    #[serde(default)]
    help: String,
    did_you_mean: Option<String>,
}

impl Api {
    pub fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        // Fails only if the process has installed a provider before, which works as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            client: Client::builder()
                .default_headers(args.headers())
                .timeout(PATIENCE)
                // A proxy that requires a login redirects to its page: reporting that is better
                // than following it.
                .redirect(Policy::none())
                .build()?,
            server: args.server.trim_end_matches('/').to_owned(),
        })
    }

    /// Sends a GET. `path` begins with `/`.
    pub fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.ask(Method::GET, path, None)
    }

    /// Sends a GET with the parameters that have a value.
    pub fn get_with(&self, path: &str, query: &[(&str, Option<&str>)]) -> Result<Value, ApiError> {
        self.get(&with_query(path, query))
    }

    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, ApiError> {
        self.ask(Method::POST, path, serde_json::to_vec(body).ok())
    }

    pub fn delete(&self, path: &str) -> Result<Value, ApiError> {
        self.ask(Method::DELETE, path, None)
    }

    /// Returns a part of a list as comma-separated values, with the path of the next part.
    pub fn csv(&self, path: &str) -> Result<(String, Option<String>), ApiError> {
        let request = self.client.get(format!("{}{path}", self.server));
        let (status, headers, body) = self.answered(request.header("accept", "text/csv"))?;
        let is_csv = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/csv"));
        if !status.is_success() || !is_csv {
            let what =
                || self.unanswered(format!("it answers {status}, but not as Throughline does"));
            return Err(self.understood(status, &body).err().unwrap_or_else(what));
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        Ok((text, next_part(&headers)))
    }

    /// Returns a part of a list, with the path of the next part.
    #[cfg(feature = "parquet")]
    pub fn part(&self, path: &str) -> Result<(Value, Option<String>), ApiError> {
        let request = self.client.get(format!("{}{path}", self.server));
        let (status, headers, body) =
            self.answered(request.header("accept", "application/json"))?;
        Ok((self.understood(status, &body)?, next_part(&headers)))
    }

    fn ask(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Value, ApiError> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.server))
            .header("accept", "application/json");
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let (status, _, body) = self.answered(request)?;
        self.understood(status, &body)
    }

    fn answered(
        &self,
        request: RequestBuilder,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), ApiError> {
        let answered = self.runtime.block_on(async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, response.bytes().await?.to_vec()))
        });
        answered.map_err(|error: reqwest::Error| self.unanswered(cause(&error)))
    }

    fn understood(&self, status: StatusCode, body: &[u8]) -> Result<Value, ApiError> {
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body = if status.is_success() {
            serde_json::from_slice(body).map(Ok)
        } else {
            serde_json::from_slice(body).map(|said| Err(ApiError::Refused(said)))
        };
        body.unwrap_or_else(|_| {
            let what = format!("it answers {status}, but not as Throughline does");
            Err(self.unanswered(what))
        })
    }

    fn unanswered(&self, cause: String) -> ApiError {
        ApiError::Unanswered {
            server: self.server.clone(),
            cause,
        }
    }
}

/// Returns the path in the link header of an answer that is a part of a list.
fn next_part(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(header::LINK)?.to_str().ok()?;
    let next = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
    Some(next.to_owned())
}

/// Encodes a part of a path or of a query.
pub fn encoded(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    bytes.concat()
}

/// Returns `path` with the parameters that have a value.
pub fn with_query(path: &str, query: &[(&str, Option<&str>)]) -> String {
    let mut url = format!("{path}?");
    for (name, value) in query {
        let Some(value) = value else { continue };
        url.extend([name, "="]);
        url.extend([&encoded(value), "&"]);
    }
    url.trim_end_matches(['?', '&']).to_owned()
}

/// Returns the innermost cause; the caller's message contains the rest.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl ApiError {
    /// Replaces the names of API fields, which are in backticks, by the flags that they come from.
    #[must_use]
    pub fn in_flags(self, flags: &[(&str, &str)]) -> Self {
        let rename = |text: String| {
            flags.iter().fold(text, |text, (field, flag)| {
                text.replace(&format!("`{field}`"), &format!("`--{flag}`"))
            })
        };
        match self {
            Self::Refused(said) => Self::Refused(ApiExplanation {
                detail: rename(said.detail),
                help: rename(said.help),
                ..said
            }),
            unanswered @ Self::Unanswered { .. } => unanswered,
        }
    }

    /// Prints the error to standard error. Returns 1 if the service has rejected the request, 3 if
    /// it did not answer.
    pub fn report(&self) -> ExitCode {
        let _written = writeln!(std::io::stderr(), "error: {self}");
        ExitCode::from(match self {
            Self::Refused(_) => 1,
            Self::Unanswered { .. } => 3,
        })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered { server, cause } => write!(
                f,
                "cannot ask the service at {server}: {cause}\n  \
                 = help: say where it runs with `--server` or THROUGHLINE_SERVER"
            ),
            Self::Refused(said) => {
                f.write_str(&said.detail)?;
                if let Some(meant) = &said.did_you_mean {
                    write!(f, ", did you mean `{meant}`?")?;
                }
                if said.help.is_empty() {
                    return Ok(());
                }
                write!(f, "\n  = help: {}", said.help)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Api {
        Api::new(&ServerArgs {
            server: "http://127.0.0.1:1/".to_owned(),
            headers: Vec::new(),
            token: None,
        })
        .unwrap()
    }

    #[test]
    fn a_service_that_is_not_there_is_named_with_the_way_on() {
        let text = api().get("/api/v1/slos").unwrap_err().to_string();
        assert!(
            text.starts_with("cannot ask the service at http://127.0.0.1:1: "),
            "{text}"
        );
        assert!(
            text.ends_with("with `--server` or THROUGHLINE_SERVER"),
            "{text}"
        );
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_service() {
        let body = br#"{"detail":"there is no SLO `a`","help":"look","did_you_mean":"b"}"#;
        let refused = api().understood(StatusCode::NOT_FOUND, body).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "there is no SLO `a`, did you mean `b`?\n  = help: look"
        );
    }

    #[test]
    fn a_refusal_names_flags_instead_of_fields() {
        let body = br#"{"detail":"no `reason` is given","help":"insist with `force`"}"#;
        let refused = api().understood(StatusCode::BAD_REQUEST, body).unwrap_err();
        let refused = refused.in_flags(&[("reason", "comment"), ("force", "force")]);
        assert_eq!(
            refused.to_string(),
            "no `--comment` is given\n  = help: insist with `--force`"
        );
    }

    #[test]
    fn a_proxy_gets_its_token_and_headers() {
        let args = ServerArgs {
            server: String::new(),
            headers: vec![header("X-Api-Key: a:b").unwrap()],
            token: Some(bearer(" abc\n").unwrap()),
        };
        let headers = args.headers();
        assert_eq!(headers["x-api-key"], "a:b");
        assert_eq!(headers["authorization"], "Bearer abc");
        assert!(!format!("{args:?}").contains("abc"));
        assert!(header("no value").is_err());
    }

    #[test]
    fn another_server_is_not_taken_for_ours() {
        for (status, body) in [(StatusCode::OK, "<html>"), (StatusCode::FOUND, "")] {
            let error = api().understood(status, body.as_bytes()).unwrap_err();
            assert!(matches!(error, ApiError::Unanswered { .. }), "{error}");
        }
    }
}
