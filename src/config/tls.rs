//! Settings of TLS.

use std::path::PathBuf;

use clap::Args;

/// The certificate of the pages, of every command that serves them.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct PagesTlsConfig {
    /// Certificate chain of pages, API and metrics, in PEM. The files of TLS are read again when they
    /// change
    #[arg(
        long,
        env = "THROUGHLINE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Private key of `--tls-cert`, in PEM
    #[arg(
        long,
        env = "THROUGHLINE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsConfig {
    #[command(flatten)]
    pub pages: PagesTlsConfig,
    /// Certificate chain of both OTLP ports, in PEM
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_TLS_CERT",
        value_name = "FILE",
        requires = "otlp_tls_key"
    )]
    pub otlp_tls_cert: Option<PathBuf>,
    /// Private key of `--otlp-tls-cert`, in PEM
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_TLS_KEY",
        value_name = "FILE",
        requires = "otlp_tls_cert"
    )]
    pub otlp_tls_key: Option<PathBuf>,
    /// CA certificates, in PEM, by which client certificates are verified on the OTLP ports. If set,
    /// every sender needs a client certificate
    #[arg(
        long,
        env = "THROUGHLINE_OTLP_CLIENT_CA",
        value_name = "FILE",
        requires = "otlp_tls_cert"
    )]
    pub otlp_client_ca: Option<PathBuf>,
}
