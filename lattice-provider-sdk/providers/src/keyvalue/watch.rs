//! Telling components of changes: the links whose source is the provider lead to them.
//!
//! ```text
//! a write ──► waits for room, and locks its keys ──► backend ──► queue of each watch ──► on-set
//! ```
//! So the changes of a key are told in the order in which this provider made them, and none is made
//! that can't be told. A watch is one link. Its changes are told one after the other.

use super::{
    backend::{Backend, Failure},
    config::MAX_BUCKET,
    provider::{Bucket, Shared},
    worlds::watched::wasi::{
        keyvalue_0_2_0_draft::{store as store1, watcher as watcher1},
        keyvalue_0_2_0_draft2::{store as store2, watcher as watcher2},
    },
    write::Write,
};
use crate::problems::{Problems, Topic};
use bytes::Bytes;
use futures_util::StreamExt as _;
use lattice_core::{
    backoff::Backoff,
    call::Ran,
    link::{LinkChange, LinkKey},
    name::InterfaceName,
    sync::{Mutex, RwLock},
};
use lattice_provider_sdk::{CallError, Caller, Instance, Link, Refusal, link_config};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::{self as tokio_sync, OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

/// How much may wait in the queue of a watch, in KiB of values and in changes.
const ROOM: u32 = 16 * 1024;
/// How long a write waits for room.
const BEHIND: Duration = Duration::from_secs(1);
/// How long a watcher may take for a change.
const HANDLE: Duration = Duration::from_secs(10);
/// How long a change is told again, if the watcher can't be called.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pauses between attempts.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(20), Duration::from_secs(1));
/// How many locks there are for keys. Keys share them.
const LOCKS: usize = 64;

/// The config of a link from the provider to a watcher.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WatchConfig {
    /// The bucket, by its name in the backend.
    bucket: String,
    /// What the keys start with. Empty by default.
    #[serde(default)]
    key_prefix: String,
}

/// Returns the JSON schema of the config of links from the provider through `interface`, if these
/// lead to watchers.
pub(super) fn schema(interface: &InterfaceName) -> Option<String> {
    let watchers = [watcher1::INTERFACE.name(), watcher2::INTERFACE.name()];
    let is_watcher = watchers.contains(&&*interface.to_string());
    is_watcher.then(|| serde_json::to_string(&schemars::schema_for!(WatchConfig)).ok())?
}

/// A change of a key.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) key: String,
    /// None if the key was deleted.
    pub(super) value: Option<Bytes>,
}

/// The watches of a provider.
pub(super) struct Watchers {
    watches: RwLock<Vec<Arc<Watch>>>,
    locks: [tokio_sync::Mutex<()>; LOCKS],
    hasher: RandomState,
    /// What is wrong with links to watchers.
    problems: Problems,
    /// Follow the links, one for each component as which the provider is served.
    following: Mutex<Vec<AbortOnDropHandle<()>>>,
}

/// A link to a watcher.
struct Watch {
    key: LinkKey,
    config: WatchConfig,
    room: Arc<Semaphore>,
    queue: mpsc::UnboundedSender<Told>,
    /// Tells the changes. It ends with the watch.
    _task: AbortOnDropHandle<()>,
}

/// A change in a queue, with its room.
struct Told {
    change: Change,
    _room: Option<OwnedSemaphorePermit>,
}

/// A write that is about to be made: its keys are locked, and there is room to tell its changes.
pub(super) struct Telling<'w> {
    watches: Vec<(Arc<Watch>, OwnedSemaphorePermit)>,
    _locks: Vec<tokio_sync::MutexGuard<'w, ()>>,
}

impl WatchConfig {
    fn has(&self, bucket: &str, key: &str) -> bool {
        self.bucket == bucket && key.starts_with(&self.key_prefix)
    }
}

impl Watchers {
    pub(super) fn new() -> Self {
        Self {
            watches: RwLock::new(Vec::new()),
            locks: std::array::from_fn(|_| tokio_sync::Mutex::new(())),
            hasher: RandomState::new(),
            problems: Problems::default(),
            following: Mutex::new(Vec::new()),
        }
    }

    /// Begins to follow the links of the provider.
    pub(super) fn start<B: Backend>(&self, shared: &Arc<Shared<B>>, instance: &Instance) {
        let follow = follow(Arc::downgrade(shared), instance.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(follow));
        self.following.lock().push(task);
    }

