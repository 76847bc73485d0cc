//! TLS of a port: certificate and key from files, which are read again when they change.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
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
        self.contents = Some(contents);
        self.config.send_replace(Arc::new(config?));
        Ok(Reload::Changed)
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
        put(folder.path(), "port-new");
        assert_eq!(reloader.reload().await.unwrap(), Reload::Changed);
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
