//! Authentication: who may speak in a lattice.
//!
//! Every frame and every store value ends in a 16-byte tag. Whoever holds the [`LatticeKey`] can make one, nobody else
//! can, and nothing is decoded before its tag was checked.
//!
//! | suite | tag |
//! | --- | --- |
//! | 0 | zeros: the memory bus, or a bus that was declared trusted |
//! | 1 | first 16 bytes of BLAKE3, keyed with a subkey per lattice and [`Purpose`] |
//!
//! Further numbers are free for per-host keys and sealing. What a tag proves is that a key holder of this lattice made the
//! bytes, for this purpose. It hides nothing, and it does not tell one key holder from another. A tag alone does not stop
//! a recording from being played again: [`ReplayGuard`](crate::replay::ReplayGuard) does.

mod key;
#[cfg(feature = "os")]
mod os;
mod suite;

pub use key::{KeyError, LatticeKey};
pub use suite::{Auth, Purpose, SUITE_KEYED, SUITE_NONE, TAG_LEN};