    /// Ends all watches.
    pub(super) fn stop(&self) {
        self.following.lock().clear();
        end(&mut self.watches.write(), |_| true);
        self.problems.forget(|_| true);
    }

    /// Returns what is wrong with links to watchers, if something is.
    pub(super) fn health(&self) -> Result<(), Refusal> {
        self.problems.health()
    }

    /// Returns whether somebody watches what a write changes.
    pub(super) fn is_watched(&self, bucket: &str, write: &Write) -> bool {
        let watches = self.watches.read();
        let mut of_bucket = watches.iter().filter(|watch| watch.config.bucket == bucket);
        of_bucket.any(|watch| {
            let keys = write.keys();
            keys.iter().any(|key| watch.config.has(bucket, key))
        })
    }

    /// Waits for room to tell the changes of a write, and locks its keys.
    ///
    /// # Errors
    /// Fails when a watcher is too far behind.
    pub(super) async fn prepare(
        &self,
        bucket: &str,
        write: &Write,
    ) -> Result<Telling<'_>, Failure> {
        let keys = write.keys();
        let watches: Vec<_> = {
            let all = self.watches.read();
            let is_told =
                |watch: &&Arc<Watch>| keys.iter().any(|key| watch.config.has(bucket, key));
            all.iter().filter(is_told).cloned().collect()
        };
        let size: usize = write.sizes().iter().map(|size| size / 1_024).sum();
        let room = u32::try_from(size + keys.len()).unwrap_or(ROOM).min(ROOM);
        let reserved = async {
            let mut reserved = Vec::with_capacity(watches.len());
            for watch in watches {
                // It is closed when the watch has ended, and then there is nothing to tell.
                if let Ok(permit) = watch.room.clone().acquire_many_owned(room).await {
                    reserved.push((watch, permit));
                }
            }
            reserved
        };
        // Before the keys are locked, so that writes don't wait for each other's waits.
        let reserved = tokio::time::timeout(BEHIND, reserved).await;
        let watches = reserved.map_err(|_| Failure::WatchersBehind)?;
        let mut locked: Vec<usize> = keys.iter().map(|key| self.lock_of(bucket, key)).collect();
        // Always in the same order, so that two writes never wait for each other.
        locked.sort_unstable();
        locked.dedup();
        let mut locks = Vec::with_capacity(locked.len());
        for at in locked {
            locks.push(self.locks[at].lock().await);
        }
        Ok(Telling {
            watches,
            _locks: locks,
        })
    }

    fn lock_of(&self, bucket: &str, key: &str) -> usize {
        self.hasher.hash_one((bucket, key)) as usize % LOCKS
    }

    fn put(&self, watch: Watch) {
        let mut watches = self.watches.write();
        end(&mut watches, |known| known.key == watch.key);
        watches.push(Arc::new(watch));
    }

    fn remove(&self, key: &LinkKey) {
        end(&mut self.watches.write(), |watch| watch.key == *key);
    }
}

/// Ends watches. Nothing waits for their room any longer.
fn end(watches: &mut Vec<Arc<Watch>>, is_over: impl Fn(&Watch) -> bool) {
    for watch in watches.extract_if(.., |watch| is_over(watch)) {
        watch.room.close();
    }
}

impl Telling<'_> {
    /// Tells the changes, which were made.
    pub(super) fn tell(self, changes: Vec<Change>) {
        for (watch, permit) in self.watches {
            let is_told = |change: &&Change| change.key.starts_with(&watch.config.key_prefix);
            let told: Vec<_> = changes.iter().filter(is_told).cloned().collect();
            let last = told.len().saturating_sub(1);
            // The last change has the room of all: those before it are told earlier.
            let mut room = Some(permit);
            for (at, change) in told.into_iter().enumerate() {
                let room = if at == last { room.take() } else { None };
                // Fails when the watch has ended.
                let _ = watch.queue.send(Told {
                    change,
                    _room: room,
                });
            }
        }
    }
}

