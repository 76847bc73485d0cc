//! The certificates of the ports, which are read again when their files change.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use tokio::sync::{Mutex, watch};

use crate::{
    clock::Clock,
    config::{PagesTlsConfig, TlsConfig},
    domain::{
        health::{CertificateState, PortCertificate},
        model::time::Timestamp,
    },
    server::tls::{Reload, Tls, TlsError, TlsFiles, TlsReloader},
    telemetry::metrics::Metrics,
};

const PAGES: &str = "pages";
/// Both ports of OTLP.
const OTLP: &str = "otlp";

/// The TLS configuration of each port; `None` for a port that is not encrypted.
#[derive(Debug, Default)]
pub(in crate::app) struct PortTls {
    pub(in crate::app) pages: Option<Tls>,
    pub(in crate::app) otlp: Option<Tls>,
    pub(in crate::app) reloaders: TlsReloaders,
}

/// The reloaders of all certificates. Clones share them.
#[derive(Clone, Debug, Default)]
pub(in crate::app) struct TlsReloaders {
    ports: Arc<Mutex<Vec<PortReloader>>>,
    in_use: watch::Sender<Vec<PortCertificate>>,
}

#[derive(Debug)]
struct PortReloader {
    port: &'static str,
    reloader: TlsReloader,
}

impl PortTls {
    pub(in crate::app) async fn load(config: &TlsConfig) -> anyhow::Result<Self> {
        let mut reloaders = Vec::new();
        let pages = load_pages(&config.pages, &mut reloaders).await?;
        let otlp = load(OTLP, otlp_files(config), &mut reloaders);
        let otlp = otlp.await.context(
            "no TLS for OTLP: correct `--otlp-tls-cert`, `--otlp-tls-key` and `--otlp-client-ca`",
        )?;
        Ok(Self {
            pages,
            otlp,
            reloaders: TlsReloaders::new(reloaders),
        })
    }

    /// Loads the certificate of the pages alone.
    pub(in crate::app) async fn of_pages(config: &PagesTlsConfig) -> anyhow::Result<Self> {
        let mut reloaders = Vec::new();
        Ok(Self {
            pages: load_pages(config, &mut reloaders).await?,
            otlp: None,
            reloaders: TlsReloaders::new(reloaders),
        })
    }
}

/// Loads the certificate of each port that has one, by the name of the port.
pub(in crate::app) async fn examine_certificates(
    config: &TlsConfig,
) -> Vec<(&'static str, Result<Option<PortCertificate>, TlsError>)> {
    let mut examined = Vec::new();
    for (port, files) in [
        (PAGES, pages_files(&config.pages)),
        (OTLP, otlp_files(config)),
    ] {
        let Some(files) = files else { continue };
        let loaded = Tls::load(files).await;
        let certificate = loaded.map(|(_, reloader)| PortReloader { port, reloader }.certificate());
        examined.push((port, certificate));
    }
    examined
}

impl PortReloader {
    fn certificate(&self) -> Option<PortCertificate> {
        let times = self.reloader.times()?;
        let at = |secs| Timestamp::from_secs(i64::try_from(secs).unwrap_or(i64::MAX / 1_000_000));
        Some(PortCertificate {
            port: self.port,
            path: self.reloader.files().certificate.display().to_string(),
            valid_from: at(times.not_before),
            expires_at: at(times.not_after),
        })
    }
}

impl TlsReloaders {
    fn new(ports: Vec<PortReloader>) -> Self {
        let in_use: Vec<_> = ports.iter().filter_map(PortReloader::certificate).collect();
        in_use.iter().for_each(warn);
        Self {
            ports: Arc::new(Mutex::new(ports)),
            in_use: watch::Sender::new(in_use),
        }
    }

    /// Returns the certificates in use.
    pub(in crate::app) fn certificates(&self) -> Vec<PortCertificate> {
        self.in_use.borrow().clone()
    }

    /// Exports when the certificates expire.
    pub(in crate::app) fn measure(&self, metrics: &Metrics) {
        for certificate in self.in_use.borrow().iter() {
            let expiry = metrics
                .certificate_expiry
                .with_label_values(&[certificate.port]);
            expiry.set(certificate.expires_at.as_secs_f64());
        }
    }

    /// Reads all files. A certificate that cannot be used is logged, and the previous one stays
    /// active.
    pub(in crate::app) async fn reload(self) -> anyhow::Result<()> {
        let mut ports = self.ports.lock().await;
        for port in ports.iter_mut() {
            let reload = port.reloader.reload().await;
            let certificate = port.reloader.files().certificate.display();
            match reload {
                Ok(Reload::Unchanged) => {}
                Ok(Reload::Changed) => {
                    tracing::info!(%certificate, "a new certificate is used");
                    port.certificate().iter().for_each(warn);
                }
                Err(error) => {
                    tracing::error!("the previous certificate stays in use: {error}");
                }
            }
        }
        let in_use = ports.iter().filter_map(PortReloader::certificate);
        self.in_use.send_replace(in_use.collect());
        Ok(())
    }
}

/// Logs a certificate that clients refuse, or soon will.
fn warn(certificate: &PortCertificate) {
    let now = Clock::System.now();
    if certificate.state(now) != CertificateState::Valid {
        tracing::warn!("{}", certificate.sentence(now).trim_end_matches('.'));
    }
}

async fn load_pages(
    config: &PagesTlsConfig,
    reloaders: &mut Vec<PortReloader>,
) -> anyhow::Result<Option<Tls>> {
    let loaded = load(PAGES, pages_files(config), reloaders).await;
    loaded.context("no TLS for pages: correct `--tls-cert` and `--tls-key`")
}

fn pages_files(config: &PagesTlsConfig) -> Option<TlsFiles> {
    files(config.tls_cert.as_ref(), config.tls_key.as_ref(), None)
}

fn otlp_files(config: &TlsConfig) -> Option<TlsFiles> {
    let (certificate, key) = (config.otlp_tls_cert.as_ref(), config.otlp_tls_key.as_ref());
    files(certificate, key, config.otlp_client_ca.as_ref())
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
    port: &'static str,
    files: Option<TlsFiles>,
    reloaders: &mut Vec<PortReloader>,
) -> anyhow::Result<Option<Tls>> {
    let Some(files) = files else {
        return Ok(None);
    };
    let (tls, reloader) = Tls::load(files).await?;
    reloaders.push(PortReloader { port, reloader });
    Ok(Some(tls))
}
