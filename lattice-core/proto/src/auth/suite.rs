//! Auth suites: how tags are made and checked.
//!
//! ```text
//! subkey(purpose) = BLAKE3 derive_key(context of the purpose,
//!                                     lattice key (32 bytes) · lattice name)
//! tag(purpose, p1 … pn) = first 16 bytes of BLAKE3 keyed with subkey(purpose) over
//!                         p1 · … · pn · len(p1) · … · len(pn-1)
//!                         lengths as u64, little endian
//! ```
//! A purpose always tags the same number of parts, so the lengths show where each part ends.

use super::LatticeKey;
use crate::{key::StoreKey, name::LatticeName};
use std::{fmt, sync::Arc};
use zeroize::{Zeroize, Zeroizing};

/// Length of a tag in bytes. 128 bits are too many to guess.
pub const TAG_LEN: usize = 16;
/// No authentication: tags are zeros.
pub const SUITE_NONE: u8 = 0;
/// BLAKE3 keyed with subkeys of the lattice key.
pub const SUITE_KEYED: u8 = 1;

const FRAME_CONTEXT: &str = "lattice mesh 2026-11-22 suite 1 frame";
const STORE_CONTEXT: &str = "lattice mesh 2026-11-22 suite 1 store value";
const TOKEN_CONTEXT: &str = "lattice mesh 2026-11-22 suite 1 resource token";
const SECRET_CONTEXT: &str = "lattice mesh 2026-11-22 suite 1 sealed secret";
const KEY_ID_CONTEXT: &str = "lattice mesh 2026-11-22 suite 1 key id";

/// The purpose of a tag. Each purpose has its own subkey, so that a tag made for one is invalid
/// for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// A message on the bus.
    Frame,
    /// A value in the store.
    Store,
    /// The token of a portable resource.
    Token,
}

/// Makes and checks the tags of one lattice. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Option<Arc<Subkeys>>);

struct Subkeys {
    key_id: u8,
    frame: [u8; 32],
    store: [u8; 32],
    token: [u8; 32],
    secret: [u8; 32],
}

impl Auth {
    /// Authenticates with suite 1. The lattice's name is part of the subkeys, so two lattices that
    /// share a key don't accept each other's frames.
    pub fn keyed(lattice: &LatticeName, key: &LatticeKey) -> Self {
        let mut material = Zeroizing::new(Vec::with_capacity(32 + lattice.as_str().len()));
        material.extend_from_slice(key.bytes());
        material.extend_from_slice(lattice.as_str().as_bytes());
        Self(Some(Arc::new(Subkeys {
            key_id: key_id(key),
            frame: blake3::derive_key(FRAME_CONTEXT, &material),
            store: blake3::derive_key(STORE_CONTEXT, &material),
            token: blake3::derive_key(TOKEN_CONTEXT, &material),
            secret: blake3::derive_key(SECRET_CONTEXT, &material),
        })))
    }

    /// Trusts every client of the bus and the store: suite 0.
    pub fn trusting() -> Self {
        Self(None)
    }

    /// Returns the number of the suite.
    pub fn suite(&self) -> u8 {
        match self.0 {
            None => SUITE_NONE,
            Some(_) => SUITE_KEYED,
        }
    }

    /// Returns a number that distinguishes keys and reveals nothing about them: 1 to 255, or 0
    /// without a key.
    pub fn key_id(&self) -> u8 {
        self.0.as_ref().map_or(0, |keys| keys.key_id)
    }

    /// Returns the key by which the secret at a key of the store is sealed, or `None` if the
    /// lattice has no key. It is BLAKE3, keyed with the subkey for secrets, over the text of that
    /// key.
    #[doc(hidden)]
    pub fn secret_key(&self, at: &StoreKey) -> Option<Zeroizing<[u8; 32]>> {
        let keys = self.0.as_ref()?;
        let key = blake3::keyed_hash(&keys.secret, at.as_str().as_bytes());
        Some(Zeroizing::new(*key.as_bytes()))
    }

    /// Returns the tag over `parts`.
    pub fn tag(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        if let Some(keys) = &self.0 {
            tag.copy_from_slice(&keys.hash(purpose, parts).as_bytes()[..TAG_LEN]);
        }
        tag
    }

