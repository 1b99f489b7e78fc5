//! Secrets: values that are sealed in the store with the lattice's key.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lattice_core::{Lattice, auth::LatticeKey};
//!
//! let lattice = Lattice::in_memory("dev").key(LatticeKey::generate()).await?;
//! let secrets = lattice.secrets();
//! secrets.set("db.password", b"enigma").await?;
//! let value = secrets.open("db.password")?;
//! assert_eq!(value.expose(), b"enigma");
//! assert_eq!(format!("{value:?}"), "***");
//!
//! secrets.set("db.password", b"changed").await?;
//! assert_eq!(secrets.open("db.password")?.expose(), b"changed");
//! secrets.delete("db.password").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//! * The store, the bus and snapshots on disk have a secret only sealed. Its name and its length
//!   can be seen, and every holder of the lattice's key can open it: each host can.
//! * A secret is in every process's copy of the store, and is opened only by
//!   [`open`](Secrets::open). A changed value is opened as soon as the copy has it, which is before
//!   [`set`](Secrets::set) returns in the process that set it, and milliseconds later in others.
//! * A record that can't be read is frozen, as those of desired state are: the last value that was
//!   read stays in effect, and [`list`](Secrets::list) says what is wrong.
//! * A process without the store opens what its copy has.

mod error;
mod reader;
mod write;

pub use error::SecretError;

use crate::{
    Lattice,
    auth::Auth,
    links::Writer,
    name::{IntoName, SecretName},
    quantity::ByteSize,
    store::{Revision, StoreKey},
};
use reader::SecretReader;
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// The largest secret. Every process of the lattice has all of them in memory.
pub const MAX_SECRET: ByteSize = ByteSize::kib(64);

/// The secrets of a lattice, from [`Lattice::secrets`]. Cheap to clone.
#[derive(Clone)]
pub struct Secrets {
    writer: Writer,
    auth: Auth,
    reader: Arc<SecretReader>,
}

/// A secret as it is listed: without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretEntry {
    /// Its name.
    pub name: SecretName,
    /// The write that set the value which is in effect; `None` if none was ever read here.
    pub revision: Option<Revision>,
    /// What is wrong with the record in the store, and what to do about it, if it can't be read.
    pub unreadable: Option<Arc<str>>,
}

/// The value of a secret. It is never printed, and is wiped from memory when it is dropped.
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl Lattice {
    /// Returns the API for the lattice's secrets.
    pub fn secrets(&self) -> Secrets {
        let connection = self.connection();
        Secrets {
            writer: Writer {
                records: connection.records.clone(),
                replica: connection.replica.clone(),
            },
            auth: connection.auth.clone(),
            reader: SecretReader::of(&connection.replica),
        }
    }
}

impl Secrets {
    /// Sets the value of a secret, which is made if it doesn't exist.
    ///
    /// # Errors
    /// Fails with a [`SecretError`]: [`NoKey`](SecretError::NoKey) if the lattice has no key,
    /// [`TooLarge`](SecretError::TooLarge) if the value has more than [`MAX_SECRET`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the secret was set.
    pub async fn set(
        &self,
        name: impl IntoName<SecretName>,
        value: &[u8],
    ) -> Result<(), SecretError> {
        let name = name.into_name()?;
        let size = ByteSize::bytes(value.len() as u64);
        if size > MAX_SECRET {
            return Err(SecretError::TooLarge { name, size });
        }
        self.check()?;
        self.put(&name, value).await
    }

    /// Deletes a secret.
    ///
    /// # Errors
    /// Fails with a [`SecretError`]: [`NotFound`](SecretError::NotFound) if there is none.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the secret was deleted.
    pub async fn delete(&self, name: impl IntoName<SecretName>) -> Result<(), SecretError> {
        self.take_away(&name.into_name()?).await
    }

    /// Returns every secret as this process knows it now, in the order of their names.
    pub fn list(&self) -> Vec<SecretEntry> {
        let table = self.reader.table(&self.writer.replica);
        let entry = |(name, known): (&SecretName, &reader::Known)| SecretEntry {
            name: name.clone(),
            revision: known.value.as_ref().map(|(revision, _)| *revision),
            unreadable: known.unreadable.clone(),
        };
        table.iter().map(entry).collect()
    }

    /// Returns the value of a secret, as this process's copy of the store has it now. Cheap enough
    /// for each use: a changed secret is seen by the next call.
    ///
    /// # Errors
    /// Fails with a [`SecretError`]: [`NotFound`](SecretError::NotFound) if there is none, and
    /// [`Unreadable`](SecretError::Unreadable) if it was never read here.
    pub fn open(&self, name: impl IntoName<SecretName>) -> Result<SecretValue, SecretError> {
        let name = name.into_name()?;
        self.check()?;
        let table = self.reader.table(&self.writer.replica);
        let Some(known) = table.get(&name) else {
            return Err(SecretError::NotFound { name });
        };
        let Some((_, sealed)) = &known.value else {
            let reason = known.unreadable.as_deref().unwrap_or_default().to_owned();
            return Err(SecretError::Unreadable { name, reason });
        };
        match sealed.open(&self.auth, &StoreKey::secret(&name)) {
            Some(value) => Ok(SecretValue(value)),
            None => Err(SecretError::Unreadable {
                name,
                reason: "its value is damaged; set it again".to_owned(),
            }),
        }
    }

    /// Checks that this lattice can have secrets.
    ///
    /// # Errors
    /// Fails with [`SecretError::NoKey`].
    pub fn check(&self) -> Result<(), SecretError> {
        match self.auth.suite() {
            crate::auth::SUITE_NONE => Err(SecretError::NoKey),
            _ => Ok(()),
        }
    }
}

impl SecretValue {
    /// Returns the bytes. Keep them out of logs and errors.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes to keep. They are wiped from memory when they are dropped.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}
