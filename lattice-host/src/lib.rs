//! Runs WebAssembly components as actors of a lattice, embedded in any Rust process.
//!
//! A [`Host`] is a node of a lattice that runs *actors*, which are WebAssembly components, and
//! *providers*, which are native code in this process or in one that the host starts. They call
//! each other, and all other components of the lattice, by name and WIT interface. A link
//! determines which component serves an actor's import, on this host or another. The host only
//! needs the types in the component; it needs no other knowledge of the interface.
//!
//! ```no_run
//! use lattice_core::{Lattice, link::Link};
//! use lattice_host::{Actor, Host};
//! use std::time::Duration;
//!
//! const GREETER: &str = "example:hello/greeter@0.1.0";
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let lattice = Lattice::in_memory("dev").await?;
//!     // The actor that the README of `lattice-actor-sdk` shows.
//!     let greeter = Actor::from_file("greeter.wasm");
//!     let host = Host::builder(&lattice).actor("greeter", greeter).start().await?;
//!
//!     // The grant. Without it the call fails with `CallError::NotLinked`.
//!     lattice.links().put(Link::new("web", GREETER, "greeter")?).await?;
//!     let greeting: String = lattice.caller("web")?.call(GREETER, "greet", ("Ada",)).await?;
//!     println!("{greeting}"); // Hello, Ada!
//!
//!     assert!(host.shutdown(Duration::from_secs(5)).await.is_clean());
//!     Ok(())
//! }
//! ```
//!
//! In a test, a component can also be text:
//!
//! ```
//! use lattice_core::Lattice;
//! use lattice_host::{Actor, Host};
//! use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let adder = wat::parse_str(r#"(component
//!     (core module $m
//!         (func (export "add") (param i32 i32) (result i32)
//!             (i32.add (local.get 0) (local.get 1))))
//!     (core instance $i (instantiate $m))
//!     (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
//!     (instance (export "example:math/sums@1.0.0") (export "add" (func $add))))"#)?;
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let host = Host::builder(&lattice).actor("adder", Actor::from_bytes(adder)).start().await?;
//!
//! let adder = lattice.operator().component("adder");
//! let sum: u32 = adder.call("example:math/sums@1.0.0", "add", (2_u32, 3_u32)).await?;
//! assert_eq!(sum, 5);
//!
//! let _ = host.shutdown(Duration::from_secs(5)).await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What an actor gets
//!
//! * **Its imports**, through links. A failed call is returned as a value if the function's own
//!   error type can hold it (`lattice:rpc/types.error`, a bare `string`, or a case named `other`,
//!   `internal`, `internal-error` or `unavailable` that holds a text). Otherwise it traps the
//!   actor. In the same way, a stream that breaks, because its writer or its host is lost, ends
//!   with an `err`, and a future that never comes is one, where the type of the elements is a
//!   `result` with such an error or with one without a value. Otherwise reading it traps the actor,
//!   and so does reading on after that `err`.
//! * **WASI 0.2**: clocks, random numbers, the environment and arguments that were
//!   [set](Actor::env), and output that goes to `tracing` with the target `lattice::actor`. There
//!   are no files and no sockets. WASI 0.3 needs the feature `p3`.
//! * `wasi:logging/logging`, `wasi:config/store` (also as `wasi:config/runtime`), and
//!   `lattice:rpc/links`, with which it chooses among several links for one interface, for the call
//!   that it serves. They are served in every version whose functions have the same signatures.
//!   What `wasi:config` has is the actor's `config`, of its manifest or [in Rust](Actor::config).
//!   In a manifest, `colour = '{ "env": "SHOP_COLOUR" }'` and `'{ "file": "colour.txt" }'` take a
//!   value from the environment and from a file, if the host allows it
//!   ([`provider_access`](HostBuilder::provider_access)). They are read when the actor starts, and
//!   an actor whose value can't be read doesn't start there, with the reason in its status.
//! * `wasi:blobstore@0.2.0-draft`, with the feature `blobstore`, which is on by default: objects in
//!   containers, over one link for `wasi:blobstore/blobstore` to a provider of them.
//!
//! # Which functions can be called
//!
//! All functions of the WIT interfaces that it exports can be called, from this host and from
//! others. Arguments and results may contain resources, streams and futures. The instances of an
//! actor with such functions stay as long as others hold resources of theirs, or ends of their
//! streams are open.
//!
//! A call ends at its deadline, and so does its instance, unless something else needs that: other
//! calls in it, resources that others hold, or open streams. One call can't be taken out of an
//! instance. So the guest runs on with it, under its [`Limits`], until it returns or nothing needs
//! the instance any more, and the result is dropped. The same is true when the caller drops the
//! call, or is lost.
//!
//! Links and calls name an interface of a package. What has none has a name for them all the same:
//!
//! | in the world | its interface for links and calls |
//! | --- | --- |
//! | `export run: func();` | `lattice:world/functions` |
//! | `export core: interface { … }` | `lattice:interface/core` |
//!
//! Of several versions of one interface that can replace each other, such as 0.2.0 and 0.2.1, the
//! newest one serves the calls of functions that they have in common. Versions that can't replace
//! each other are told apart.
//!
//! Imports have the same names, so that `import run: func();` is linked to such an export with a
//! link for `lattice:world/functions`.
//!
//! An import that no link can serve (with a `borrow` in a stream, or with resources of the host's)
//! traps the actor when the actor calls it. The rest of the actor is served. [`ComponentCheck`]
//! lists what can't be served, before the actor is started, and so does the log when it is started.
//! It fails to start if none of its exports can be called
//! ([`NothingToCall`](ActorError::NothingToCall)), or if it has an `error-context` or a
//! `stream<char>` in any type.
//!
//! A host publishes the types and the WIT of the components that it runs. Tools get them with
//! `lattice.operator().component(id).types()`.
//!
//! # HTTP
//!
//! With the feature `http`, which is on by default, actors that export
//! `wasi:http/incoming-handler@0.2` serve requests, and so do those that export
//! `wasi:http/handler@0.3` with the feature `p3`. A request is a call of the lattice: links,
//! placement, limits, deadlines and drains are those of every call. Its bodies stream both ways,
//! and one that breaks never looks like a whole one.
//!
//! To its callers, such an actor has one function `handle`, declared in `lattice:http/handler`. It
//! has it under the names of the interfaces of `wasi:http` too, so that each of these links leads
//! to it:
//!
//! | interface of the link | who calls |
//! | --- | --- |
//! | `wasi:http/outgoing-handler@0.2.0` | an actor that makes requests by WASI 0.2 |
//! | `wasi:http/client@0.3.0` | an actor that makes requests by WASI 0.3 |
//! | `wasi:http/handler@0.3.0` | a middleware, which passes requests on |
//! | `lattice:http/handler@0.1.0` | a typed client |
//!
//! Requests that an actor makes go over its links and nowhere else. With several links for the
//! interface, the authority of a request chooses among them, by the config of the link:
//!
//! ```json
//! { "authorities": ["api.example.com", "*.internal", "db:8080"] }
//! ```
//!
//! The most specific link that takes it gets the request, and the one named `default` gets what no
//! other takes, if its config names no authorities. What no link takes is denied with
//! `HTTP-request-denied`, and the actor's log says which link it lacks. A link that the actor has
//! chosen with `lattice:rpc/links` isn't replaced by another one.
//!
//! A guest that has not responded by the deadline of the call, or when its client goes away, ends.
//! After the head of its response it goes on until the body was read: as long as something moves
//! within [`Limits::kept`]. A call fails if the guest traps, returns without a response, or
//! responds with a status below 200. The body breaks if the guest traps later, or writes another
//! length than it has announced. Version 0.2 gets a fresh or a warm instance for each request, and
//! instances of version 0.3 [are shared](Instances::Fresh).
//!
//! Requests leave the lattice through the provider [`OutgoingHttp`](http::OutgoingHttp), which
//! every host has under the name `http`. The config of a link to it lists the hosts to which it
//! leads.
//!
//! # Providers in processes of their own
//!
//! With the feature `process`, which is on by default, a manifest can name a program as the image
//! of a provider. Its `main` calls [`run`](lattice_provider_sdk::process::run) of the provider SDK:
//!
//! ```toml
//! [providers.tally]
//! image = "file:/usr/lib/shop/tally"
//! config = { file = "/var/lib/tally", "lattice.memory" = "512MiB" }
//! ```
//!
//! The image can also be in a registry, with one layer: the program itself. An index has an entry
//! for each platform, such as `linux/amd64`, and each host takes that for its own.
//!
//! A host runs only the programs that it was told it may run, and none by default, because a
//! process has the lattice's key and the rights of the host's user: name their folders or
//! registries with [`HostBuilder::programs`], or with `lattice up --programs`.
//!
//! The host starts the process, and gives it its settings and its access to the lattice over its
//! standard input. The process is a node of its own: calls go to it directly, and never through the
//! host. The host starts it again when it ends, and ends it when it stops being declared here, or
//! when the host itself ends, whichever way. What the process prints is the log of the component.
//!
//! A process that serves says again and again on its standard output that it is alive. When nothing
//! more comes for 30 s, because it was stopped or all threads of its runtime are blocked, the host
//! kills it and starts it again. That doesn't depend on NATS or on clocks: a process goes on
//! serving while NATS is away, and after a pause of its host. Set a longer time to halt it in a
//! debugger. A program that isn't made with [`run`](lattice_provider_sdk::process::run) only has to
//! print `lattice-provider: serving`, and is started again when it ends. If it also prints the line
//! `lattice-provider: alive`, it has to repeat that several times within the 30 s.
//!
//! The file of a program is checked against its digest at every start, also when the process is
//! started again: a file that was swapped since the app was applied, or since the host fetched it,
//! doesn't run. A program from a registry is in a file of its own while it may be started, among
//! the system's temporary files or in [`HostBuilder::program_folder`]. Nothing runs from a file
//! system that is mounted with `noexec`, and the error says so.
//!
//! The process inherits no environment. Settings whose names start with `lattice.` are for the
//! process, and the provider isn't given them:
//!
//! | setting | what it sets |
//! | --- | --- |
//! | `lattice.memory` | the most memory that the process may map, on Linux. No limit by default |
//! | `lattice.open-files` | how many files and connections it may have open. 4,096 by default, or what the host may have if that is less |
//! | `lattice.start-seconds` | how long it may take until it serves. 9 by default, and at most |
//! | `lattice.silent-seconds` | how long it may give no sign of life. 30 by default, 1 to 86,400 |
//! | `lattice.arguments` | its arguments, a list in JSON. None by default |
//! | `lattice.env.NAME` | the variable `NAME` of its environment |
//!
//! It never makes core dumps, which would have the lattice's key in them. All limits are in force
//! before the program runs: the command `lattice` sets them by itself, and so does each program
//! that calls [`wrap_programs`] in its `main`. Others need the command `prlimit` of util-linux,
//! which most systems have. Where nothing can set them, a setting for a limit is refused.
//!
//! The lattice has to be on NATS. A link whose locality is the caller's own host doesn't reach a
//! process, because that is another node.
//!
//! With `run = "once"`, one process serves in the whole lattice, started by the host that holds the
//! lease. The process is told of each renewal, refuses calls and results once the lease has ended,
//! and has ended itself a second before another host can have the lease, also if its own host is
//! paused or gone. What it has asked another server to do before is not undone: the page of a
//! provider says whether its effects are fenced.
//!
//! # The page
//!
//! With the feature `ui`, `lattice_host::ui` shows the whole constellation in a browser and changes
//! it. It is the crate `lattice-ui`, and needs a lattice and no host, so that a program with a host
//! serves it beside that, at an address of its own or as a service in the program's own server:
//!
//! ```no_run
//! # #[cfg(feature = "ui")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use lattice_core::Lattice;
//! use lattice_host::{Host, ui::Ui};
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let host = Host::builder(&lattice).start().await?;
//! let page = Ui::new(&lattice).serve("127.0.0.1:9119".parse()?).await?;
//! println!("open {}", page.url());
//! # let _ = host;
//! # Ok(())
//! # }
//! ```
//!
//! # What an actor can't do
//!
//! Every instance has [`Limits`] from the start: on memory, CPU time, tables, results, and calls of
//! all kinds. An actor that spins, recurses, floods or uses up its memory loses only its own
//! instance. All guests of an engine share its [memory for guests](EngineBuilder::guest_memory) and
//! its
//! [slots](EngineBuilder::instances), and one actor gets at most half of either, so that
//! `concurrent` instances of one actor with all the memory that they may have leave room for the
//! others. A guest yields its thread every 5 ms, and a [fresh](Instances::Fresh) instance is
//! dropped after its call, with everything in it.
//!
//! # How it is done
//!
//! Each module imports only from those above it in this table:
//!
//! | module | is about |
//! | --- | --- |
//! | `limits` | sizes, and the limits of one actor |
//! | `regular_file` | opening files without blocking on pipes and devices |
//! | `wasm_kind` | whether bytes are a component, a core module, a WIT package or something else |
//! | `engine` | Wasmtime's settings, compiled code, and the clock that interrupts guests |
//! | `transcode` | values between guest memory and the wire, for functions known only at run time; the one module with `unsafe` code |
//! | [`http`] | requests and responses as calls; requests that come in through wormholes, and that go out |
//! | `guest` | the state in an instance's store, calls in fresh and warm instances, and the calls that guests make |
//! | `capability` | what a host provides to every actor without a link |
//! | `actor` | from a component's bytes to code that can be instantiated: loading, planning, linking |
//! | [`artifact`] | where components come from: files, registries, a cache, other hosts |
//! | `process` | providers in processes of their own, which the host starts and looks after |
//! | `host` | the public API for starting and stopping components |

mod actor;
pub mod artifact;
mod capability;
mod engine;
mod guest;
mod host;
#[cfg(feature = "http")]
pub mod http;
mod limits;
#[cfg(feature = "process")]
mod process;
mod regular_file;
mod transcode;
mod wasm_kind;

pub use actor::{Actor, ActorError, ComponentCheck, Found};
pub use engine::{Engine, EngineBuilder, EngineError, GuestMemory};
pub use guest::{Instances, Side, Unserved};
pub use host::{Host, HostBuilder, HostError};
#[cfg(feature = "otel")]
#[doc(no_inline)]
pub use lattice_otel as otel;
pub use lattice_provider_sdk::Access;
/// The constellation in a browser: the crate `lattice-ui`.
#[cfg(feature = "ui")]
pub use lattice_ui as ui;
pub use limits::{ByteSize, Limits, Reuse};
#[cfg(feature = "process")]
pub use process::{Programs, ProgramsError, wrap_programs};
