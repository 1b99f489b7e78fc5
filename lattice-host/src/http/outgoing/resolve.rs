//! From names to addresses.

use super::hosts_file;
use futures_util::future::{BoxFuture, FutureExt};
use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, LazyLock},
};
use tokio::sync::Semaphore;

/// Lookups that may run at once in this process. Each takes a thread until the system's resolver
/// gives up, and tokio has 512 of these for everything.
const MOST_LOOKUPS: usize = 64;
/// Lookups of one link that may run at once, so that names that don't resolve don't hold up others.
const MOST_OF_A_LINK: usize = 8;

static LOOKUPS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MOST_LOOKUPS)));

/// Finds the addresses of names.
pub(super) trait Resolve: Send + Sync + 'static {
    /// Returns the addresses of `name`, in the order in which they should be tried.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system.
pub(super) struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(MOST_OF_A_LINK)),
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let (name, own) = (name.to_owned(), self.lookups.clone());
        async move {
            let own = own.acquire_owned().await.map_err(io::Error::other)?;
            let any = LOOKUPS.clone().acquire_owned().await;
            let any = any.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                // For as long as the thread is taken, also when nobody waits any more.
                let _taken = (own, any);
                let known = hosts_file::known(&name);
                if !known.is_empty() {
                    return Ok(known);
                }
                let found = (absolute(&name).as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        }
        .boxed()
    }
}

/// Returns the name with the dot that says that it is whole, so that the search domains of the
/// machine don't make another name of it.
fn absolute(name: &str) -> String {
    format!("{name}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_system_knows_the_own_host() {
        let found = SystemResolver::default().resolve("localhost").await;
        let found = found.expect("resolved");
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn search_domains_have_no_part_in_a_name() {
        assert_eq!(absolute("api.example"), "api.example.");
        assert_eq!(absolute("api"), "api.");
    }
}
