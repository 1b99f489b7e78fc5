//! Write native providers for a lattice from WIT, and typed clients that call components.
//!
//! ```
//! use lattice_provider_sdk::{Call, Lattice, Link, Stateless, provider, serve};
//!
//! provider!({ inline: "
//!     package example:hello@0.1.0;
//!     interface greeter { greet: func(name: string) -> string; }
//!     world hello { import greeter; export greeter; }
//! " });
//! use example::hello::greeter::{Greeter, GreeterClient};
//!
//! struct Hello;
//! impl Stateless for Hello { type World = World; }
//! impl Greeter for Hello {
//!     async fn greet(&self, _: &Call<Self>, name: String) -> String { format!("Hello, {name}!") }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let lattice = Lattice::in_memory("dev").await?;
//!     let _serving = serve(&lattice, "greeter", Hello).await?;
//!     lattice.links().put(Link::new("web", "example:hello/greeter@0.1.0", "greeter")?).await?;
//!     let greeter = GreeterClient::new(lattice.caller("web")?);
//!     println!("{}", greeter.greet("Ada").await?); // Hello, Ada!
//!     Ok(())
//! }
//! ```
//!
//! A *provider* is native code that serves WIT interfaces to the components of a lattice: a
//! database, a queue, a device, or an existing service. [`provider!`] generates Rust from a WIT
//! world: its types, a trait for each exported interface, and a client for each imported one. The
//! program above serves the component `greeter` and calls it as the component `web`. The link from
//! `web` to `greeter` grants that call; without it, the call fails with [`CallError::NotLinked`].
//!
//! `Lattice::connect("nats://…", "prod").key(key)` in place of [`Lattice::in_memory`] joins a
//! lattice on NATS. The rest of the program stays the same.
//!
//! [A guide](guide) leads from an empty folder to a link.
//!
//! # Config and bindings
//!
//! A link can carry a config. A [`Provider`] defines the type of the config and turns it into a
//! *binding*: the provider's own state for that link, such as a connection, a prefix or a limit.
//! Every call over the link has access to its binding. A link whose config doesn't fit is refused
//! when it is made, and the reason becomes the link's status.
//!
//! ```
//! use lattice_provider_sdk::{Call, Lattice, Link, Provider, Refusal, provider, serve};
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! provider!({
//!     inline: "
//!         package example:count@0.1.0;
//!         interface counter { add: func(by: u32) -> result<u32, string>; }
//!         world counting { import counter; export counter; }
//!     ",
//! });
//! use example::count::counter::{Counter, CounterClient};
//!
//! struct Counters;
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct Config {
//!     limit: u32,
//! }
//!
//! struct Binding {
//!     limit: u32,
//!     count: AtomicU32,
//! }
//!
//! impl Provider for Counters {
//!     type World = World;
//!     type Config = Config;
//!     type Binding = Binding;
//!
//!     async fn link(&self, _: &Link, config: Config) -> Result<Binding, Refusal> {
//!         if config.limit == 0 {
//!             return Err(Refusal::new("`limit` is 0; it must be at least 1"));
//!         }
//!         Ok(Binding { limit: config.limit, count: AtomicU32::new(0) })
//!     }
//! }
//!
//! impl Counter for Counters {
//!     async fn add(&self, call: &Call<Self>, by: u32) -> Result<u32, String> {
//!         let Binding { limit, count } = call.binding();
//!         let added = |now: u32| now.checked_add(by).filter(|sum| sum <= limit);
//!         let before = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
//!         before.map(|before| before + by).map_err(|now| format!("{now} + {by} is over {limit}"))
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lattice = Lattice::in_memory("dev").await?;
//! let serving = serve(&lattice, "counters", Counters).await?;
//! let link = Link::new("app", "example:count/counter@0.1.0", "counters")?;
//! lattice.links().put(link.config(&Config { limit: 5 })?).await?;
//!
//! let counter = CounterClient::new(lattice.caller("app")?);
//! assert_eq!(counter.add(3).await?, Ok(3));
//! assert_eq!(counter.add(3).await?, Err("3 + 3 is over 5".to_owned()));
//! # assert!(serving.shutdown(std::time::Duration::from_secs(1)).await.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! A provider that needs neither config nor bindings implements [`Stateless`] instead.
//!
//! # Three ways to run a provider
//!
//! The same type runs unchanged
//!
//! * in a host, next to the actors that call it most:
//!   `Host::builder(&lattice).provider("counters", Counters)`;
//! * in any Rust program, with [`serve`];
//! * in a test, with [`serve`] on [`Lattice::in_memory`]:
//!
//! ```
//! # lattice_provider_sdk::provider!({
//! #     inline: "
//! #         package example:echo@0.1.0;
//! #         interface echo { say: func(text: string) -> string; }
//! #         world echoing { import echo; export echo; }
//! #     ",
//! # });
//! # use example::echo::echo::{Echo, EchoClient};
//! # use lattice_provider_sdk::{Call, Lattice, Link, Stateless, serve};
//! # struct Parrot;
//! # impl Stateless for Parrot { type World = World; }
//! # impl Echo for Parrot {
//! #     async fn say(&self, _: &Call<Self>, text: String) -> String { text }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! #     runtime.block_on(a_parrot_returns_the_text())
//! # }
//! // With `#[tokio::test]` above it:
//! async fn a_parrot_returns_the_text() -> Result<(), Box<dyn std::error::Error>> {
//!     let lattice = Lattice::in_memory("test").await?;
//!     let _serving = serve(&lattice, "parrot", Parrot).await?;
//!     lattice.links().put(Link::new("test", "example:echo/echo@0.1.0", "parrot")?).await?;
//!     let parrot = EchoClient::new(lattice.caller("test")?);
//!     assert_eq!(parrot.say("Ada").await?, "Ada");
//!     Ok(())
//! }
//! ```
//!
//! # Handle a call
//!
//! A handler gets a [`Call`]: the caller, the link, the deadline, and the link's binding. Many
//! handlers run at the same time, each as a separate future. The future is dropped when the
//! caller's deadline passes. A panic ends only the call in which it happens.
//!
//! A call that a handler makes with a client inherits the deadline, hops and trace of the call that
//! it handles: `greeter.greet("Ada").await?`. In a task that the handler spawns, the context has to
//! be passed on: `greeter.greet("Ada").on_behalf_of(&context).await?`, where `context` is a copy of
//! [`call.context()`](Call::context).
//!
//! # Resources, streams and futures
//!
//! A resource of an exported interface is a Rust type of the provider's own. Each value of it lives
//! in this process, and others have handles to it.
//!
//! ```
//! use futures_util::{StreamExt, TryStreamExt, stream};
//! use lattice_provider_sdk::{Bytes, ByteReader, Call, Lattice, Link, Stateless, provider, serve};
//! use std::{collections::BTreeMap, sync::Mutex};
//!
//! provider!({ inline: "
//!     package example:buckets@0.1.0;
//!     interface store {
//!         resource bucket {
//!             open: static func(name: string) -> result<bucket, string>;
//!             put: func(key: string, data: stream<u8>);
//!             get: func(key: string) -> option<stream<u8>>;
//!         }
//!     }
//!     world buckets { import store; export store; }
//! " });
//! use example::buckets::store::{self, Store, StoreClient};
//!
//! struct Buckets;
//! impl Stateless for Buckets { type World = World; }
//!
//! #[derive(Default)]
//! struct Bucket(Mutex<BTreeMap<String, Bytes>>);
//!
//! impl Store for Buckets {
//!     type Bucket = Bucket;
//!
//!     async fn bucket_open(&self, _: &Call<Self>, name: String) -> Result<Bucket, String> { if
//!     name.is_empty() { Err("a bucket needs a name".to_owned()) } else { Ok(Bucket::default()) } }
//!     }
//!
//! impl store::Bucket<Buckets> for Bucket {
//!     async fn put(&self, _: &Call<Buckets>, key: String, data: ByteReader) {
//!         // A part is never taken for the whole.
//!         if let Ok(chunks) = data.try_collect::<Vec<_>>().await {
//!             self.0.lock().unwrap().insert(key, chunks.concat().into());
//!         }
//!     }
//!
//!     async fn get(&self, _: &Call<Buckets>, key: String) -> Option<ByteReader> {
//!         let data = self.0.lock().unwrap().get(&key).cloned()?;
//!         Some(ByteReader::new(stream::iter([data])))
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lattice = Lattice::in_memory("dev").await?;
//! let _serving = serve(&lattice, "buckets", Buckets).await?;
//! lattice.links().put(Link::new("app", "example:buckets/store@0.1.0", "buckets")?).await?;
//!
//! let store = StoreClient::new(lattice.caller("app")?);
//! let bucket = store.bucket_open("photos").await??;
//! let parts = ["Hello, ", "Ada!"].map(Bytes::from);
//! bucket.put("greeting", ByteReader::new(stream::iter(parts))).await?;
//! let mut data = bucket.get("greeting").await?.expect("it was put");
//! assert_eq!(data.next().await.expect("a chunk")?, "Hello, Ada!");
//! drop(bucket); // drops it at the provider, too
//! # Ok(())
//! # }
//! ```
//!
//! | WIT | a provider has | a client has |
//! | --- | --- | --- |
//! | `resource bucket` | the type [`Store::Bucket`], with the methods of the trait `Bucket` | a handle `BucketClient` with the same methods |
//! | `constructor`, `open: static func` | `new_bucket` and `bucket_open` of the trait `Store` | the same of `StoreClient` |
//! | `own<bucket>` | its own value; inside of other values [`Own`] | `BucketClient`. Dropping it drops the resource |
//! | `borrow<bucket>` | a reference; inside of other values [`Lent`] | `&BucketRef`, which a `&BucketClient` coerces to |
//! | `stream<t>`, `stream<u8>` | [`StreamReader`], [`ByteReader`] | the same |
//! | `future<t>` | [`FutureReader`] | the same |
//!
//! [`Store::Bucket`]: macro@provider
//!
//! * A record or variant with handles has a type parameter for each kind of them:
//!   `Entry<Own<Bucket>>` in a provider, and `Entry`, which is `Entry<BucketClient>`, in a client.
//! * A value is dropped when the holder drops its handle or goes away, after the last method that
//!   uses it. Others may hold 100,000 resources of a provider, or as many as [`Provider::handles`]
//!   returns.
//! * A handle is its holder's. A component that only knows it can't use it, and the calls of one
//!   that was dropped, or whose provider has stopped, fail as [`CallError::StaleHandle`], unless
//!   the resource is [`Portable`].
//! * A handler that is given the resource of another component calls its methods with a caller of
//!   its own: `bucket.via(caller)`.
//! * A stream is a [`Stream`](futures_util::Stream) of `Result<T, Broken>`: it *ends* when its
//!   writer ends it, and is [`Broken`] when the writer fails or dies. A reader that stops stops the
//!   writer.
//! * `error-context` and `stream<char>` aren't supported.
//!
//! # Resources that survive their host
//!
//! When the host of a provider is gone, so are its resources, and handles of them fail as
//! [`CallError::StaleHandle`]. A resource that stands for something that other replicas of the
//! provider have too, such as a bucket of a database, can be [`Portable`]. A *token* goes along
//! with each of its handles, and any other replica makes the resource anew from it. The holder
//! keeps its handle.
//!
//! ```no_run
//! use lattice_core::{bus::memory::MemoryNetwork, store::MemoryStore};
//! use lattice_provider_sdk::{
//!     Call, Lattice, Link, Portable, PortableTypes, Refusal, Stateless, provider, serve,
//! };
//! use std::{collections::BTreeMap, sync::{Arc, Mutex}, time::Duration};
//!
//! provider!({ inline: "
//!     package example:buckets@0.1.0;
//!     interface store {
//!         resource bucket {
//!             constructor(name: string);
//!             put: func(key: string, value: string);
//!             get: func(key: string) -> option<string>;
//!         }
//!     }
//!     world buckets { import store; export store; }
//! " });
//! use example::buckets::store::{self, Store, StoreClient};
//!
//! /// A provider. All of its replicas use one database, for which a map stands here.
//! #[derive(Clone, Default)]
//! struct Buckets(Arc<Mutex<BTreeMap<(String, String), String>>>);
//!
//! impl Stateless for Buckets {
//!     type World = World;
//!
//!     fn portable() -> PortableTypes<Self> {
//!         PortableTypes::none().with::<Bucket>()
//!     }
//! }
//!
//! struct Bucket {
//!     name: String,
//!     database: Buckets,
//! }
//!
//! impl Portable<Buckets> for Bucket {
//!     fn to_token(&self) -> Vec<u8> {
//!         self.name.clone().into_bytes()
//!     }
//!
//!     async fn from_token(
//!         provider: &Buckets,
//!         _: &Call<Buckets>,
//!         token: &[u8],
//!     ) -> Result<Self, Refusal> {
//!         let name = String::from_utf8(token.to_vec())?;
//!         Ok(Self { name, database: provider.clone() })
//!     }
//! }
//!
//! impl Store for Buckets {
//!     type Bucket = Bucket;
//!
//!     async fn new_bucket(&self, _: &Call<Self>, name: String) -> Bucket {
//!         Bucket { name, database: self.clone() }
//!     }
//! }
//!
//! impl store::Bucket<Buckets> for Bucket {
//!     async fn put(&self, _: &Call<Buckets>, key: String, value: String) {
//!         self.database.0.lock().unwrap().insert((self.name.clone(), key), value);
//!     }
//!
//!     async fn get(&self, _: &Call<Buckets>, key: String) -> Option<String> {
//!         self.database.0.lock().unwrap().get(&(self.name.clone(), key)).cloned()
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Three programs on one bus: two serve the provider, and one uses it.
//! let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
//! let program = || Lattice::on(Arc::new(network.connect()), store.clone(), "dev").trust_bus();
//! let (one, two, app) = (program().await?, program().await?, program().await?);
//! let buckets = Buckets::default();
//! let serving = serve(&one, "buckets", buckets.clone()).await?;
//! app.links().put(Link::new("app", "example:buckets/store@0.1.0", "buckets")?).await?;
//!
//! let bucket = StoreClient::new(app.caller("app")?).new_bucket("photos").await?;
//! bucket.put("cat", "asleep").await?;
//!
//! let _also_serving = serve(&two, "buckets", buckets).await?;
//! assert!(serving.shutdown(Duration::from_secs(1)).await.is_clean());
//! assert_eq!(bucket.get("cat").await?, Some("asleep".to_owned()));
//! # Ok(())
//! # }
//! ```
//!
//! # Call without serving
//!
//! [`client!`] generates only clients. It needs no world, just the interface:
//!
//! ```
//! use lattice_provider_sdk::{Lattice, Link, client};
//!
//! client!({
//!     inline: "
//!         package example:hello@0.1.0;
//!         interface greeter { greet: func(name: string) -> string; }
//!     ",
//! });
//! use example::hello::greeter::{GreeterClient, INTERFACE};
//! # mod served {
//! #     use lattice_provider_sdk::{Call, Stateless};
//! #     lattice_provider_sdk::provider!({ inline: "
//! #         package example:hello@0.1.0;
//! #         interface greeter { greet: func(name: string) -> string; }
//! #         world hello { export greeter; }
//! #     " });
//! #     pub struct Hello;
//! #     impl Stateless for Hello { type World = World; }
//! #     impl example::hello::greeter::Greeter for Hello {
//! #         async fn greet(&self, _: &Call<Self>, name: String) -> String {
//! #             format!("Hello, {name}!")
//! #         }
//! #     }
//! # }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let lattice = Lattice::in_memory("dev").await?;
//! # let _serving = lattice_provider_sdk::serve(&lattice, "greeter", served::Hello).await?;
//! lattice.links().put(Link::new("web", INTERFACE.name(), "greeter")?).await?;
//! let greeter = GreeterClient::new(lattice.caller("web")?);
//! assert_eq!(greeter.greet("Ada").await?, "Hello, Ada!");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod access;
mod bindings;
mod client;
mod config;
mod dispatch;
mod flow;
#[doc = include_str!("../docs/write-a-provider.md")]
pub mod guide {}
mod homes;
mod place;
pub mod process;
mod provider;
mod schema;
mod secret;
mod serve;
mod service;
mod settings;
pub mod value;
pub mod world;

pub use access::{Access, EnvPrefix, HostPath};
pub use bytes::Bytes;
pub use client::{ClientCall, Invoke};
pub use config::link_config;
pub use flow::{
    Attached, ByteReader, ByteWriter, Element, FutureReader, FutureWriter, Lent, Own, StreamReader,
    StreamWriter,
};
pub use lattice_core::{
    Component, CutOff, Drained, Lattice,
    call::{CallError, Context},
    client::Caller,
    id::{Source, TraceContext},
    link::Link,
    name::{ComponentId, LinkName},
    server::{ServeError, ServeHandle, ServeLimits},
    stream::{Broken, NotSent},
};
pub use lattice_provider_macros::{client, provider};
pub use place::read_places;
pub use provider::{
    BackendRequest, BackendServer, Both, Call, Dispatch, Instance, Portable, PortableTypes,
    Provider, Refusal, Stateless, WorkSpan,
};
pub use secret::Secret;
pub use serve::{serve, serve_within};
pub use service::IntoService;
pub use settings::settings;

/// Used by generated code, and by `lattice-host`. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        client::{call, encoded, passing_call},
        dispatch::{
            answer, arguments, passing_answer, passing_arguments, streaming_arguments,
            streaming_result, unknown,
        },
        flow::{AnyInvoke, RemoteOwned, RemoteRef, ResourceType},
        homes::Arguments,
        value::{Bits, Blob, known_bits},
    };
    pub use lattice_core::serve::Answer;
    pub use serde;
}
