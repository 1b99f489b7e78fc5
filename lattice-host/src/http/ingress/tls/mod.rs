//! TLS: certificates from files, chosen by host name, and reloaded when the files change.
//!
//! Which certificate a client gets depends only on the host name that it asks for and on the
//! configured names. It never depends on wormholes, so that TLS says nothing about which of them
//! exist.

mod certificates;
mod files;
mod validity;

pub use files::TlsFiles;

use super::error::IngressError;
use certificates::Certificates;
use files::Stamps;
use lattice_core::error::chain;
use rustls::{ServerConfig, crypto::ring, version};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const RELOAD: Duration = Duration::from_secs(2);

/// TLS of one ingress. Dropping it ends the task that reloads the certificates.
pub(super) struct Tls {
    pub(super) acceptor: TlsAcceptor,
    _reloading: JoinSet<()>,
}

impl Tls {
    /// Loads the certificates.
    pub(super) async fn open(files: TlsFiles, address: &str) -> Result<Self, IngressError> {
        let files = files.checked()?;
        let (stamps, loaded) = load(files.clone()).await;
        let certificates = Arc::new(Certificates::new(loaded?));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|source| IngressError::Tls {
                address: address.to_owned(),
                source,
            })?;
        let mut config = config
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut reloading = JoinSet::new();
        reloading.spawn(reload(files, stamps, certificates));
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            _reloading: reloading,
        })
    }
}

type Loaded = Result<certificates::Loaded, super::error::CertificateError>;

/// Reads the files, and their state before that: a change while they are read is seen later.
async fn load(files: Arc<TlsFiles>) -> (Stamps, Loaded) {
    let read = {
        let files = files.clone();
        move || (files.stamps(), files.load())
    };
    let read = tokio::task::spawn_blocking(read).await;
    // A read that was lost is made again with the next look, because no file has such a state.
    read.unwrap_or_else(|lost| (Stamps::new(), Err(files.lost(lost.into()))))
}

/// Reloads the certificates whenever their files have changed. If they can't be used, the ones from
/// before stay, and the files are read again at every tick: what was wrong may be corrected without
/// a change of the files, such as by new permissions.
async fn reload(files: Arc<TlsFiles>, mut last: Stamps, certificates: Arc<Certificates>) {
    let mut ticks = interval(RELOAD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Why the files could not be used, as the log has it.
    let mut failure: Option<String> = None;
    loop {
        ticks.tick().await;
        let now = {
            let files = files.clone();
            tokio::task::spawn_blocking(move || files.stamps()).await
        };
        if failure.is_none() && now.is_ok_and(|now| now == last) {
            continue;
        }
        let (stamps, loaded) = load(files.clone()).await;
        let is_changed = stamps != last;
        last = stamps;
        match loaded {
            Ok(loaded) => {
                failure = None;
                certificates.replace(loaded);
                tracing::info!("the certificates of an ingress were reloaded");
            }
            Err(error) => {
                let error = chain(&error);
                if is_changed || failure.as_ref() != Some(&error) {
                    tracing::error!(
                        error,
                        "new certificates of an ingress can't be used; the ones from before stay until the files are corrected"
                    );
                }
                failure = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::{
        fs::{self, File},
        path::Path,
        time::SystemTime,
    };

    /// Writes a file that looks as if it had been changed at `time`.
    fn write(file: &Path, text: &str, time: SystemTime) {
        fs::write(file, text).expect("it is written");
        let file = File::options().write(true).open(file);
        let changed = file.and_then(|file| file.set_modified(time));
        changed.expect("its time is set");
    }

    /// Returns a certificate and its key in PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["a.example".to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_could_not_be_used_are_read_again_without_a_change_of_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let (certificate_file, key_file) = (path("a.pem"), path("a.key"));
        let now = SystemTime::now();
        let (certificate, key) = pair();
        write(&certificate_file, &certificate, now);
        write(&key_file, &key, now);
        let files = Arc::new(TlsFiles::new(&certificate_file, &key_file));
        let (stamps, loaded) = load(files.clone()).await;
        let certificates = Arc::new(Certificates::new(loaded.expect("they are good")));
        let before = certificates.fallback();
        let mut reloading = JoinSet::new();
        reloading.spawn(reload(files.clone(), stamps, certificates.clone()));

        let (certificate, key) = pair();
        write(&certificate_file, &certificate, now);
        write(&key_file, &"x".repeat(key.len()), now + RELOAD);
        let broken = files.stamps();
        tokio::time::sleep(RELOAD * 3).await;
        assert!(Arc::ptr_eq(&before, &certificates.fallback()));

        write(&key_file, &key, now + RELOAD);
        assert_eq!(files.stamps(), broken, "the change can't be seen");
        tokio::time::sleep(RELOAD * 3).await;
        let good = certificates.fallback();
        assert_ne!(before.cert, good.cert);

        fs::remove_file(&key_file).expect("it is there");
        tokio::time::sleep(RELOAD * 3).await;
        let still = certificates.fallback();
        assert!(Arc::ptr_eq(&good, &still), "a missing file changes nothing");
    }
}
