//! Resources, streams and futures, between a provider and its clients on an in-memory lattice.

mod pipes;
mod relay;
mod resources;
mod streams;

use lattice_core::link::Link;
use lattice_provider_sdk::{
    Call, Caller, Lattice, Own, ServeHandle, Stateless, StreamReader, serve,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

lattice_provider_sdk::provider!({ path: "tests/wit-flow", world: "flowing" });

use test::flow::{
    pipes::PipesClient,
    store::{self, Entry, Error, Lookup, Store, StoreClient},
};

/// How many of something there are.
#[derive(Clone, Default)]
struct Live(Arc<AtomicU32>);

impl Live {
    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    fn one(&self) -> One {
        self.0.fetch_add(1, Ordering::SeqCst);
        One(self.clone())
    }
}

/// One of them.
struct One(Live);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Buckets {
    live: Live,
    sources: Live,
    handles: usize,
}

struct Bucket {
    name: String,
    entries: Mutex<BTreeMap<String, String>>,
    changed: Notify,
    _live: One,
}

impl Stateless for Buckets {
    type World = World;

    fn handles(&self) -> usize {
        self.handles
    }
}

impl Buckets {
    fn bucket(&self, name: String) -> Bucket {
        Bucket {
            name,
            entries: Mutex::default(),
            changed: Notify::new(),
            _live: self.live.one(),
        }
    }
}

impl store::Bucket<Buckets> for Bucket {
    async fn get(&self, _: &Call<Buckets>, key: String) -> Option<String> {
        self.entries.lock().expect("no panic").get(&key).cloned()
    }

    async fn set(&self, _: &Call<Buckets>, key: String, value: String) {
        self.entries.lock().expect("no panic").insert(key, value);
        self.changed.notify_waiters();
    }

    async fn copy_to(&self, _: &Call<Buckets>, other: &Bucket) -> u32 {
        let entries = self.entries.lock().expect("no panic").clone();
        let count = entries.len();
        other.entries.lock().expect("no panic").extend(entries);
        count as u32
    }

    async fn wait_for(&self, call: &Call<Buckets>, key: String) -> String {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(value) = self.get(call, key.clone()).await {
                return value;
            }
            changed.await;
        }
    }

    async fn keys(&self, _: &Call<Buckets>) -> StreamReader<String> {
        let keys: Vec<_> = self
            .entries
            .lock()
            .expect("no panic")
            .keys()
            .cloned()
            .collect();
        StreamReader::new(futures_util::stream::iter(keys))
    }
}

impl Store for Buckets {
    type Bucket = Bucket;

    async fn new_bucket(&self, _: &Call<Self>, name: String) -> Bucket {
        self.bucket(name)
    }

    async fn bucket_open(&self, _: &Call<Self>, name: String) -> Result<Bucket, Error> {
        match name.as_str() {
            "none" => Err(Error::NoSuchBucket(name)),
            _ => Ok(self.bucket(name)),
        }
    }

    async fn find(&self, _: &Call<Self>, name: String) -> Option<Bucket> {
        (name != "none").then(|| self.bucket(name))
    }

    async fn all(&self, call: &Call<Self>, names: Vec<String>) -> Vec<Entry<Own<Bucket>>> {
        let mut all = Vec::new();
        for name in names {
            all.push(self.make_entry(call, name).await);
        }
        all
    }

    async fn make_entry(&self, _: &Call<Self>, name: String) -> Entry<Own<Bucket>> {
        Entry {
            bucket: self.bucket(name.clone()).into(),
            name,
        }
    }

    async fn count(&self, _: &Call<Self>, buckets: Vec<lattice_provider_sdk::Lent<Bucket>>) -> u32 {
        let entries = buckets
            .iter()
            .map(|bucket| bucket.entries.lock().expect("no panic").len());
        entries.sum::<usize>() as u32
    }

    async fn look_up(
        &self,
        call: &Call<Self>,
        lookup: Lookup<lattice_provider_sdk::Lent<Bucket>>,
    ) -> Option<String> {
        store::Bucket::get(&*lookup.bucket, call, lookup.key).await
    }

    async fn close(&self, _: &Call<Self>, bucket: Bucket) -> String {
        bucket.name.clone()
    }

    async fn close_all(&self, _: &Call<Self>, entries: Vec<Entry<Own<Bucket>>>) -> Vec<String> {
        let names = entries
            .into_iter()
            .map(|entry| entry.bucket.into_inner().name.clone());
        names.collect()
    }

    async fn live(&self, _: &Call<Self>) -> u32 {
        self.live.count()
    }
}

/// A provider of buckets, and a client.
struct Served {
    lattice: Lattice,
    serving: Option<ServeHandle>,
    live: Live,
    sources: Live,
    store: StoreClient<Caller>,
    pipes: PipesClient<Caller>,
}

async fn served() -> Served {
    served_within(100).await
}

/// Serves a provider of whose resources others may hold so many.
async fn served_within(handles: usize) -> Served {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let (live, sources) = (Live::default(), Live::default());
    let buckets = Buckets {
        live: live.clone(),
        sources: sources.clone(),
        handles,
    };
    let serving = serve(&lattice, "buckets", buckets).await.expect("served");
    link(&lattice, "app", store::INTERFACE.name(), "buckets").await;
    link(
        &lattice,
        "app",
        test::flow::pipes::INTERFACE.name(),
        "buckets",
    )
    .await;
    let caller = lattice.caller("app").expect("an id");
    Served {
        serving: Some(serving),
        live,
        sources,
        store: StoreClient::new(caller.clone()),
        pipes: PipesClient::new(caller),
        lattice,
    }
}

async fn link(lattice: &Lattice, source: &str, interface: &str, target: &str) {
    let link = Link::new(source, interface, target).expect("valid");
    lattice.links().put(link).await.expect("put");
}

/// Waits until there are so many of something.
async fn until(live: &Live, count: u32) {
    let reached = async {
        while live.count() != count {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(5), reached).await;
    assert!(reached.is_ok(), "{} and not {count}", live.count());
}
