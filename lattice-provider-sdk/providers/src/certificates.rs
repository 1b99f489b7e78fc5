//! The setting `ca-file` of all providers that connect to a server with TLS.
//!
//! It names a file with the certificates of authorities, in PEM. They are trusted in place of those
//! of the system.

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

/// Returns the content of the file that `ca-file` names: certificates that can be used, in PEM.
///
/// # Errors
/// Fails with what is wrong, which never repeats a part of the file: it may be a key.
pub(crate) fn authorities(file: &HostPath) -> Result<Vec<u8>, Refusal> {
    let unusable = |reason: &str| {
        Refusal::new(format!(
            "`ca-file` {} can't be used: {reason}; it must have the certificates of authorities, \
             as PEM blocks `BEGIN CERTIFICATE`",
            file.display()
        ))
    };
    let mut pem = file
        .read(LARGEST)
        .map_err(|error| unusable(&error.to_string()))?;
    if pem.starts_with(MARK) {
        pem.drain(..MARK.len());
    }
    check(&pem).map_err(unusable)?;
    Ok(pem)
}

fn check(pem: &[u8]) -> Result<(), &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "a block is damaged")?;
        let added = roots.add(certificate);
        added.map_err(|_| "a block isn't a certificate of an authority")?;
    }
    if roots.is_empty() {
        return Err("there is no such block");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use std::fs;

    fn authority() -> String {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&key).expect("a certificate").pem()
    }

    #[test]
    fn files_of_every_editor_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = HostPath::from(folder.path().join("ca.pem"));
        let two = authority() + &authority();
        for text in [
            two.clone(),
            two.replace('\n', "\r\n"),
            format!("\u{feff}{two}"),
        ] {
            fs::write(&file, &text).expect("written");
            let pem = authorities(&file).expect("certificates");
            assert_eq!(CertificateDer::pem_slice_iter(&pem).flatten().count(), 2);
        }
    }

    #[test]
    fn a_wrong_file_is_refused_by_name_and_not_repeated() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = "-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----\n";
        let other = "-----BEGIN CERTIFICATE-----\nU0VDUkVU\n-----END CERTIFICATE-----\n";
        for (name, content, expected) in [
            ("absent", None, "No such file"),
            (".", None, "it isn't a regular file"),
            ("key", Some(key.to_owned()), "there is no such block"),
            ("other", Some(other.to_owned()), "isn't a certificate"),
            (
                "cut",
                Some(authority().replace("-----END", "U0VDUkVU")),
                "damaged",
            ),
            ("large", Some(" ".repeat((4 << 20) + 1)), "more than 4 MiB"),
        ] {
            let file = HostPath::from(folder.path().join(name));
            if let Some(content) = content {
                fs::write(&file, content).expect("written");
            }
            let refusal = authorities(&file).expect_err(name);
            let reason = refusal.reason();
            assert!(reason.starts_with("`ca-file` /"), "{reason}");
            assert!(reason.contains(expected), "{name}: {reason}");
            assert!(!reason.contains("U0VDUkVU"), "{reason}");
        }
    }
}
