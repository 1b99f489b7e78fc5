//! The wormholes of a lattice: creating, changing, watching, and calling in their name.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lattice_core::{Lattice, wormholes::NewWormhole};
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let wormholes = lattice.wormholes();
//! let (id, spec) = wormholes.create(NewWormhole::new("greeter")?).await?;
//! let host = spec.host.ok_or("it has a name, such as `quiet-harbor-4821`")?;
//! let found = wormholes.table().find(&host, "/hello").map(|wormhole| wormhole.id.clone());
//! assert_eq!(found.as_ref(), Some(&id));
//!
//! wormholes.rename(&id, "shop.example").await?;
//! wormholes.close(&id).await?;
//! assert!(wormholes.table().find("shop.example", "/hello").is_none());
//! wormholes.delete(&id).await?;
//! # Ok(())
//! # }
//! ```

mod addresses;
mod error;
mod names;
mod new;
mod words;
mod write;

pub use addresses::Ingresses;
pub use error::WormholeError;
pub use new::NewWormhole;

#[doc(inline)]
pub use crate::wormhole::{Wormhole, WormholeTable};

use crate::{
    Lattice,
    client::Caller,
    desired::{Desired, WormholeSpec, WormholeState},
    name::{IntoName, WormholeId},
    store::StoreKey,
    watch::Watch,
    wormhole::WormholeReader,
};
use futures_util::{StreamExt as _, stream};
use std::{fmt, sync::Arc};
use write::Writer;

/// The wormholes of a lattice, from [`Lattice::wormholes`]. Cheap to clone.
///
/// Reads come from this process's copy of the store. Writes go to the store, and are in the copy
/// when they return.
#[derive(Clone)]
pub struct Wormholes {
    lattice: Lattice,
    reader: Arc<WormholeReader>,
}

impl Lattice {
    /// Returns the API for the lattice's wormholes, which lead to actors from the outside.
    pub fn wormholes(&self) -> Wormholes {
        Wormholes {
            reader: WormholeReader::of(self.replica()),
            lattice: self.clone(),
        }
    }
}

impl Wormholes {
    /// Returns the wormholes as this process knows them now. Cheap: it takes no lock that is held
    /// for long, and copies nothing.
    pub fn table(&self) -> Arc<WormholeTable> {
        self.reader.table(self.lattice.replica())
    }

    /// Returns a watch of the wormholes as this process knows them. It ends when the store has been
    /// closed.
    pub fn watch(&self) -> Watch<Arc<WormholeTable>> {
        let desired = self.lattice.replica().watch_desired();
        let states = Tables {
            desired,
            wormholes: self.clone(),
            returned: None,
        };
        let states = stream::unfold(states, async |mut states| {
            states.next().await.map(|table| (table, states))
        });
        let wormholes = self.clone();
        Watch::new(move || wormholes.table(), states)
    }

    /// Returns every wormhole, open and closed, in the order of their ids.
    pub fn list(&self) -> Vec<Arc<Wormhole>> {
        self.table().iter().cloned().collect()
    }

    /// Returns a handle for calls in the name of a wormhole. They go to its actor, or to its
    /// verifier if they are made through `lattice:http/verifier`, and only through the interfaces
    /// of HTTP. Both this process and the callee's host check in their own copy of the store that
    /// the wormhole is open and leads there: otherwise, a call fails as
    /// [`WormholeClosed`](crate::call::CallError::WormholeClosed).
    ///
    /// A replica on the caller's own host is preferred.
    pub fn caller(&self, id: &WormholeId) -> Caller {
        self.lattice.wormhole_caller(id.clone())
    }

