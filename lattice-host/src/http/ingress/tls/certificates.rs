//! Which certificate a client gets.

use lattice_core::sync::RwLock;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{collections::HashMap, fmt, sync::Arc};

/// Certificates by host name.
#[derive(Debug)]
pub(super) struct Loaded {
    fallback: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

/// The certificates of an ingress, which may be replaced.
pub(super) struct Certificates(RwLock<Loaded>);

impl Loaded {
    /// Uses one certificate for every host name.
    pub(super) fn new(fallback: Arc<CertifiedKey>) -> Self {
        Self {
            fallback,
            by_name: HashMap::new(),
        }
    }

    /// Uses another one for a name in lower case, or for `*` and a domain.
    pub(super) fn insert(&mut self, name: String, certificate: Arc<CertifiedKey>) {
        self.by_name.insert(name, certificate);
    }

    fn choose(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let own = name.and_then(|name| {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            self.by_name.get(&name).or_else(|| {
                let (_, domain) = name.split_once('.')?;
                self.by_name.get(&format!("*.{domain}"))
            })
        });
        own.unwrap_or(&self.fallback).clone()
    }
}

impl Certificates {
    pub(super) fn new(loaded: Loaded) -> Self {
        Self(RwLock::new(loaded))
    }

    /// Uses these from now on, for new connections.
    pub(super) fn replace(&self, loaded: Loaded) {
        *self.0.write() = loaded;
    }

    /// Returns the certificate for clients that name no host.
    #[cfg(test)]
    pub(super) fn fallback(&self) -> Arc<CertifiedKey> {
        self.0.read().choose(None)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().choose(client.server_name()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// Returns whether it is a name for a certificate: a host name, or `*` and a domain.
pub(super) fn is_server_name(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    name.split('.').all(|label| {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::{crypto::ring, pki_types::PrivateKeyDer};

    fn certificate() -> Arc<CertifiedKey> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(Vec::new()).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let chain = vec![certificate.der().clone()];
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        Arc::new(certified.expect("they belong together"))
    }

    #[test]
    fn a_name_gets_its_own_certificate_and_others_the_one_for_all() {
        let (all, shop, any) = (certificate(), certificate(), certificate());
        let mut loaded = Loaded::new(all.clone());
        loaded.insert("shop.example".to_owned(), shop.clone());
        loaded.insert("*.example".to_owned(), any.clone());
        for (name, expected) in [
            (Some("shop.example"), &shop),
            (Some("Shop.Example."), &shop),
            (Some("other.example"), &any),
            (Some("a.b.example"), &all),
            (Some("example"), &all),
            (Some("unknown"), &all),
            (None, &all),
        ] {
            assert!(Arc::ptr_eq(&loaded.choose(name), expected), "{name:?}");
        }
    }

    #[test]
    fn names_of_certificates_are_checked() {
        for good in ["a", "shop.example", "*.example", "xn--bcher-kva.example"] {
            assert!(is_server_name(good), "{good}");
        }
        for wrong in ["", "*", "*.", "a..b", "a.*.b", "a b", "a:80"] {
            assert!(!is_server_name(wrong), "{wrong}");
        }
    }
}
