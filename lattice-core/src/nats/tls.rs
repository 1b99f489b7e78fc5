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
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

/// The most bytes that are read of a file. The certificates of all public authorities together have
/// less than one MiB.
const MAX_FILE: u64 = 16 << 20;
/// The byte order mark, which some editors write at the start of a text. The parser would not
/// recognize the first block behind it.
const MARK: &[u8] = b"\xef\xbb\xbf";

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
            let private = PrivateKeyDer::from_pem_slice(without_mark(&read(key)?))
                .map_err(|error| pem_error(key, KEY, KEY_HINT, &error))?;
            builder
                .with_client_auth_cert(certificates, private)
                .map_err(|error| bad_file(key, KEY, KEY_HINT, Some(Box::new(error))))
        }
    }
}

/// Loads the given authorities, or the system's when none are given.
fn roots(files: &[PathBuf]) -> Result<RootCertStore, ConnectError> {
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
    let found = CertificateDer::pem_slice_iter(without_mark(&read(path)?))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem_error(path, CERTIFICATES, CERTIFICATES_HINT, &error))?;
    if found.is_empty() {
        return Err(bad_file(path, CERTIFICATES, CERTIFICATES_HINT, None));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(|source| ConnectError::UnreadableFile {
            path: path.to_owned(),
            source,
        })?;
    Ok(bytes)
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// The parser's own messages repeat a line of the file. If the line breaks of a private key are
/// lost, that line is the whole key.
fn pem_error(
    path: &Path,
    expected: &'static str,
    hint: &'static str,
    error: &PemError,
) -> ConnectError {
    let reason = match error {
        PemError::MissingSectionEnd { .. } => {
            "a block has no end; its first and its last line, with `BEGIN` and `END`, are lines of their own"
        }
        PemError::IllegalSectionStart { .. } => "the first line of a block is damaged",
        PemError::Base64Decode(_) => "a block isn't valid Base64",
        PemError::NoItemsFound => "there is no such block",
        _ => "a block can't be read",
    };
    bad_file(path, expected, hint, Some(reason.into()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_proto::error::chain;
    use rcgen::{CertificateParams, KeyPair};

    /// Returns a certificate and its key, as PEM.
    fn identity() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["client".to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// Reads a client certificate and its key from files with these contents.
    fn read_client(certificate: &str, key: &str) -> Result<ClientConfig, ConnectError> {
        let folder = tempfile::tempdir().expect("a folder");
        let (chain, private) = (folder.path().join("c.pem"), folder.path().join("c.key"));
        std::fs::write(&chain, certificate).expect("written");
        std::fs::write(&private, key).expect("written");
        client_config(&TlsOptions {
            roots: vec![chain.clone()],
            client: Some(ClientCertificate {
                chain,
                key: private,
            }),
            ..TlsOptions::default()
        })
    }

    #[test]
    fn files_of_every_editor_are_read() {
        let (certificate, key) = identity();
        let forms: [fn(&str) -> String; 4] = [
            str::to_owned,
            |text| format!("\u{feff}{text}"),
            |text| text.replace('\n', "\r\n"),
            |text| format!("\u{feff}# A comment.\r\n\r\n{text}\r\n"),
        ];
        for form in forms {
            let read = read_client(&form(&certificate), &form(&key));
            assert!(read.is_ok(), "{:?}: {read:?}", form("…"));
        }
    }

    #[test]
    fn no_line_of_a_file_with_a_key_is_repeated() {
        let (certificate, _) = identity();
        let secret = "SECRET".repeat(10);
        for key in [
            format!("-----BEGIN PRIVATE KEY-----{secret}-----END PRIVATE KEY-----"),
            format!("-----BEGIN PRIVATE KEY-----\\n{secret}\\n-----END PRIVATE KEY-----\\n"),
            format!("-----BEGIN PRIVATE KEY {secret}\n-----END PRIVATE KEY-----\n"),
            format!("-----BEGIN {secret}-----\n{secret}\n"),
            format!("-----BEGIN PRIVATE KEY-----\n{secret}!\n-----END PRIVATE KEY-----\n"),
            secret.clone(),
        ] {
            for (certificate, key) in [(&certificate, &key), (&key, &key)] {
                let error = read_client(certificate, key).expect_err(key);
                assert!(matches!(error, ConnectError::BadFile { .. }), "{error:?}");
                let text = format!("{} {error:?}", chain(&error));
                // As text, and as the numbers of its bytes.
                for part in ["SECRET", "83, 69, 67, 82"] {
                    assert!(!text.contains(part), "{text}");
                }
            }
        }
    }
}
