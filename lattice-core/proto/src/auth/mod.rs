//! Authentication of frames and store values.
//!
//! Every frame, every store value and every token of a portable resource ends in a 16-byte tag.
//! Only holders of the [`LatticeKey`] can make tags, and nothing is decoded before its tag was
//! checked.
//!
//! | suite | tag |
//! | --- | --- |
//! | 0 | zeros: the memory bus, or a bus that was declared trusted |
//! | 1 | first 16 bytes of BLAKE3, keyed with a subkey per lattice and [`Purpose`] |
//!
//! Further numbers are reserved for per-host keys and sealing. A tag proves that a key holder of
//! this lattice made the bytes, for this purpose. It doesn't encrypt the bytes, and it doesn't
//! distinguish one key holder from another. A tag alone doesn't stop recorded frames from being
//! replayed: [`ReplayGuard`](crate::replay::ReplayGuard) does.

mod key;
#[cfg(feature = "os")]
mod os;
mod suite;
mod token;

pub use key::{KeyError, LatticeKey};
pub use suite::{Auth, Purpose, SUITE_KEYED, SUITE_NONE, TAG_LEN};
pub use token::{MAX_TOKEN, SealedToken, TokenError, TokenScope};
