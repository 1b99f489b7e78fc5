//! Requests that come in: from sockets, through wormholes, to actors.
//!
//! | file | what it does |
//! | --- | --- |
//! | `config`, `error` | how an ingress is set up, and why it can't be opened |
//! | `listener` | binds addresses, takes connections, shuts down with the host |
//! | `connection`, `timeouts` | one connection: protocols, limits, and clients that are slow |
//! | `tls` | certificates from files, by host name, reloaded |
//! | `service` | from a request to the wormhole and its actor, and back |
//! | `head` | sizes of heads, and what they say about protocols and bodies |
//! | `route` | which wormhole a request is for |
//! | `limit`, `rate` | how many requests may enter |
//! | `auth` | who may pass: passwords, tokens, verifiers |
//! | `forwarded`, `network`, `request_id`, `trace` | what is known of the client, and what of a request is believed |
//! | `body` | bodies within limits of size and time, and never taken for whole when they broke |
//! | `respond` | answers of the ingress itself |

mod auth;
mod body;
mod config;
mod connection;
mod error;
mod forwarded;
mod head;
mod limit;
mod listener;
mod network;
mod passed_on;
mod rate;
mod request_id;
mod respond;
mod route;
mod service;
mod timeouts;
mod tls;
mod trace;

pub use auth::{hash_password, hash_token};
pub use body::{BrokenBody, WormholeBody};
pub use config::{Ingress, IngressLimits};
pub use error::{CertificateError, IngressError};
pub use network::{IpNetwork, IpNetworkError};
pub use service::{ClientAddress, WormholeService, wormhole_service};
pub use tls::TlsFiles;

pub(crate) use listener::{BoundIngresses, Ingresses, LABEL};
