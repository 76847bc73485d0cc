//! Starts writing the metrics of `/metrics` to a receiver of remote write.

use std::net::SocketAddr;

use tokio_util::task::TaskTracker;

use super::{loops::periodic::Periodic, own_hostname};
use crate::{
    config::RemoteWriteConfig,
    remote_write::{RemoteWriteError, RemoteWriteLogin, RemoteWriter},
    web::{WebState, current_metrics},
};

/// Makes the writer if an address is set. `pages` is the address that would be scraped, and so the label
/// `instance`.
pub(super) fn writer(
    config: &RemoteWriteConfig,
    pages: SocketAddr,
) -> Result<Option<RemoteWriter>, RemoteWriteError> {
    let Some(url) = &config.url else {
        return Ok(None);
    };
    let login = config
        .secret_file
        .clone()
        .map(|secret_file| RemoteWriteLogin {
            username: config.username.clone(),
            secret_file,
        });
    let host = own_hostname().unwrap_or_else(|| pages.ip().to_string());
    RemoteWriter::new(url, login, format!("{host}:{}", pages.port())).map(Some)
}

pub(super) fn spawn(
    tasks: &TaskTracker,
    periodic: Periodic,
    config: &RemoteWriteConfig,
    writer: RemoteWriter,
    pages: WebState,
) {
    tasks.spawn(periodic.run("remote_write", config.interval, move |now| {
        let (writer, pages) = (writer.clone(), pages.clone());
        async move { Ok(writer.write(&current_metrics(&pages).await?, now).await?) }
    }));
}
