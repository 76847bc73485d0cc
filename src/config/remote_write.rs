//! Settings of remote write.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::duration;

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Remote write")]
pub struct RemoteWriteConfig {
    /// Address to which every replica writes its metrics by Prometheus remote write 1.0, such as
    /// `https://mimir.example/api/v1/push`. Not needed if Prometheus scrapes `/metrics`
    #[arg(
        id = "remote_write_url",
        long = "remote-write-url",
        env = "THROUGHLINE_REMOTE_WRITE_URL",
        value_name = "URL"
    )]
    pub url: Option<String>,
    /// How often metrics are written
    #[arg(
        id = "remote_write_interval",
        long = "remote-write-interval",
        env = "THROUGHLINE_REMOTE_WRITE_INTERVAL",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = duration
    )]
    pub interval: Duration,
    /// User of basic authentication
    #[arg(
        id = "remote_write_username",
        long = "remote-write-username",
        env = "THROUGHLINE_REMOTE_WRITE_USERNAME",
        value_name = "USER",
        requires_all = ["remote_write_url", "remote_write_secret_file"]
    )]
    pub username: Option<String>,
    /// File with the password of `--remote-write-username` or, without that setting, with a bearer
    /// token. It is read at every write, so another program may renew it
    #[arg(
        id = "remote_write_secret_file",
        long = "remote-write-secret-file",
        env = "THROUGHLINE_REMOTE_WRITE_SECRET_FILE",
        value_name = "FILE",
        requires = "remote_write_url"
    )]
    pub secret_file: Option<PathBuf>,
}
