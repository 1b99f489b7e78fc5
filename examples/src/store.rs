//! A key-value provider in memory, which serves `lattice:keyvalue/store` to components that are
//! linked to it.

use lattice_provider_sdk::{Bytes, Call, Link, Provider, Refusal, provider};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

// The SDK ships this interface, so its name is enough.
provider!({
    inline: "
        package example:memory@0.1.0;
        world memory {
            import lattice:keyvalue/store@0.1.0;
            export lattice:keyvalue/store@0.1.0;
        }
    ",
});

pub use lattice::keyvalue::store::{Error, KeyPage, Store, StoreClient};

/// The interface that it serves.
pub const STORE: &str = "lattice:keyvalue/store@0.1.0";

/// Longest key in bytes, a limit that most key-value services have.
const MAX_KEY: usize = 1_024;
/// Largest value in bytes.
const MAX_VALUE: usize = 1 << 20;
/// Keys on a page.
const PAGE: usize = 100;

/// The provider. Its maps exist as long as it does.
#[derive(Debug, Default)]
pub struct MemoryStore {
    maps: Mutex<HashMap<String, Map>>,
}

/// The config of a link to the provider. Every field is optional.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The map to use. Links that name the same map share it.
    pub map: String,
    /// How long each call takes, to try out slow providers.
    pub delay_ms: Option<u64>,
}

/// The state of a link.
#[derive(Debug)]
pub struct Binding {
    map: Map,
    delay: Option<Duration>,
}

type Map = Arc<Mutex<BTreeMap<String, Bytes>>>;

impl Provider for MemoryStore {
    type World = World;
    type Config = Config;
    type Binding = Binding;

    async fn link(&self, _: &Link, config: Config) -> Result<Binding, Refusal> {
        let map = lock(&self.maps).entry(config.map).or_default().clone();
        let delay = config.delay_ms.map(Duration::from_millis);
        Ok(Binding { map, delay })
    }
}

impl Store for MemoryStore {
    async fn get(&self, call: &Call<Self>, key: String) -> Result<Option<Bytes>, Error> {
        Ok(entries(call, &key).await?.get(&key).cloned())
    }

    async fn set(&self, call: &Call<Self>, key: String, value: Bytes) -> Result<(), Error> {
        if value.len() > MAX_VALUE {
            return Err(Error::TooLarge(MAX_VALUE as u64));
        }
        entries(call, &key).await?.insert(key, value);
        Ok(())
    }

    async fn delete(&self, call: &Call<Self>, key: String) -> Result<(), Error> {
        entries(call, &key).await?.remove(&key);
        Ok(())
    }

    async fn exists(&self, call: &Call<Self>, key: String) -> Result<bool, Error> {
        Ok(entries(call, &key).await?.contains_key(&key))
    }

    async fn increment(&self, call: &Call<Self>, key: String, delta: i64) -> Result<i64, Error> {
        match entries(call, &key).await?.entry(key) {
            Entry::Vacant(place) => {
                place.insert(delta.to_string().into());
                Ok(delta)
            }
            Entry::Occupied(mut place) => {
                let sum = counter(place.get())?
                    .checked_add(delta)
                    .ok_or(Error::CounterOverflow)?;
                place.insert(sum.to_string().into());
                Ok(sum)
            }
        }
    }

    async fn list_keys(
        &self,
        call: &Call<Self>,
        prefix: String,
        cursor: Option<String>,
    ) -> Result<KeyPage, Error> {
        // A cursor is the last key of the previous page.
        if cursor
            .as_ref()
            .is_some_and(|last| !last.starts_with(&prefix))
        {
            return Err(Error::InvalidCursor);
        }
        let from = cursor.map_or_else(|| Bound::Included(prefix.clone()), Bound::Excluded);
        let entries = entries(call, &prefix).await?;
        let mut keys: Vec<String> = entries
            .range((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(&prefix))
            .take(PAGE + 1)
            .cloned()
            .collect();
        let more = keys.len() > PAGE;
        keys.truncate(PAGE);
        let cursor = more.then(|| keys.last().cloned()).flatten();
        Ok(KeyPage { keys, cursor })
    }
}

/// Returns the map of the call's link. Fails when `key` is invalid.
async fn entries<'c>(
    call: &'c Call<MemoryStore>,
    key: &str,
) -> Result<MutexGuard<'c, BTreeMap<String, Bytes>>, Error> {
    let binding = call.binding();
    if let Some(delay) = binding.delay {
        tokio::time::sleep(delay).await;
    }
    if key.len() > MAX_KEY {
        return Err(Error::InvalidKey(format!("longer than {MAX_KEY} bytes")));
    }
    Ok(lock(&binding.map))
}

