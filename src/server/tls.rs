//! TLS of a port: certificate and key from files, which are read again when they change.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier},
};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The time limit of a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// The files of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the port's own certificate first.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// If set, clients must show a certificate that one of these issued.
    pub client_ca: Option<PathBuf>,
}

/// The reason why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read `{}`: {source}; check the path and who may read it", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("`{}` has no {what} in PEM: {source}", path.display())]
    NotPem {
        path: PathBuf,
        what: &'static str,
        source: rustls::pki_types::pem::Error,
    },
    #[error("`{}` has no certificate: write the port's own one first, then those of its issuers", .0.display())]
    NoCertificate(PathBuf),
    #[error("the certificate `{}` and its key cannot be used: {source}", certificate.display())]
    Unusable {
        certificate: PathBuf,
        source: rustls::Error,
    },
    #[error("the certificates `{}` of clients cannot be used: {source}", path.display())]
    ClientCa {
        path: PathBuf,
        source: VerifierBuilderError,
    },
}

/// Accepts TLS on the connections of a port. Clones share the certificate.
#[derive(Clone)]
pub struct Tls(watch::Receiver<Arc<ServerConfig>>);

/// Reloads the files.
pub struct TlsReloader {
    files: TlsFiles,
    /// As last read, used or not; `None` if they could not be read.
    contents: Option<TlsContents>,
    config: watch::Sender<Arc<ServerConfig>>,
    times: Option<CertificateTimes>,
}

/// When a certificate is valid, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateTimes {
    pub not_before: u64,
    pub not_after: u64,
}

/// The result of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Unchanged,
    Changed,
}

#[derive(PartialEq, Eq)]
struct TlsContents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    pub async fn load(files: TlsFiles) -> Result<(Self, TlsReloader), TlsError> {
        let contents = files.read().await?;
        let config = files.config(&contents)?;
        let (config, current) = watch::channel(Arc::new(config));
        let reloader = TlsReloader {
            times: files.times(&contents)?,
            files,
            contents: Some(contents),
            config,
        };
        Ok((Self(current), reloader))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.0.borrow()));
        timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await?
    }
}

impl TlsReloader {
    /// Applies the files if they have changed. If they cannot be used, the previous certificate
    /// stays active, and the error is returned once.
    pub async fn reload(&mut self) -> Result<Reload, TlsError> {
        let contents = match self.files.read().await {
            Ok(contents) => contents,
            Err(error) => {
                let is_known = self.contents.take().is_none();
                return if is_known {
                    Ok(Reload::Unchanged)
                } else {
                    Err(error)
                };
            }
        };
        if self.contents.as_ref() == Some(&contents) {
            return Ok(Reload::Unchanged);
        }
        let config = self.files.config(&contents);
        let times = self.files.times(&contents);
        self.contents = Some(contents);
        self.config.send_replace(Arc::new(config?));
        self.times = times?;
        Ok(Reload::Changed)
    }

    /// Returns when the certificate in use is valid; of its chain that of the part that expires first.
    pub fn times(&self) -> Option<CertificateTimes> {
        self.times
    }

    pub fn files(&self) -> &TlsFiles {
        &self.files
    }
}

impl TlsFiles {
    async fn read(&self) -> Result<TlsContents, TlsError> {
        let client_ca = match &self.client_ca {
            Some(path) => Some(read(path).await?),
            None => None,
        };
        Ok(TlsContents {
            certificate: read(&self.certificate).await?,
            key: read(&self.key).await?,
            client_ca,
        })
    }

