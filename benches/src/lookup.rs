//! One host with a provider, and an actor that reads one of its values again and again.

use crate::{Failure, guests::Guest};
use lattice_core::{Lattice, client::Caller, link::Link};
use lattice_host::{Actor, Host, Instances};
use lattice_provider_sdk::IntoService;
use std::{num::NonZeroUsize, time::Duration};

mod generated {
    lattice_provider_sdk::client!({
        path: "guests/lookup",
        inline: "
            package lattice-bench:reading;
            world native {
                import lattice-bench:lookup/lookup@0.1.0;
                import wasi:keyvalue/store@0.2.0-draft;
            }
        ",
    });
}

pub use generated::{
    lattice_bench::lookup::lookup::LookupClient, wasi::keyvalue::store::StoreClient,
};

/// The interface through which an actor is requested to read.
pub const LOOKUP: &str = "lattice-bench:lookup/lookup@0.1.0";
/// The interface of buckets.
pub const STORE: &str = "wasi:keyvalue/store@0.2.0-draft";
/// The interface of databases.
pub const DATABASE: &str = "lattice:sql/database@0.1.0";

/// Calls that the actor serves at a time. Each has an instance, because the interfaces of providers
/// have plain functions.
pub const IN_FLIGHT: usize = 64;

/// A host with both, on an in-memory lattice. Dropping this ends everything.
#[derive(Debug)]
pub struct LookupScene {
    lookup: LookupClient<Caller>,
    driver: Caller,
    _host: Host,
    _lattice: Lattice,
}

impl LookupScene {
    /// Starts a provider, and an actor that is linked to it by `interface`.
    ///
    /// # Errors
    /// Fails when the guest has not been built, or a component does not start.
    pub async fn start(
        guest: Guest,
        interface: &str,
        provider: impl IntoService + Send,
    ) -> Result<Self, Failure> {
        let lattice = Lattice::in_memory("bench").await?;
        let reader = Actor::from_file(guest.path()?).instances(instances());
        let host = Host::builder(&lattice)
            .provider("store", provider)
            .actor("reader", reader);
        let host = host.start().await?;
        for link in [
            Link::new("driver", LOOKUP, "reader")?,
            Link::new("driver", interface, "store")?,
            Link::new("reader", interface, "store")?,
        ] {
            lattice.links().put(link).await?;
        }
        let driver = host.node().caller("driver")?;
        Ok(Self {
            lookup: LookupClient::new(driver.clone()),
            driver,
            _host: host,
            _lattice: lattice,
        })
    }

    /// Returns a client with which native code on the same host makes the actor read.
    pub fn lookup(&self) -> &LookupClient<Caller> {
        &self.lookup
    }

    /// Sets a value of a key-value store.
    ///
    /// # Errors
    /// Fails when the store doesn't take it.
    pub async fn set(&self, bucket: &str, key: &str, value: &[u8]) -> Result<(), Failure> {
        let refused = |error| format!("a value was not set: {error:?}");
        let store = StoreClient::new(self.driver.clone());
        let bucket = store.open(bucket).await?.map_err(refused)?;
        bucket.set(key, value).await?.map_err(refused)?;
        Ok(())
    }
}

fn instances() -> Instances {
    Instances::Warm {
        most: NonZeroUsize::MIN.saturating_add(IN_FLIGHT - 1),
        idle: Duration::from_mins(1),
    }
}
