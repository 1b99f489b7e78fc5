//! The constellation of a lattice in a browser: a page to look at it and to change it.
//!
//! ```
//! use lattice_core::{Drained, Lattice};
//! use lattice_ui::Ui;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let lattice = Lattice::in_memory("dev").await?;
//! let page = Ui::new(&lattice).serve("127.0.0.1:0".parse()?).await?;
//! println!("open {}", page.url()); // http://127.0.0.1:40123/?token=…
//!
//! // When the program ends:
//! if let Drained::CutOff(cut_off) = page.shutdown().await {
//!     eprintln!("cut off: {cut_off}");
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! The command `lattice` has it as `lattice up --ui 127.0.0.1:9119`, for the lattice of a host that
//! it runs, and as `lattice ui`, which joins a lattice only to show it.
//!
//! # In an existing application
//!
//! [`Ui::service`] returns the page as a [`tower::Service`](tower_service::Service), for any server
//! of HTTP. With axum, below a path:
//!
//! ```
//! # use lattice_core::Lattice;
//! # use lattice_ui::Ui;
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let lattice = Lattice::in_memory("dev").await?;
//! let page = Ui::new(&lattice).read_only().host_name("intern.example").service()?;
//! let opening = format!("/lattice{}", page.opening()); // /lattice/?token=…
//! let app: axum::Router = axum::Router::new().nest_service("/lattice", page);
//! # let _ = (app, opening);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! The service limits by itself what a client can hold of it: how long the body of a request may
//! take to arrive, how long it takes until a response begins, how many streams there are, and how
//! long a stream may wait for a client that takes nothing of it. Connections are those of the
//! application's server. It has to limit how many there are, how long the head of a request takes
//! to arrive, and how long a write may make no progress: a client that reads nothing keeps its
//! connection, with at most one response, for as long as that server lets it. axum's own `serve`
//! limits none of them; hyper has `header_read_timeout`, and servers that are put in front of an
//! application, such as nginx, have all three. [`Ui::serve`] does too.
//!
//! # Who may use it
//!
//! The page does what an operator with the lattice's key may do, so it is for operators:
//!
//! * It listens at addresses of this machine alone, unless [`Ui::any_address`] is called.
//! * Each start makes a token, which is part of the address to open. The browser gets a cookie in
//!   exchange, `SameSite=Strict` and `HttpOnly`, and nothing is sent to a request without it.
//! * Requests for a foreign host name, and those that come from a page of another origin, are
//!   refused: neither a link nor a form nor a name that leads to this machine can act through
//!   somebody's browser.
//! * The page loads nothing from elsewhere, and its policy forbids it scripts that aren't its own.
//! * [`Ui::read_only`] refuses every change.
//! * Nothing secret is sent to it: neither the configs of links and components, nor the secrets of
//!   the lattice, nor credentials of wormholes.
//!
//! Bodies, connections, streams and times have [limits](UiLimits).
//!
//! # The stream
//!
//! The page reads one stream of server-sent events: first the whole
//! [`View`](lattice_core::constellation::View), then its changes, at most one event in 16 ms with
//! everything that has changed since. A page that is too slow for that gets the whole again. While
//! nothing changes, nothing is done, and without a page nothing is followed. The page of the docs
//! folder, `docs/page.md`, has the events and the paths, and `docs/actions.md` what can be changed.
//!
//! # How it is done
//!
//! Each module imports only from those above it in this table:
//!
//! | module | is about |
//! | --- | --- |
//! | `error` | why the page can't be served |
//! | `problem`, `limits`, `images`, `token`, `files`, `socket`, `stalled` | errors of requests, sizes and times, images of manifests, who is let in, the page's files, connections and streams whose client stops reading |
//! | `state`, `request` | what handlers share; reading a request |
//! | `events` | the stream of changes |
//! | `actions` | everything that is asked for and changed beside the stream |
//! | `guard` | who may ask for what |
//! | `page` | the paths |
//! | `service`, `server`, `ui` | the page as a service, at an address, and the choices about it |

#![forbid(unsafe_code)]

mod actions;
mod error;
mod events;
mod files;
mod guard;
mod images;
mod limits;
mod page;
mod problem;
mod request;
mod server;
mod service;
mod socket;
mod stalled;
mod state;
mod token;
mod ui;

pub use error::UiError;
pub use images::{Images, Pinned};
pub use limits::UiLimits;
pub use server::UiServer;
pub use service::UiService;
pub use ui::Ui;