    fn times(&self, contents: &TlsContents) -> Result<Option<CertificateTimes>, TlsError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let times = chain.iter().filter_map(CertificateTimes::of);
        Ok(times.min_by_key(|times| times.not_after))
    }

    fn config(&self, contents: &TlsContents) -> Result<ServerConfig, TlsError> {
        let unusable = |source| TlsError::Unusable {
            certificate: self.certificate.clone(),
            source,
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let source = |source| TlsError::ClientCa {
                    path: path.clone(),
                    source,
                };
                let roots = Arc::new(roots(path, pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().map_err(source)?)
            }
            _ => builder.with_no_client_auth(),
        };
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key);
        let key = key.map_err(|source| TlsError::NotPem {
            path: self.key.clone(),
            what: "private key",
            source,
        })?;
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl CertificateTimes {
    /// Returns the times in a certificate. rustls has no function for them, but names them where a
    /// certificate is not valid, as each is at the beginning and at the end of time; nothing is
    /// verified before that.
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = ParsedCertificate::try_from(certificate).ok()?;
        let not_after = match verify_at(&certificate, u64::MAX) {
            Some(CertificateError::ExpiredContext { not_after, .. }) => not_after.as_secs(),
            _ => return None,
        };
        let not_before = match verify_at(&certificate, 0) {
            Some(CertificateError::NotValidYetContext { not_before, .. }) => not_before.as_secs(),
            _ => 0,
        };
        Some(Self {
            not_before,
            not_after,
        })
    }
}

/// Verifies a certificate against no authority, and returns the error.
fn verify_at(certificate: &ParsedCertificate<'_>, secs: u64) -> Option<CertificateError> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(secs));
    let authorities = RootCertStore::empty();
    let verified =
        verify_server_cert_signed_by_trust_anchor(certificate, &authorities, &[], now, &[]);
    match verified {
        Err(rustls::Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = tokio::fs::read(path).await;
    read.map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|source| TlsError::NotPem {
        path: path.to_owned(),
        what: "certificate",
        source,
    })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Unusable {
                certificate: path.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// Omits the key.
impl fmt::Debug for TlsReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsReloader").field(&self.files).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

    fn put(folder: &Path, fixture: &str) {
        for part in ["cert", "key"] {
            let from = format!("{FIXTURES}/{fixture}.{part}.pem");
            fs::copy(from, folder.join(part)).unwrap();
        }
    }

    fn files(folder: &Path) -> TlsFiles {
        TlsFiles {
            certificate: folder.join("cert"),
            key: folder.join("key"),
            client_ca: None,
        }
    }

    #[tokio::test]
    async fn changed_files_are_used_once_both_fit() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "port-old");
        let (tls, mut reloader) = Tls::load(files(folder.path())).await.unwrap();
        assert_eq!(reloader.reload().await.unwrap(), Reload::Unchanged);
        let old = Arc::clone(&tls.0.borrow());
        let times = reloader.times();
        assert!(times.is_some_and(|times| times.not_after > 4_000_000_000));
        let certificate = format!("{FIXTURES}/port-new.cert.pem");
        fs::copy(certificate, folder.path().join("cert")).unwrap();
        let error = reloader.reload().await.unwrap_err();
        assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
        assert_eq!(
            reloader.reload().await.unwrap(),
            Reload::Unchanged,
            "the error is returned once"
        );
        assert!(Arc::ptr_eq(&old, &tls.0.borrow()));
        assert_eq!(reloader.times(), times);
        put(folder.path(), "port-expired");
        assert_eq!(reloader.reload().await.unwrap(), Reload::Changed);
        assert_eq!(
            reloader.times(),
            Some(CertificateTimes {
                not_before: 1_704_067_200,
                not_after: 1_706_745_600,
            })
        );
        assert!(!Arc::ptr_eq(&old, &tls.0.borrow()));
        fs::remove_file(folder.path().join("key")).unwrap();
        assert!(reloader.reload().await.is_err());
        assert_eq!(reloader.reload().await.unwrap(), Reload::Unchanged);
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Tls::load(files(folder.path()))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("cert`: No such file"), "{error}");
        put(folder.path(), "port-old");
        fs::write(folder.path().join("key"), "no key").unwrap();
        let error = Tls::load(files(folder.path()))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("key` has no private key in PEM"), "{error}");
        fs::write(folder.path().join("cert"), "").unwrap();
        let error = Tls::load(files(folder.path()))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("cert` has no certificate"), "{error}");
    }
}
