//! `lattice key`.

use crate::{failure::Failure, output};
use clap::Subcommand;
use lattice_core::auth::LatticeKey;

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Prints a new key. Keep it in a file that only its owner can read
    New,
}

impl Key {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::New => {
                let key = LatticeKey::generate().expose_hex();
                output::print(&key)?;
                output::print("\n")
            }
        }
    }
}
