//! Sealed secrets: the bodies of the records at `secret.<name>`.
//!
//! ```text
//!  0         1          13        …
//! ┌─────────┬──────────┬─────────┬──────────────────────┬──────────┐
//! │ version │ nonce    │ length  │ the value, encrypted │ tag      │
//! │ 1       │ 12 bytes │ varint  │ with ChaCha20        │ 16 bytes │
//! └─────────┴──────────┴─────────┴──────────────────────┴──────────┘
//! key: BLAKE3, keyed with the subkey for secrets, over the key in the store
//! tag: Poly1305, over the version · the key in the store, and the encrypted value
//! ```
//! Each secret has its own key, and each write a random nonce. Who has the store and not the
//! lattice's key learns the name of a secret and how long it is, and nothing more. The record
//! around it is authenticated as every other one.

use super::{StoreKey, record::RecordError};
use crate::value;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version that this one writes, and the newest that it reads.
const VERSION: u8 = 1;
/// Length of a nonce in bytes.
const NONCE: usize = 12;

/// A sealed secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    version: u8,
    nonce: [u8; NONCE],
    sealed: Bytes,
}

impl Sealed {
    /// Reads the body of the record at `key`, and leaves it sealed.
    ///
    /// # Errors
    /// Fails with [`RecordError::Newer`] if a newer version sealed it, and otherwise with
    /// [`RecordError::Malformed`].
    pub(crate) fn read(key: &StoreKey, body: &Bytes) -> Result<Self, RecordError> {
        if let Some(newer) = body.first().filter(|version| **version > VERSION) {
            return Err(RecordError::Newer {
                key: key.clone(),
                found: (*newer).into(),
                newest: VERSION.into(),
            });
        }
        let malformed = |source| RecordError::Malformed {
            key: key.clone(),
            source,
        };
        let sealed: Self = value::from_bytes(body).map_err(malformed)?;
        if sealed.version == VERSION {
            Ok(sealed)
        } else {
            Err(malformed(value::ValueError::BadInteger))
        }
    }
}

/// Shows none of it.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

#[cfg(feature = "secrets")]
mod crypto {
    use super::{NONCE, Sealed, VERSION};
    use crate::{auth::Auth, store::StoreKey};
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
    use zeroize::Zeroizing;

    /// Length of a tag in bytes.
    const TAG: usize = 16;

    impl Sealed {
        /// Seals a value for the record at `key`. Returns `None` if the lattice has no key.
        ///
        /// # Panics
        /// When the operating system provides no randomness.
        pub(crate) fn seal(auth: &Auth, key: &StoreKey, value: &[u8]) -> Option<Self> {
            let mut nonce = [0; NONCE];
            getrandom::fill(&mut nonce).expect("the operating system gives randomness");
            Self::seal_with(auth, key, value, nonce)
        }

        fn seal_with(
            auth: &Auth,
            key: &StoreKey,
            value: &[u8],
            nonce: [u8; NONCE],
        ) -> Option<Self> {
            let cipher = cipher(auth, key)?;
            // All of it is reserved, so that no copy is left behind when it grows.
            let mut bytes = Zeroizing::new(Vec::with_capacity(value.len() + TAG));
            bytes.extend_from_slice(value);
            let unique = Nonce::assume_unique_for_key(nonce);
            let sealed = cipher.seal_in_place_append_tag(unique, bound_to(key), &mut *bytes);
            // It fails only for hundreds of gigabytes.
            sealed.ok()?;
            Some(Self {
                version: VERSION,
                nonce,
                sealed: std::mem::take(&mut *bytes).into(),
            })
        }

        /// Returns the value. Returns `None` if this lattice's key did not seal it for the record
        /// at `key`.
        pub(crate) fn open(&self, auth: &Auth, key: &StoreKey) -> Option<Zeroizing<Vec<u8>>> {
            let cipher = cipher(auth, key)?;
            let mut bytes = Zeroizing::new(self.sealed.to_vec());
            let nonce = Nonce::assume_unique_for_key(self.nonce);
            let value = cipher.open_in_place(nonce, bound_to(key), &mut bytes);
            let length = value.ok()?.len();
            bytes.truncate(length);
            Some(bytes)
        }
    }