    /// Returns whether `tag` is the tag over `parts`. The comparison takes constant time.
    #[must_use]
    pub fn verify(&self, purpose: Purpose, parts: &[&[u8]], tag: &[u8]) -> bool {
        if tag.len() != TAG_LEN {
            return false;
        }
        let Some(keys) = &self.0 else {
            return tag.iter().all(|byte| *byte == 0);
        };
        let hash = keys.hash(purpose, parts);
        let mut claimed = *hash.as_bytes();
        claimed[..TAG_LEN].copy_from_slice(tag);
        // Hashes compare in constant time.
        hash == blake3::Hash::from_bytes(claimed)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Auth(suite {}, key {:#04x})",
            self.suite(),
            self.key_id()
        )
    }
}

impl Subkeys {
    fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> blake3::Hash {
        let key = match purpose {
            Purpose::Frame => &self.frame,
            Purpose::Store => &self.store,
            Purpose::Token => &self.token,
        };
        if let [part] = parts {
            return blake3::keyed_hash(key, part);
        }
        let mut hasher = blake3::Hasher::new_keyed(key);
        for part in parts {
            hasher.update(part);
        }
        for part in &parts[..parts.len().saturating_sub(1)] {
            hasher.update(&(part.len() as u64).to_le_bytes());
        }
        hasher.finalize()
    }
}

impl Drop for Subkeys {
    fn drop(&mut self) {
        self.frame.zeroize();
        self.store.zeroize();
        self.token.zeroize();
        self.secret.zeroize();
    }
}

fn key_id(key: &LatticeKey) -> u8 {
    blake3::derive_key(KEY_ID_CONTEXT, key.bytes())[0].max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SecretName;

    fn auth(lattice: &str, key: u8) -> Auth {
        let key = LatticeKey::from_hex(&hex::encode([key; 32])).expect("a key");
        Auth::keyed(&LatticeName::new(lattice).expect("a name"), &key)
    }

    #[test]
    fn golden_tags() {
        let auth = auth("prod", 7);
        assert_eq!(auth.key_id(), 0x22);
        assert_eq!(
            hex::encode(auth.tag(Purpose::Frame, &[b"a frame"])),
            "dbb092e4cc93d67e66dce64c64e38a4c"
        );
        assert_eq!(
            hex::encode(auth.tag(Purpose::Store, &[b"one", b"", b"three"])),
            "4abc4d0edb538a04d3133c2452f78ab0"
        );
    }

    #[test]
    fn a_tag_depends_on_lattice_key_purpose_and_boundaries() {
        let parts: &[&[u8]] = &[b"ab", b"c"];
        let tag = auth("prod", 7).tag(Purpose::Store, parts);
        assert!(auth("prod", 7).verify(Purpose::Store, parts, &tag));
        assert!(!auth("test", 7).verify(Purpose::Store, parts, &tag));
        assert!(!auth("prod", 8).verify(Purpose::Store, parts, &tag));
        assert!(!auth("prod", 7).verify(Purpose::Frame, parts, &tag));
        assert!(!auth("prod", 7).verify(Purpose::Store, &[b"a", b"bc"], &tag));
        assert!(!auth("prod", 7).verify(Purpose::Store, &[b"ab", b"d"], &tag));
    }

    #[test]
    fn every_bit_of_a_tag_is_checked() {
        let auth = auth("prod", 7);
        let tag = auth.tag(Purpose::Frame, &[b"x"]);
        for bit in 0..TAG_LEN * 8 {
            let mut forged = tag;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!auth.verify(Purpose::Frame, &[b"x"], &forged), "bit {bit}");
        }
        for length in 0..TAG_LEN {
            assert!(!auth.verify(Purpose::Frame, &[b"x"], &tag[..length]));
        }
        assert!(!auth.verify(Purpose::Frame, &[b"x"], &[0; TAG_LEN]));
    }

    #[test]
    fn without_a_key_tags_are_zeros() {
        let auth = Auth::trusting();
        assert_eq!((auth.suite(), auth.key_id()), (SUITE_NONE, 0));
        assert_eq!(auth.tag(Purpose::Frame, &[b"x"]), [0; TAG_LEN]);
        assert!(auth.verify(Purpose::Frame, &[b"x"], &[0; TAG_LEN]));
        assert!(!auth.verify(Purpose::Frame, &[b"x"], &[1; TAG_LEN]));
        assert!(!auth.verify(Purpose::Frame, &[b"x"], &[]));
    }

    #[test]
    fn the_key_of_a_secret_is_golden_and_another_one_for_each() {
        let name = |text| StoreKey::secret(&SecretName::new(text).expect("a name"));
        let key = |auth: Auth, text| auth.secret_key(&name(text)).map(|key| hex::encode(*key));
        let golden = "f9768281ab14100ce4f3147b8b03f41d5e5a5f1565c1fdc2244553e6824aa6ed";
        assert_eq!(key(auth("prod", 7), "db.password").as_deref(), Some(golden));
        for (other, text) in [
            (auth("prod", 8), "db.password"),
            (auth("test", 7), "db.password"),
            (auth("prod", 7), "db.passwore"),
        ] {
            assert_ne!(key(other, text).as_deref(), Some(golden));
        }
        assert_eq!(key(Auth::trusting(), "db.password"), None);
    }

    #[test]
    fn keys_are_never_printed_and_never_have_id_zero() {
        let text = format!("{:?}", auth("prod", 7));
        assert!(text.len() < 32 && !text.contains("0707"), "{text}");
        for key in 0..=255 {
            assert_ne!(auth("prod", key).key_id(), 0);
        }
    }
}
