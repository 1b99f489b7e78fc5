//! The TLS configuration of a connection. It is created here so that a bad file is a typed error
//! and no process-wide crypto provider is needed: with two providers compiled in, rustls's own
//! choice would panic.

use super::{ConnectError, options::ClientCertificate, options::TlsOptions};
use async_nats::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject},
    },
};
use std::{io, path::Path, sync::Arc};

const CERTIFICATES: &str = "certificates";
const CERTIFICATES_HINT: &str = "it must be PEM text with `BEGIN CERTIFICATE` blocks";
const KEY: &str = "private key";
const KEY_HINT: &str =
    "it must be PEM text with one `BEGIN PRIVATE KEY` block that belongs to the client certificate";

/// Reads the files. Blocks.
pub(super) fn client_config(options: &TlsOptions) -> Result<ClientConfig, ConnectError> {
    let roots = roots(&options.roots)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| ConnectError::Tls {
            servers: "any server".to_owned(),
            source: Box::new(source),
        })?
        .with_root_certificates(roots);
    match &options.client {
        None => Ok(builder.with_no_client_auth()),
        Some(ClientCertificate { chain, key }) => {
            let certificates = certificates(chain)?;
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| pem_error(key, KEY, KEY_HINT, error))?;
            builder
                .with_client_auth_cert(certificates, private)
                .map_err(|error| bad_file(key, KEY, KEY_HINT, Some(Box::new(error))))
        }
    }
}

/// Loads the given authorities, or the system's when none are given.
fn roots(files: &[std::path::PathBuf]) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    if files.is_empty() {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a system certificate was skipped");
        }
        roots.add_parsable_certificates(found.certs);
    }
    for file in files {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| {
                bad_file(file, CERTIFICATES, CERTIFICATES_HINT, Some(Box::new(error)))
            })?;
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error(path, CERTIFICATES, CERTIFICATES_HINT, error))?;
    if found.is_empty() {
        return Err(bad_file(path, CERTIFICATES, CERTIFICATES_HINT, None));
    }
    Ok(found)
}

fn pem_error(
    path: &Path,
    expected: &'static str,
    hint: &'static str,
    error: PemError,
) -> ConnectError {
    match error {
        // A binary file in place of text is the wrong file, not an unreadable one.
        PemError::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
            ConnectError::UnreadableFile {
                path: path.to_owned(),
                source,
            }
        }
        other => bad_file(path, expected, hint, Some(Box::new(other))),
    }
}

fn bad_file(
    path: &Path,
    expected: &'static str,
    hint: &'static str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> ConnectError {
    ConnectError::BadFile {
        path: path.to_owned(),
        expected,
        hint,
        source,
    }
}