    fn cipher(auth: &Auth, key: &StoreKey) -> Option<LessSafeKey> {
        let key = auth.secret_key(key)?;
        // It fails only for a key of another length.
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).ok()?;
        Some(LessSafeKey::new(key))
    }

    fn bound_to(key: &StoreKey) -> Aad<Vec<u8>> {
        Aad::from([&[VERSION], key.as_str().as_bytes()].concat())
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::{
            auth::LatticeKey,
            name::{LatticeName, SecretName},
            store::record::RecordError,
            value,
        };
        use bytes::Bytes;
        use proptest::prelude::*;

        fn auth(lattice: &str, key: u8) -> Auth {
            let key = LatticeKey::from_hex(&hex::encode([key; 32])).expect("a key");
            Auth::keyed(&LatticeName::new(lattice).expect("a name"), &key)
        }

        fn at(name: &str) -> StoreKey {
            StoreKey::secret(&SecretName::new(name).expect("a name"))
        }

        fn encoded(sealed: &Sealed) -> Bytes {
            value::to_bytes(sealed).expect("encodes")
        }

        #[test]
        fn golden_bytes() {
            let nonce = std::array::from_fn(|n| n as u8);
            let key = at("db.password");
            let sealed = Sealed::seal_with(&auth("prod", 7), &key, b"enigma", nonce);
            let sealed = sealed.expect("there is a key");
            // Computed by another implementation.
            let golden = "01000102030405060708090a0b16aba30ca69627a3dffea25c155d5913a634b896eda5f5";
            assert_eq!(hex::encode(encoded(&sealed)), golden);
            let read = Sealed::read(&key, &encoded(&sealed)).expect("just written");
            let opened = read.open(&auth("prod", 7), &key).expect("it is ours");
            assert_eq!(*opened, b"enigma");
            assert_eq!(format!("{read:?}"), "Sealed(…)");
        }

        #[test]
        fn a_secret_opens_only_with_its_key_and_at_its_place() {
            let (ours, key) = (auth("prod", 7), at("a"));
            let sealed = Sealed::seal(&ours, &key, b"enigma").expect("there is a key");
            for (auth, key) in [
                (auth("prod", 8), at("a")),
                (auth("test", 7), at("a")),
                (auth("prod", 7), at("b")),
                (Auth::trusting(), at("a")),
            ] {
                assert_eq!(sealed.open(&auth, &key), None, "{auth:?} {key}");
            }
            assert_eq!(Sealed::seal(&Auth::trusting(), &key, b"enigma"), None);
            let again = Sealed::seal(&ours, &key, b"enigma").expect("there is a key");
            assert_ne!(again, sealed, "each has its own nonce");
        }

        #[test]
        fn a_secret_of_a_newer_version_or_that_is_malformed_is_told_apart() {
            let key = at("a");
            let newer = Sealed::read(&key, &Bytes::from_static(&[2, 1, 2, 3]));
            assert!(
                matches!(newer, Err(RecordError::Newer { found: 2, .. })),
                "{newer:?}"
            );
            for bad in [&b""[..], &[0; 14], &[1; 13], &[1; 40]] {
                let read = Sealed::read(&key, &Bytes::from_static(bad));
                assert!(
                    matches!(read, Err(RecordError::Malformed { .. })),
                    "{bad:?}"
                );
            }
            let empty = Sealed::read(
                &key,
                &Bytes::from_static(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            );
            let opened = empty
                .expect("its fields are there")
                .open(&auth("prod", 7), &key);
            assert_eq!(opened, None, "it has no tag");
        }

        proptest! {
            #[test]
            fn round_trips_and_every_bit_counts(value: Vec<u8>, bit in any::<prop::sample::Index>()) {
                let (ours, key) = (auth("prod", 7), at("a"));
                let sealed = Sealed::seal(&ours, &key, &value).expect("there is a key");
                let bytes = encoded(&sealed);
                let read = Sealed::read(&key, &bytes).expect("just written");
                let opened = read.open(&ours, &key).expect("it is ours");
                prop_assert_eq!(&*opened, &value);
                let mut changed = bytes.to_vec();
                let bit = bit.index(changed.len() * 8);
                changed[bit / 8] ^= 1 << (bit % 8);
                let opened = Sealed::read(&key, &changed.into()).ok().and_then(|read| read.open(&ours, &key));
                prop_assert_eq!(opened, None);
            }

            #[test]
            fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
                let key = at("a");
                if let Ok(read) = Sealed::read(&key, &bytes.into()) {
                    prop_assert_eq!(read.open(&auth("prod", 7), &key), None);
                }
            }
        }
    }
}
