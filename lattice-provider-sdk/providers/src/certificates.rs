//! The files of TLS in the settings of all providers that connect to a server.
//!
//! `ca-file` names a file with the certificates of authorities, in PEM. They are trusted in place
//! of those of the system. `cert-file` names one with the provider's own certificate and those that
//! lead to its authority, and `cert-key-file` one with the private key of that certificate.

use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::{HostPath, Refusal};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// The largest file. That of a system with all authorities has about 250 KB.
const LARGEST: ByteSize = ByteSize::mib(4);
/// The byte order mark, which some editors write at the start of a text. Parsers don't recognize
/// the first block behind it.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// What is in the file that `ca-file` names.
const AUTHORITIES: Kind = Kind {
    setting: "ca-file",
    content: "the certificates of authorities, as PEM blocks `BEGIN CERTIFICATE`",
};

/// A setting that names a file.
#[derive(Clone, Copy)]
struct Kind {
    setting: &'static str,
    content: &'static str,
}

impl Kind {
    /// Returns the content of a file, without a byte order mark.
    fn read(self, file: &HostPath) -> Result<Vec<u8>, Refusal> {
        let read = file.read(LARGEST);
        let mut pem = read.map_err(|error| self.unusable(file, &error.to_string()))?;
        if pem.starts_with(MARK) {
            pem.drain(..MARK.len());
        }
        Ok(pem)
    }

    /// Returns that a file can't be used. The reason never repeats a part of it: it may be a key.
    fn unusable(self, file: &HostPath, reason: &str) -> Refusal {
        Refusal::new(format!(
            "`{}` {} can't be used: {reason}; it must have {}",
            self.setting,
            file.display(),
            self.content
        ))
    }
}

/// Returns the content of the file that `ca-file` names: certificates that can be used, in PEM.
///
/// # Errors
/// Fails with what is wrong.
#[cfg(any(
    feature = "blobstore-nats",
    feature = "blobstore-s3",
    feature = "keyvalue-nats",
    feature = "keyvalue-redis",
    feature = "messaging-nats"
))]
pub(crate) fn authorities(file: &HostPath) -> Result<Vec<u8>, Refusal> {
    let pem = AUTHORITIES.read(file)?;
    parsed(&pem).map_err(|reason| AUTHORITIES.unusable(file, reason))?;
    Ok(pem)
}

fn parsed(pem: &[u8]) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "a block is damaged")?;
        let added = roots.add(certificate);
        added.map_err(|_| "a block isn't a certificate of an authority")?;
    }
    if roots.is_empty() {
        return Err("there is no such block");
    }
    Ok(roots)
}

/// Returns the files that `cert-file` and `cert-key-file` name, if they do.
///
/// # Errors
/// Fails when there is only one of them.
#[cfg(any(
    feature = "blobstore-nats",
    feature = "keyvalue-nats",
    feature = "messaging-amqp",
    feature = "messaging-nats"
))]
pub(crate) fn identity<'a>(
    cert_file: Option<&'a HostPath>,
    cert_key_file: Option<&'a HostPath>,
) -> Result<Option<[&'a HostPath; 2]>, Refusal> {
    match (cert_file, cert_key_file) {
        (Some(chain), Some(key)) => Ok(Some([chain, key])),
        (None, None) => Ok(None),
        _ => Err(Refusal::new(
            "`cert-file` and `cert-key-file` go together; set both or none",
        )),
    }
}

/// Connections of rustls, for clients that have no TLS of their own.
#[cfg(any(feature = "messaging-amqp", feature = "sql-postgres"))]
pub(crate) mod tls {
    use super::{AUTHORITIES, parsed};
    use lattice_provider_sdk::{HostPath, Refusal};
    use rustls::{
        ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert, crypto::ring,
    };
    use std::sync::Arc;

    /// Returns the authorities of the file that `ca-file` names, or those of the system.
    ///
    /// # Errors
    /// Fails with what is wrong with the file.
    pub(crate) fn roots(ca_file: Option<&HostPath>) -> Result<RootCertStore, Refusal> {
        if let Some(file) = ca_file {
            let pem = AUTHORITIES.read(file)?;
            return parsed(&pem).map_err(|reason| AUTHORITIES.unusable(file, reason));
        }
        let mut roots = RootCertStore::empty();
        // If one of the system's can't be used, the others still are.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Ok(roots)
    }

    /// Begins a config with ring, for servers whose certificates are from these authorities.
    pub(crate) fn trusting(
        roots: RootCertStore,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Refusal> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(roots))
    }

    /// Ends a config with the certificate of `cert-file` and its key of `cert-key-file`.
    ///
    /// # Errors
    /// Fails with what is wrong with one of the files, or when they don't belong together.
    #[cfg(feature = "messaging-amqp")]
    pub(crate) fn identified(
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
        [cert_file, cert_key_file]: [&HostPath; 2],
    ) -> Result<ClientConfig, Refusal> {
        use super::Kind;
        use rustls::pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject as _},
        };
        use zeroize::Zeroizing;
        const CHAIN: Kind = Kind {
            setting: "cert-file",
            content: "the certificate of this provider, as a PEM block `BEGIN CERTIFICATE`",
        };
        const KEY: Kind = Kind {
            setting: "cert-key-file",
            content: "a private key without a password, as a PEM block `BEGIN PRIVATE KEY`",
        };
        let text = CHAIN.read(cert_file)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|_| CHAIN.unusable(cert_file, "a block is damaged"))?;
        if chain.is_empty() {
            return Err(CHAIN.unusable(cert_file, "there is no such block"));
        }
        let text = Zeroizing::new(KEY.read(cert_key_file)?);
        let key = PrivateKeyDer::from_pem_slice(&text);
        let key = key.map_err(|error| {
            let reason = match error {
                pem::Error::NoItemsFound => "there is no such block",
                _ => "a block is damaged",
            };
            KEY.unusable(cert_key_file, reason)
        })?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            Refusal::new(format!(
                "`cert-file` and `cert-key-file` can't be used: {error}; they must be a \
                 certificate and its own key"
            ))
        })
    }
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
