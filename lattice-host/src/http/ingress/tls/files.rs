//! The files of certificates and keys.

use super::{
    certificates::{Loaded, is_server_name},
    validity::Validity,
};
use crate::http::ingress::error::CertificateError;
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    sign::CertifiedKey,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// The certificates of an ingress, as files in PEM: one for all host names, and more for names that
/// have their own.
///
/// The files are read again within seconds when they change. If they can't be used then, the log
/// says so and the certificates from before stay.
///
/// ```
/// use lattice_host::http::{Ingress, TlsFiles};
///
/// let tls = TlsFiles::new("/etc/lattice/tls/all.pem", "/etc/lattice/tls/all.key")
///     .host("shop.example", "/etc/lattice/tls/shop.pem", "/etc/lattice/tls/shop.key");
/// let ingress = Ingress::https("0.0.0.0:443", tls);
/// ```
#[derive(Debug, Clone)]
pub struct TlsFiles {
    fallback: Pair,
    hosts: Vec<(String, Pair)>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// When files were last changed, as far as that is known.
pub(super) type Stamps = Vec<Option<(SystemTime, u64, u64)>>;

impl TlsFiles {
    /// Uses this certificate, with its chain, and this private key for every host name that has no
    /// certificate of its own, and for clients that name none.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            fallback: Pair {
                certificate: certificate.into(),
                key: key.into(),
            },
            hosts: Vec::new(),
        }
    }

    /// Uses another certificate for a host name: `shop.example`, or `*.example` for every name with
    /// one more label. An ingress with two for the same name can't be opened.
    pub fn host(
        mut self,
        name: &str,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        let pair = Pair {
            certificate: certificate.into(),
            key: key.into(),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.hosts.push((name, pair));
        self
    }

    /// Checks the host names.
    pub(super) fn checked(self) -> Result<Arc<Self>, CertificateError> {
        for (at, (name, _)) in self.hosts.iter().enumerate() {
            if !is_server_name(name) {
                return Err(CertificateError::Name { name: name.clone() });
            }
            if self.hosts[..at].iter().any(|(other, _)| other == name) {
                return Err(CertificateError::Twice { name: name.clone() });
            }
        }
        Ok(Arc::new(self))
    }

    /// Reads all files.
    pub(super) fn load(&self) -> Result<Loaded, CertificateError> {
        let fallback = self.fallback.load()?;
        let mut loaded = Loaded::new(fallback.clone());
        let mut all = vec![(&self.fallback, fallback)];
        for (name, pair) in &self.hosts {
            let certified = pair.load()?;
            loaded.insert(name.clone(), certified.clone());
            all.push((pair, certified));
        }
        // Only now, because files of which some can't be used are read again and again.
        for (pair, certified) in all {
            pair.warn_of_time(&certified);
        }
        Ok(loaded)
    }

    /// Returns the error of a read that didn't end.
    pub(super) fn lost(&self, source: io::Error) -> CertificateError {
        CertificateError::Unreadable {
            file: self.fallback.certificate.clone(),
            source,
        }
    }

    /// Returns when the files were last changed.
    pub(super) fn stamps(&self) -> Stamps {
        let pairs = self.hosts.iter().map(|(_, pair)| pair);
        let files = [&self.fallback]
            .into_iter()
            .chain(pairs)
            .flat_map(|pair| [&pair.certificate, &pair.key]);
        files.map(|file| stamp(file)).collect()
    }
}

fn stamp(file: &Path) -> Option<(SystemTime, u64, u64)> {
    let metadata = fs::metadata(file).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some((metadata.modified().ok()?, metadata.len(), inode))
}

impl Pair {
    fn load(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        let no_certificate = || CertificateError::NoCertificate {
            file: self.certificate.clone(),
        };
        let text = read(&self.certificate)?;
        let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|_| no_certificate())?;
        if chain.is_empty() {
            return Err(no_certificate());
        }
        let text = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| CertificateError::NoKey {
            file: self.key.clone(),
        })?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let certified = certified.map_err(|source| CertificateError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })?;
        Ok(Arc::new(certified))
    }

    /// Logs that clients will refuse the certificate now. It is used nevertheless: this machine's
    /// clock may be wrong, and TLS must not be away because of that.
    fn warn_of_time(&self, certified: &CertifiedKey) {
        let file = self.certificate.display();
        let certificate = certified.cert.first();
        let validity = certificate.and_then(|certificate| Validity::of(certificate));
        match validity.map(|validity| validity.at(SystemTime::now())) {
            Some(Ok(())) | None => {}
            Some(Err(why)) => tracing::warn!(
                %file,
                "a certificate {why}, so clients will refuse it; put a current one into the file, which is read again when it changes"
            ),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(file).map_err(|source: io::Error| CertificateError::Unreadable {
        file: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    /// Writes a certificate and its key.
    fn pair(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate");
        let files = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        );
        fs::write(&files.0, certificate.pem()).expect("it is written");
        fs::write(&files.1, key.serialize_pem()).expect("it is written");
        files
    }

    #[test]
    fn a_certificate_and_its_key_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = pair(folder.path(), "a.example");
        let files = TlsFiles::new(&certificate, &key).host("B.example.", &certificate, &key);
        let files = files.checked().expect("good names");
        assert!(files.load().is_ok());
        let before = files.stamps();
        assert!(before.len() == 4 && before.iter().all(Option::is_some));
        fs::remove_file(&key).expect("it is there");
        assert_ne!(files.stamps(), before);
    }

    #[test]
    fn what_cannot_be_used_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = pair(folder.path(), "a.example");
        let (other, other_key) = pair(folder.path(), "b.example");
        let missing = folder.path().join("missing");
        for (certificate, key, says) in [
            (&missing, &key, "check that it exists"),
            (&certificate, &missing, "check that it exists"),
            (&key, &key, "has no certificate"),
            (&certificate, &certificate, "has no private key"),
            (&certificate, &other_key, "belong together"),
            (&other, &key, "belong together"),
        ] {
            let Err(error) = TlsFiles::new(certificate, key).load() else {
                panic!("{says}");
            };
            assert!(error.to_string().contains(says), "{error}");
        }
        let wrong = TlsFiles::new(&certificate, &key).host("a b", &certificate, &key);
        let error = wrong.checked().expect_err("not a name");
        assert!(error.to_string().contains("shop.example"), "{error}");
        let twice = TlsFiles::new(&certificate, &key)
            .host("a.example", &certificate, &key)
            .host("A.example.", &other, &other_key);
        let error = twice.checked().expect_err("a name has one certificate");
        assert!(error.to_string().contains("`a.example` has two"), "{error}");
    }

    #[test]
    fn the_times_of_a_certificate_are_read() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["a".to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(2001, 2, 3);
        params.not_after = date_time_ymd(2051, 2, 3);
        let certificate = params.self_signed(&key).expect("a certificate");
        let validity = Validity::of(certificate.der()).expect("it has times");
        let at = |seconds: u64| {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            validity.at(time)
        };
        assert!(at(981_158_399).is_err_and(|why| why.contains("not valid yet")));
        assert_eq!(at(981_158_400), Ok(()));
        assert_eq!(at(2_558_995_200), Ok(()));
        assert!(at(2_558_995_201).is_err_and(|why| why.contains("has expired")));
    }
}