/// Follows the links whose source is the provider.
async fn follow<B: Backend>(shared: Weak<Shared<B>>, instance: Instance) {
    let mut changes = instance.lattice().links().watch();
    while let Some(change) = changes.next().await {
        let entry = change.entry();
        let link = &entry.link;
        if link.source != *instance.id() || Draft::of(link).is_none() {
            continue;
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let watchers = &shared.watchers;
        if !matches!(change, LinkChange::Status { .. }) {
            watchers.problems.forget(|key| *key == *entry.key);
        }
        match &change {
            LinkChange::Removed(_) => {
                watchers.remove(&entry.key);
                continue;
            }
            LinkChange::Status { .. } => {}
            _ => match watch(&shared, &instance, link) {
                Ok(watch) => watchers.put(watch),
                Err(reason) => {
                    watchers.remove(&entry.key);
                    let about = (LinkKey::clone(&entry.key), Topic::Work);
                    watchers.problems.set(about, reason);
                }
            },
        }
        watchers.problems.target(entry);
    }
}

/// Begins to tell changes over a link.
fn watch<B: Backend>(
    shared: &Arc<Shared<B>>,
    instance: &Instance,
    link: &Link,
) -> Result<Watch, String> {
    let config: WatchConfig = link_config(link).map_err(|refusal| {
        format!("{refusal}; its config is `{{\"bucket\": \"…\", \"key-prefix\": \"…\"}}`")
    })?;
    if config.bucket.len() > MAX_BUCKET {
        return Err(format!(
            "the name of a bucket has at most {MAX_BUCKET} bytes"
        ));
    }
    let draft = Draft::of(link).ok_or("it doesn't lead to a watcher")?;
    let caller = instance.caller().via(link.name.clone());
    let (queue, told) = mpsc::unbounded_channel();
    let teller = Teller {
        shared: Arc::downgrade(shared),
        instance: instance.clone(),
        caller: caller.map_err(|error| error.to_string())?,
        draft,
        bucket: config.bucket.as_str().into(),
        key: link.key(),
    };
    Ok(Watch {
        key: link.key(),
        config,
        room: Arc::new(Semaphore::new(ROOM as usize)),
        queue,
        _task: AbortOnDropHandle::new(tokio::spawn(teller.run(told))),
    })
}

/// Which interface a watcher has.
#[derive(Debug, Clone, Copy)]
enum Draft {
    First,
    Second,
}

impl Draft {
    fn of(link: &Link) -> Option<Self> {
        let is = |interface: &str| link.interface.to_string() == interface;
        if is(watcher1::INTERFACE.name()) {
            Some(Self::First)
        } else if is(watcher2::INTERFACE.name()) {
            Some(Self::Second)
        } else {
            None
        }
    }
}

/// Tells the changes of a watch.
struct Teller<B> {
    shared: Weak<Shared<B>>,
    instance: Instance,
    caller: Caller,
    draft: Draft,
    bucket: Arc<str>,
    key: LinkKey,
}

impl<B: Backend> Teller<B> {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<Told>) {
        let mut is_lost = false;
        while let Some(told) = queue.recv().await {
            // A watcher that can't be called for long holds up nobody: changes are tried once then.
            let patience = if is_lost { Duration::ZERO } else { PATIENCE };
            let result = self.tell(&told.change, patience).await;
            if let Err(error) = &result {
                tracing::warn!(link = %self.key, %error, "a watcher wasn't told of a change");
            }
            is_lost = result.is_err_and(|error| error.ran() == Ran::No);
        }
    }

    /// Tells a change, again and again as long as the watcher surely wasn't told.
    async fn tell(&self, change: &Change, patience: Duration) -> Result<(), CallError> {
        let end = Instant::now() + patience;
        let mut failures = 0;
        loop {
            let error = match self.call(change).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            failures += 1;
            let pause = PAUSES.after(failures);
            let is_final = error.ran() != Ran::No || !error.is_retryable();
            if is_final || Instant::now() + pause > end {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn call(&self, change: &Change) -> Result<(), CallError> {
        let Some(shared) = self.shared.upgrade() else {
            return Ok(());
        };
        let bucket = Bucket {
            shared,
            name: self.bucket.clone(),
            is_read_only: false,
        };
        let (key, caller) = (&change.key, self.caller.clone());
        match self.draft {
            Draft::First => {
                let bucket: store1::BucketClient = self.instance.give(bucket)?;
                let watcher = watcher1::WatcherClient::new(caller);
                match &change.value {
                    Some(value) => watcher.on_set(bucket, key, value).timeout(HANDLE).await,
                    None => watcher.on_delete(bucket, key).timeout(HANDLE).await,
                }
            }
            Draft::Second => {
                let bucket: store2::BucketClient = self.instance.give(bucket)?;
                let watcher = watcher2::WatcherClient::new(caller);
                match &change.value {
                    Some(value) => watcher.on_set(bucket, key, value).timeout(HANDLE).await,
                    None => watcher.on_delete(bucket, key).timeout(HANDLE).await,
                }
            }
        }
    }
}