    /// Returns the record of a wormhole, or `None` if there is none with this id, also if another
    /// process has just written it.
    ///
    /// # Errors
    /// Fails with [`WormholeError::Unreadable`] if the record can't be read, and with
    /// [`WormholeError::Write`] if the store can't be used.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn get(
        &self,
        id: impl IntoName<WormholeId>,
    ) -> Result<Option<WormholeSpec>, WormholeError> {
        let id = id.into_name()?;
        let desired = self.writer().newest(&StoreKey::wormhole(&id)).await?;
        let found = desired.wormholes.get(&id).map(|found| found.spec.clone());
        match desired.unreadable.get(&StoreKey::wormhole(&id)) {
            None => Ok(found),
            Some(unreadable) => Err(WormholeError::unreadable(&id, unreadable)),
        }
    }

    /// Creates a wormhole. Its id and its host name are generated unless they are given: two words
    /// and a number, such as `quiet-harbor-4821`. A generated name was never used before.
    ///
    /// # Errors
    /// Fails with a [`WormholeError`]: [`Exists`](WormholeError::Exists) if the id is taken,
    /// [`HostTaken`](WormholeError::HostTaken) if another wormhole has the host name and path.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the wormhole was created.
    pub async fn create(
        &self,
        new: NewWormhole,
    ) -> Result<(WormholeId, WormholeSpec), WormholeError> {
        let new = new.checked()?;
        self.writer().create(new).await
    }

    /// Lets requests through a wormhole. One that an app declares is open until the app is applied
    /// again, which makes it as the manifest says.
    ///
    /// # Errors
    /// Fails with a [`WormholeError`]: [`NotFound`](WormholeError::NotFound) if there is none.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the wormhole was changed.
    pub async fn open(&self, id: impl IntoName<WormholeId>) -> Result<WormholeSpec, WormholeError> {
        self.update(id, |spec| spec.state = WormholeState::Open)
            .await
    }

    /// Lets no more requests through a wormhole; those that run go on. It keeps its names. One that
    /// an app declares is closed until the app is applied again.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    ///
    /// # Cancel safety
    /// As for [`open`](Self::open).
    pub async fn close(
        &self,
        id: impl IntoName<WormholeId>,
    ) -> Result<WormholeSpec, WormholeError> {
        self.update(id, |spec| spec.state = WormholeState::Closed)
            .await
    }

    /// Gives a wormhole another host name, and keeps the rest. The old name leads nowhere from then
    /// on, and is free: a person may give it to another wormhole, but it is never generated again.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and [`HostTaken`](WormholeError::HostTaken) if another wormhole
    /// has the name and the same path.
    ///
    /// # Cancel safety
    /// As for [`open`](Self::open).
    pub async fn rename(
        &self,
        id: impl IntoName<WormholeId>,
        host: &str,
    ) -> Result<WormholeSpec, WormholeError> {
        self.update(id, |spec| spec.host = Some(host.to_owned()))
            .await
    }

    /// Changes the record of a wormhole. `change` gets the record as it is now, and is called again
    /// if another writer was faster or the answer to a write was lost. The app that owns the
    /// wormhole stays.
    ///
    /// # Errors
    /// As for [`rename`](Self::rename), and [`Rule`](WormholeError::Rule) if a name or a path
    /// breaks its rule.
    ///
    /// # Cancel safety
    /// As for [`open`](Self::open).
    pub async fn update(
        &self,
        id: impl IntoName<WormholeId>,
        change: impl FnMut(&mut WormholeSpec) + Send,
    ) -> Result<WormholeSpec, WormholeError> {
        self.writer().update(&id.into_name()?, change).await
    }

    /// Deletes a wormhole forever. Its names lead nowhere from then on, and are free, as after
    /// [`rename`](Self::rename).
    ///
    /// # Errors
    /// Fails with a [`WormholeError`]: [`NotFound`](WormholeError::NotFound) if there is none, and
    /// [`Owned`](WormholeError::Owned) if an app declares it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves it unknown whether the wormhole was deleted.
    pub async fn delete(&self, id: impl IntoName<WormholeId>) -> Result<(), WormholeError> {
        self.writer().delete(&id.into_name()?).await
    }

    fn writer(&self) -> Writer<'_> {
        Writer::new(self.lattice.connection())
    }
}

/// The tables that a watch returns.
struct Tables {
    desired: Watch<Arc<Desired>>,
    wormholes: Wormholes,
    returned: Option<Arc<WormholeTable>>,
}

impl Tables {
    /// Returns the next table that differs from the last one.
    async fn next(&mut self) -> Option<Arc<WormholeTable>> {
        loop {
            self.desired.next().await?;
            let table = self.wormholes.table();
            let is_known = |last: &Arc<WormholeTable>| Arc::ptr_eq(last, &table);
            if !self.returned.as_ref().is_some_and(is_known) {
                self.returned = Some(table.clone());
                return Some(table);
            }
        }
    }
}

impl fmt::Debug for Wormholes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wormholes")
            .field("lattice", self.lattice.name())
            .finish_non_exhaustive()
    }
}
