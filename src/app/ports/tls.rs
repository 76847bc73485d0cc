//! The certificates of the ports, which are read again when their files change.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use tokio::sync::Mutex;

use crate::{
    config::{PagesTlsConfig, TlsConfig},
    server::tls::{Reload, Tls, TlsFiles, TlsReloader},
};

/// The TLS configuration of each port; `None` for a port that is not encrypted.
#[derive(Debug, Default)]
pub(in crate::app) struct PortTls {
    pub(in crate::app) pages: Option<Tls>,
    pub(in crate::app) otlp: Option<Tls>,
    pub(in crate::app) reloaders: TlsReloaders,
}

/// The reloaders of all certificates. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::app) struct TlsReloaders(Arc<Mutex<Vec<TlsReloader>>>);

impl PortTls {
    pub(in crate::app) async fn load(config: &TlsConfig) -> anyhow::Result<Self> {
        let mut reloaders = Vec::new();
        let pages = load_pages(&config.pages, &mut reloaders).await?;
        let (certificate, key) = (config.otlp_tls_cert.as_ref(), config.otlp_tls_key.as_ref());
        let otlp = files(certificate, key, config.otlp_client_ca.as_ref());
        let otlp = load(otlp, &mut reloaders).await.context(
            "no TLS for OTLP: correct `--otlp-tls-cert`, `--otlp-tls-key` and `--otlp-client-ca`",
        )?;
        Ok(Self {
            pages,
            otlp,
            reloaders: TlsReloaders(Arc::new(Mutex::new(reloaders))),
        })
    }

    /// Loads the certificate of the pages alone.
    pub(in crate::app) async fn of_pages(config: &PagesTlsConfig) -> anyhow::Result<Self> {
        let mut reloaders = Vec::new();
        Ok(Self {
            pages: load_pages(config, &mut reloaders).await?,
            otlp: None,
            reloaders: TlsReloaders(Arc::new(Mutex::new(reloaders))),
        })
    }
}

impl TlsReloaders {
    /// Reads all files. A certificate that cannot be used is logged, and the previous one stays
    /// active.
    pub(in crate::app) async fn reload(self) -> anyhow::Result<()> {
        for reloader in self.0.lock().await.iter_mut() {
            let reload = reloader.reload().await;
            let certificate = reloader.files().certificate.display();
            match reload {
                Ok(Reload::Unchanged) => {}
                Ok(Reload::Changed) => tracing::info!(%certificate, "a new certificate is used"),
                Err(error) => {
                    tracing::error!("the certificate that was read before stays in use: {error}");
                }
            }
        }
        Ok(())
    }
}

async fn load_pages(
    config: &PagesTlsConfig,
    reloaders: &mut Vec<TlsReloader>,
) -> anyhow::Result<Option<Tls>> {
    let files = files(config.tls_cert.as_ref(), config.tls_key.as_ref(), None);
    let loaded = load(files, reloaders).await;
    loaded.context("no TLS for pages: correct `--tls-cert` and `--tls-key`")
}

fn files(
    certificate: Option<&PathBuf>,
    key: Option<&PathBuf>,
    client_ca: Option<&PathBuf>,
) -> Option<TlsFiles> {
    Some(TlsFiles {
        certificate: certificate?.clone(),
        key: key?.clone(),
        client_ca: client_ca.cloned(),
    })
}

async fn load(
    files: Option<TlsFiles>,
    reloaders: &mut Vec<TlsReloader>,
) -> anyhow::Result<Option<Tls>> {
    let Some(files) = files else {
        return Ok(None);
    };
    let (tls, reloader) = Tls::load(files).await?;
    reloaders.push(reloader);
    Ok(Some(tls))
}
