//! Settings of `throughline overview`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use secrecy::SecretString;

use super::{PagesPortConfig, PagesTlsConfig, ReaderConfig, duration};

#[derive(Clone, Debug, Args)]
pub struct InstallationsConfig {
    /// Installations to show, such as
    /// `checkout=https://slo.checkout.example,payments=http://10.1.2.3:8080`. Without a name, the host
    /// is the name
    #[arg(
        long,
        env = "THROUGHLINE_INSTALLATIONS",
        value_name = "NAME=URL",
        value_delimiter = ',',
        required = true
    )]
    pub installations: Vec<InstallationAddress>,
    /// Tokens of the installations that require one, such as `checkout=tl_...`, made by `throughline
    /// token create`. The role `viewer` suffices. Use the variable: a flag is visible in the list of
    /// processes
    #[arg(
        long,
        env = "THROUGHLINE_INSTALLATION_TOKENS",
        value_name = "NAME=TOKEN",
        value_delimiter = ',',
        hide_env_values = true,
        conflicts_with = "installation_tokens_file"
    )]
    pub installation_tokens: Vec<InstallationToken>,
    /// File with these tokens, one `NAME=TOKEN` a line. It is read at the start
    #[arg(
        long,
        env = "THROUGHLINE_INSTALLATION_TOKENS_FILE",
        value_name = "FILE"
    )]
    pub installation_tokens_file: Option<PathBuf>,
    /// How long a page waits for an installation before it is shown without it
    #[arg(
        long,
        env = "THROUGHLINE_INSTALLATION_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration
    )]
    pub installation_timeout: Duration,
    #[command(flatten)]
    pub port: PagesPortConfig,
    #[command(flatten)]
    pub readers: ReaderConfig,
    #[command(flatten)]
    pub tls: PagesTlsConfig,
}

/// Where an installation is, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallationAddress {
    pub name: String,
    /// Without a slash at its end.
    pub url: String,
}

/// What an installation knows the overview by.
#[derive(Clone, Debug)]
pub struct InstallationToken {
    pub name: String,
    pub token: SecretString,
}

/// A text that is no installation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstallation {
    #[error(
        "write `http://` or `https://` and a host, such as `checkout=https://slo.checkout.example`"
    )]
    Address,
    #[error(
        "an address has no user, no password and no query: give tokens with \
         THROUGHLINE_INSTALLATION_TOKENS or `--installation-tokens-file`"
    )]
    Secret,
    #[error("write a name and a token, as `checkout=tl_...`")]
    Token,
}

impl FromStr for InstallationAddress {
    type Err = InvalidInstallation;

    fn from_str(text: &str) -> Result<Self, InvalidInstallation> {
        let text = text.trim();
        let scheme = text.find("://").ok_or(InvalidInstallation::Address)?;
        // An `=` behind the scheme is part of the address.
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if name.len() < scheme => (name.trim(), url.trim()),
            _ => ("", text),
        };
        let url = url.trim_end_matches('/');
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let rest = rest.ok_or(InvalidInstallation::Address)?;
        if rest.contains(['@', '?', '#']) {
            return Err(InvalidInstallation::Secret);
        }
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() || rest.contains(char::is_whitespace) {
            return Err(InvalidInstallation::Address);
        }
        let name = if name.is_empty() { host } else { name };
        Ok(Self {
            name: name.to_owned(),
            url: url.to_owned(),
        })
    }
}

impl FromStr for InstallationToken {
    type Err = InvalidInstallation;

    fn from_str(text: &str) -> Result<Self, InvalidInstallation> {
        let (name, token) = text.split_once('=').ok_or(InvalidInstallation::Token)?;
        let (name, token) = (name.trim(), token.trim());
        if name.is_empty() || token.is_empty() {
            return Err(InvalidInstallation::Token);
        }
        Ok(Self {
            name: name.to_owned(),
            token: token.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String), InvalidInstallation> {
        text.parse()
            .map(|InstallationAddress { name, url }| (name, url))
    }

    #[test]
    fn an_installation_is_an_address_with_or_without_a_name() {
        for (text, name, url) in [
            (
                "checkout=https://slo.example/",
                "checkout",
                "https://slo.example",
            ),
            (" a = http://10.1.2.3:8080 ", "a", "http://10.1.2.3:8080"),
            (
                "https://slo.example/below/",
                "slo.example",
                "https://slo.example/below",
            ),
            ("http://[::1]:8080", "[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(read(text), Ok((name.to_owned(), url.to_owned())), "{text}");
        }
        for text in [
            "",
            "checkout",
            "a=ftp://b",
            "a=https://",
            "slo.example:80",
            "a=http://b c",
        ] {
            assert_eq!(read(text), Err(InvalidInstallation::Address), "{text}");
        }
        for text in ["https://me:tl_a@slo.example", "a=https://b/?token=c"] {
            assert_eq!(read(text), Err(InvalidInstallation::Secret), "{text}");
        }
    }

    #[test]
    fn a_token_has_a_name_and_is_not_shown() {
        let token: InstallationToken = "checkout=tl_secret=".parse().unwrap();
        assert_eq!(token.name, "checkout");
        assert!(!format!("{token:?}").contains("tl_secret"));
        for text in ["tl_secret", "=tl_secret", "checkout="] {
            assert!(text.parse::<InstallationToken>().is_err(), "{text}");
        }
    }
}
