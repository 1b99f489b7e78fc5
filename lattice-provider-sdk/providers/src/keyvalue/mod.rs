//! Key-value: bytes and counters under keys, in buckets.
//!
//! Every backend serves the same interfaces, so that a component can be linked to any of them:
//!
//! | interface | what is in it |
//! | --- | --- |
//! | `wasi:keyvalue@0.2.0-draft` | `store`, `atomics`, `batch`; calls `watcher` |
//! | `wasi:keyvalue@0.2.0-draft2` | `store`, `atomics` with compare and swap, `batch`; calls `watcher` |
//! | `lattice:keyvalue@0.1.0` | `store`, one bucket |
//!
//! `get-many` of `draft2` was published with two types, by WASI and by Spin. Both are served, and
//! told apart by their signatures.
//!
//! ```no_run
//! use lattice_provider_sdk::{Lattice, Link, serve};
//! use lattice_providers::keyvalue::{LinkConfig, MemoryConfig, MemoryKeyValue};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let lattice = Lattice::in_memory("dev").await?;
//! let _serving = serve(&lattice, "kv", MemoryKeyValue::new(MemoryConfig::default())).await?;
//! lattice.links().put(Link::new("shop", "wasi:keyvalue/store@0.2.0-draft", "kv")?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! | backend | a read sees | increments and swaps | a swap fails if | buckets of a lost host | keys |
//! | --- | --- | --- | --- | --- | --- |
//! | `keyvalue-memory` | every confirmed write | atomic | the key was written | are gone | in memory, up to `max-size` |
//! | `keyvalue-file` | every confirmed write; those are on the disk | atomic | the key was written | are there when the provider is | in a file that one provider has open |
//! | `keyvalue-redis` | every confirmed write, of one server | atomic, for all replicas | the value is another | survive, in the same handle | shared by all replicas |
//! | `keyvalue-nats` | every confirmed write, of one server; on a cluster it may lag | atomic, for all replicas | the key was written | survive, in the same handle | shared by all replicas |
//!
//! * A key has at most 1,024 bytes, of any text, also none. A value has at most `max-value-size`.
//!   The name of a bucket with its prefix has at most 255 bytes. What is over a limit is refused,
//!   and nothing is written.
//! * A counter is a decimal number from -2<sup>63</sup> to 2<sup>63</sup> - 1. An increment that
//!   would leave the range changes nothing.
//! * Keys are listed in the order of their bytes, 500 a page. A key that is there all the time is
//!   listed once, whatever happens to others. Each page of `keyvalue-nats` reads all keys of its
//!   bucket. Cursors of the first draft are numbers, of which a replica remembers the latest 4,096.
//! * A link reaches the buckets whose names start with its `bucket-prefix`, also those of links
//!   with a longer one: give links that mustn't meet `shop/` and `shop-b/`, not `shop` and
//!   `shop-b`.
//! * Batches have at most 1,000 keys, and those that read at most 16 MiB of values. On Redis and in
//!   a file they are written as a whole; elsewhere, one that fails may have been written in part.
//! * The values that handles of `cas` hold take at most 64 MiB in a replica. Further ones are
//!   refused until some are swapped or dropped.
//! * Effects aren't fenced: a write of a provider that has lost its lease may still be made.
//! * An operation ends shortly before its call does, and after `timeout`. When a backend can't be
//!   reached, it fails with `error::other`, as does
//!   [health](lattice_provider_sdk::Provider::health). The provider recovers by itself.
//! * NATS keeps a small marker of each deleted key.
//!
//! # Watchers
//!
//! A link from the provider to a component with `wasi:keyvalue/watcher`, with the config
//! `{ "bucket": "carts", "key-prefix": "user/" }`, has it called for each change that is made
//! through the provider: `on-set` also for increments and swaps, `on-delete` also when there was
//! no such key. The bucket is named as in the backend, with the prefix of links.
//!
//! * The changes of a key that one replica makes are told in their order. Every replica tells its
//!   own.
//! * A write of a watched key waits for room in the queue of a watcher that is behind, and fails
//!   after one second, without the change.
//! * Queues are in memory. A replica that is killed loses what waits there: changes that were made
//!   and confirmed, and that no one is told of.
//! * A watcher that can't be called is tried for 30 s. Then the change is left out, which is
//!   logged, and so are those after it until the watcher can be called again. A call that may have
//!   run isn't repeated.
//! * Changes that others make in the backend aren't seen, nor those of a write that failed and yet
//!   was done. A link that is put again begins anew: what waits in its queue isn't told.
//! * A link whose config doesn't fit, or that its watcher refuses, is named in
//!   [health](lattice_provider_sdk::Provider::health) until that has changed.

mod backend;
mod config;
mod cursors;
mod draft;
mod draft2;
#[cfg(feature = "keyvalue-file")]
mod file;
mod flat;
mod memory;
#[cfg(feature = "keyvalue-nats")]
mod nats;
mod provider;
#[cfg(feature = "keyvalue-redis")]
mod redis;
mod watch;
mod worlds;
mod write;

#[cfg(feature = "keyvalue-nats")]
pub use self::nats::{Nats, NatsBuckets, NatsConfig, NatsKeyValue};
#[cfg(feature = "keyvalue-redis")]
pub use self::redis::{Redis, RedisConfig, RedisKeyValue};
pub use backend::{Addition, Backend, Failure, KeyRange, Place, Seen};
pub use config::{Binding, Limits, LinkConfig};
#[cfg(feature = "keyvalue-file")]
pub use file::{File, FileConfig, FileKeyValue};
pub use memory::{Memory, MemoryConfig, MemoryKeyValue};
pub use provider::{Bucket, Cas, KeyValue};

use crate::builtin::Builtin;

/// The providers that manifests can name.
pub(crate) fn builtins() -> Vec<Builtin> {
    Vec::from([
        Builtin::new(Memory::NAME, MemoryKeyValue::new),
        #[cfg(feature = "keyvalue-file")]
        Builtin::new(File::NAME, FileKeyValue::new),
        #[cfg(feature = "keyvalue-nats")]
        Builtin::new(Nats::NAME, NatsKeyValue::new),
        #[cfg(feature = "keyvalue-redis")]
        Builtin::new(Redis::NAME, RedisKeyValue::new),
    ])
}