fn counter(value: &Bytes) -> Result<i64, Error> {
    let text = std::str::from_utf8(value).map_err(|_| Error::NotACounter)?;
    text.parse().map_err(|_| Error::NotACounter)
}

/// Locks the map. A panic of a holder leaves it consistent, because every change is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_provider_sdk::{CallError, Caller, Lattice, ServeHandle, serve};

    struct Scene {
        lattice: Lattice,
        _serving: ServeHandle,
    }

    impl Scene {
        async fn new() -> Self {
            let lattice = Lattice::in_memory("test").await.expect("a lattice");
            let serving = serve(&lattice, "store", MemoryStore::default())
                .await
                .expect("served");
            Self {
                lattice,
                _serving: serving,
            }
        }

        /// Returns a client over a new link with this name, to the map with this name.
        async fn client(&self, link: &str, map: &str) -> StoreClient<Caller> {
            let config = Config {
                map: map.to_owned(),
                delay_ms: None,
            };
            let grant = Link::new("app", STORE, "store")
                .and_then(|grant| grant.named(link))
                .expect("valid")
                .config(&config)
                .expect("JSON");
            self.lattice.links().put(grant).await.expect("put");
            let caller = self.lattice.caller("app").expect("an id");
            StoreClient::new(caller.via(link).expect("a link name"))
        }
    }

    #[tokio::test]
    async fn values_are_set_and_deleted() -> Result<(), CallError> {
        let scene = Scene::new().await;
        let store = scene.client("default", "").await;
        assert_eq!(store.get("a").await?, Ok(None));
        assert_eq!(store.set("a", b"1").await?, Ok(()));
        assert_eq!(store.get("a").await?, Ok(Some(Bytes::from_static(b"1"))));
        assert_eq!(store.exists("a").await?, Ok(true));
        assert_eq!(store.delete("a").await?, Ok(()));
        assert_eq!(store.exists("a").await?, Ok(false));
        Ok(())
    }

    #[tokio::test]
    async fn counters_increment_and_other_values_are_not_changed() -> Result<(), CallError> {
        let scene = Scene::new().await;
        let store = scene.client("default", "").await;
        assert_eq!(store.increment("n", 2).await?, Ok(2));
        assert_eq!(store.increment("n", -5).await?, Ok(-3));
        assert_eq!(store.get("n").await?, Ok(Some(Bytes::from_static(b"-3"))));
        assert_eq!(
            store.increment("n", i64::MIN).await?,
            Err(Error::CounterOverflow)
        );
        assert_eq!(store.set("t", b"text").await?, Ok(()));
        assert_eq!(store.increment("t", 1).await?, Err(Error::NotACounter));
        assert_eq!(store.increment("n", 0).await?, Ok(-3));
        Ok(())
    }

    #[tokio::test]
    async fn a_link_selects_the_map() -> Result<(), CallError> {
        let scene = Scene::new().await;
        let (one, same) = (
            scene.client("one", "m").await,
            scene.client("same", "m").await,
        );
        let other = scene.client("other", "o").await;
        assert_eq!(one.set("a", b"1").await?, Ok(()));
        assert_eq!(same.exists("a").await?, Ok(true));
        assert_eq!(other.exists("a").await?, Ok(false));
        Ok(())
    }

    #[tokio::test]
    async fn keys_are_listed_page_by_page() -> Result<(), CallError> {
        let scene = Scene::new().await;
        let store = scene.client("default", "").await;
        let mut expected = Vec::new();
        for n in 0..=PAGE {
            expected.push(format!("k/{n:04}"));
            assert_eq!(store.set(&expected[n], b"").await?, Ok(()));
        }
        assert_eq!(store.set("other", b"").await?, Ok(()));
        let first = store.list_keys("k/", None).await?.expect("a first page");
        assert_eq!(first.keys, expected[..PAGE]);
        let rest = store.list_keys("k/", first.cursor.as_deref()).await?;
        let rest = rest.expect("a second page");
        assert_eq!((&rest.keys[..], rest.cursor), (&expected[PAGE..], None));
        assert_eq!(
            store.list_keys("k/", Some("x")).await?,
            Err(Error::InvalidCursor)
        );
        Ok(())
    }

    #[tokio::test]
    async fn oversized_values_are_rejected() -> Result<(), CallError> {
        let scene = Scene::new().await;
        let store = scene.client("default", "").await;
        let key = "k".repeat(MAX_KEY + 1);
        assert!(matches!(store.get(&key).await?, Err(Error::InvalidKey(_))));
        let value = vec![0; MAX_VALUE + 1];
        let refused = store.set("k", &value).await;
        // The bus may have a smaller limit than the provider.
        assert!(
            matches!(
                refused,
                Ok(Err(Error::TooLarge(_))) | Err(CallError::TooLarge { .. })
            ),
            "{refused:?}"
        );
        Ok(())
    }
}
