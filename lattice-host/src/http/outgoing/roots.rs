//! The certificates that servers are checked against.

use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::HostPath;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::{io, path::PathBuf, sync::Arc};

/// The largest file that is read. That of a system with all authorities has about 250 KB.
const LARGEST: ByteSize = ByteSize::mib(4);
/// The byte order mark, which some editors write at the start of a text. The parser doesn't
/// recognize the first block behind it.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootsError {
    #[error("`ca-file` {} can't be used on this host; correct the path, or put the file there", path.display())]
    File { path: PathBuf, source: io::Error },
    // The reason never repeats a part of the file, which may be a key.
    #[error("`ca-file` {} can't be used: {reason}; it must have the certificates of authorities, as PEM blocks `BEGIN CERTIFICATE`", path.display())]
    Content { path: PathBuf, reason: &'static str },
    #[error("reading the certificates was cut off; try again")]
    CutOff,
    #[error("TLS can't be used on this host")]
    Tls(#[from] rustls::Error),
}

/// Returns the settings of TLS, with the certificates of a file or else of the system.
pub(super) async fn tls(file: Option<HostPath>) -> Result<ClientConfig, RootsError> {
    let read = tokio::task::spawn_blocking(move || match file {
        Some(file) => of_file(&file),
        None => Ok(of_system()),
    });
    let roots = read.await.map_err(|_| RootsError::CutOff)??;
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn of_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!(
            "this host has no certificates, so that no server can be reached by HTTPS; install \
             `ca-certificates`, or name a file in the provider's settings as `ca-file`"
        );
    }
    roots
}

fn of_file(file: &HostPath) -> Result<RootCertStore, RootsError> {
    let pem = file.read(LARGEST).map_err(|source| RootsError::File {
        path: file.to_path_buf(),
        source,
    })?;
    let pem = pem.strip_prefix(MARK).unwrap_or(&pem);
    of_pem(pem).map_err(|reason| RootsError::Content {
        path: file.to_path_buf(),
        reason,
    })
}

fn of_pem(pem: &[u8]) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "a block is damaged")?;
        let added = roots.add(certificate);
        added.map_err(|_| "a block isn't a certificate of an authority")?;
    }
    if roots.is_empty() {
        return Err("there is no block");
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::error::chain;

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).expect("a certificate").pem()
    }

    #[tokio::test]
    async fn a_file_takes_the_place_of_the_systems_certificates() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostPath::from(folder.path().join("ca.pem"));
        let two = authority() + &authority();
        for text in [two.clone(), format!("\u{feff}{two}")] {
            std::fs::write(&file, text).expect("written");
            assert_eq!(of_file(&file).expect("certificates").len(), 2);
        }
        assert!(tls(Some(file)).await.is_ok());
        assert!(tls(None).await.is_ok());
    }

    #[tokio::test]
    async fn a_wrong_file_is_refused_by_name_and_not_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        let refusal = async |name: &str| {
            let error = tls(Some(folder.path().join(name).into())).await;
            chain(&error.map(drop).expect_err("refused"))
        };
        let secret = "-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----\n";
        std::fs::write(folder.path().join("key"), secret).expect("written");
        let cut = authority().replace("-----END", "U0VDUkVU");
        std::fs::write(folder.path().join("cut"), cut).expect("written");
        for (name, expected) in [
            ("absent", "No such file"),
            (".", "it isn't a regular file"),
            ("key", "there is no block"),
            ("cut", "damaged"),
        ] {
            let message = refusal(name).await;
            assert!(message.contains(expected), "{name}: {message}");
            assert!(message.contains("`ca-file`") && !message.contains("U0VDUkVU"));
        }
    }
}
