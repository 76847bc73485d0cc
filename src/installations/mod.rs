//! A client of the APIs of several installations of Throughline.
//!
//! All are requested concurrently, each with the timeout. An error of one installation does not
//! affect the responses of the others.

mod answers;
mod division;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reqwest::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

pub use self::answers::{
    AlertsAnswer, FoundWorkflow, ListedAlert, ListedSlo, SlosAnswer, WorkflowsAnswer,
};
pub use self::division::Division;
use crate::{
    config::{InstallationAddress, InstallationToken},
    http::{AnswerBounds, BoundedClient, HttpError},
};

/// The size limit of a response; one with 200 SLOs has some megabytes.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct Installations {
    client: BoundedClient,
    all: Arc<[Installation]>,
    timeout: Duration,
}

/// One installation.
#[derive(Clone, Debug)]
pub struct Installation {
    pub name: String,
    pub url: String,
    token: Option<SecretString>,
}

/// The result of one installation.
#[derive(Debug)]
pub struct InstallationAnswer<T> {
    pub installation: Installation,
    pub result: Result<T, InstallationProblem>,
    pub took: Duration,
}

/// The error of a request to an installation.
#[derive(Debug, thiserror::Error)]
pub enum InstallationProblem {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it refuses ({status}): {detail}")]
    Refused { status: u16, detail: String },
    #[error("it answers {status}, but not as this version of Throughline does")]
    Foreign { status: u16 },
}

/// Settings that contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum InvalidInstallations {
    #[error("two installations are named `{0}`: write another name before one of the addresses")]
    SameName(String),
    #[error("there is a token for `{0}`, but no installation of this name")]
    UnknownName(String),
    #[error("cannot make an HTTP client: install `ca-certificates`")]
    Client(#[source] reqwest::Error),
}

/// Sends a request to one installation.
#[derive(Debug)]
pub struct InstallationApi {
    client: BoundedClient,
    installation: Installation,
}

/// The problem details (RFC 9457) of an error response.
#[derive(Debug, Deserialize)]
struct RefusalDetail {
    detail: String,
}

impl Installations {
    pub fn new(
        addresses: Vec<InstallationAddress>,
        tokens: Vec<InstallationToken>,
        timeout: Duration,
    ) -> Result<Self, InvalidInstallations> {
        let tokens = tokens.into_iter().map(|of| (of.name, of.token));
        let mut tokens: BTreeMap<String, SecretString> = tokens.collect();
        let mut all: Vec<Installation> = Vec::new();
        for InstallationAddress { name, url } in addresses {
            if all.iter().any(|known| known.name == name) {
                return Err(InvalidInstallations::SameName(name));
            }
            let token = tokens.remove(&name);
            all.push(Installation { name, url, token });
        }
        if let Some((name, _)) = tokens.pop_first() {
            return Err(InvalidInstallations::UnknownName(name));
        }
        let bounds = AnswerBounds {
            timeout,
            bytes: MOST_BYTES,
        };
        Ok(Self {
            client: BoundedClient::new(bounds).map_err(InvalidInstallations::Client)?,
            all: all.into(),
            timeout,
        })
    }

    /// Requests all installations, and returns the results in the order of the settings.
    pub async fn ask<T, A>(
        &self,
        question: impl Fn(InstallationApi) -> A,
    ) -> Vec<InstallationAnswer<T>>
    where
        T: Send + 'static,
        A: Future<Output = Result<T, InstallationProblem>> + Send + 'static,
    {
        let mut asked = JoinSet::new();
        for (number, installation) in self.all.iter().enumerate() {
            let answer = question(InstallationApi {
                client: self.client.clone(),
                installation: installation.clone(),
            });
            let timeout = self.timeout;
            asked.spawn(async move {
                let began = Instant::now();
                let answer = time::timeout(timeout, answer).await;
                let result = answer.unwrap_or(Err(InstallationProblem::Timeout(timeout)));
                (number, (result, began.elapsed()))
            });
        }
        let answers: BTreeMap<usize, _> = asked.join_all().await.into_iter().collect();
        let answers = self.all.iter().zip(answers.into_values());
        answers
            .map(|(installation, (result, took))| InstallationAnswer {
                installation: installation.clone(),
                result,
                took,
            })
            .collect()
    }
}

impl InstallationApi {
    /// `path` begins with `/`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, InstallationProblem> {
        let Installation { url, token, .. } = &self.installation;
        let url = format!("{url}{path}");
        let answer = self.client.get_json(&url, token.as_ref()).await?;
        let status = answer.status.as_u16();
        let foreign = || InstallationProblem::Foreign { status };
        if answer.status == StatusCode::OK {
            return serde_json::from_slice(&answer.body).map_err(|_| foreign());
        }
        let refusal = serde_json::from_slice(&answer.body);
        let RefusalDetail { detail } = refusal.map_err(|_| foreign())?;
        Err(InstallationProblem::Refused { status, detail })
    }

    /// Returns all SLOs that match `q`, page by page.
    pub async fn slos(self, q: String) -> Result<SlosAnswer, InstallationProblem> {
        let path = format!("/api/v1/slos?q={q}");
        let mut all: SlosAnswer = self.get(&path).await?;
        while let Some(after) = all.next.take() {
            let part: SlosAnswer = self.get(&format!("{path}&after={after}")).await?;
            all.slos.extend(part.slos);
            all.next = part.next.filter(|next| *next > after);
        }
        Ok(all)
    }
}

impl From<HttpError> for InstallationProblem {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Timeout(timeout) => Self::Timeout(timeout),
            HttpError::TooLarge(_) | HttpError::Network(_) => Self::Unreachable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(addresses: &[&str], tokens: &[&str]) -> Option<String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let tokens = tokens.iter().map(|text| text.parse().unwrap()).collect();
        let made = Installations::new(addresses, tokens, Duration::from_secs(1));
        made.err().map(|error| error.to_string())
    }

    #[test]
    fn a_name_is_of_one_installation_and_a_token_of_a_known_one() {
        let two = ["a=http://localhost:1", "b=http://localhost:2"];
        assert_eq!(problem(&two, &["a=tl_x"]), None);
        let text = problem(&[two[0], "a=http://localhost:2"], &[]).unwrap();
        assert!(
            text.starts_with("two installations are named `a`"),
            "{text}"
        );
        let text = problem(&two, &["c=tl_x"]).unwrap();
        assert!(
            text.contains("a token for `c`") && !text.contains("tl_x"),
            "{text}"
        );
    }
}
