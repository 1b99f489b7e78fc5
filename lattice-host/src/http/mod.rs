//! HTTP: requests and responses as calls of the lattice.
//!
//! A request is an ordinary call, with a head and streamed bodies in its values, so that routing,
//! deadlines, drains and limits are those of every call. `exchange` has the form of these calls,
//! and `authorities` chooses the link for a request.
//!
//! `docs/http.md` in the repository describes all of it for users, with every option.
//!
//! # Requests that come in
//!
//! A host with an [`Ingress`] takes requests for the *wormholes* of its lattice, which are public
//! endpoints that lead to actors. [`wormhole_service`] does the same inside a server of your own,
//! such as one of axum.
//!
//! # Metrics
//!
//! A host with a [`MetricsEndpoint`] serves its metrics as text, at an address of their own.
//!
//! # Requests that go out
//!
//! [`OutgoingHttp`] is the provider that sends requests to the web. Each host has it under the name
//! `http`.

pub(crate) mod authorities;
pub(crate) mod exchange;
mod figures;
mod ingress;
mod metrics;
mod names;
pub mod outgoing;
mod spans;
mod urls;

pub(crate) use figures::{ReceivedRequests, add_sent};
pub(crate) use ingress::{BoundIngresses, Ingresses, LABEL as INGRESS_LABEL};
pub use ingress::{
    BrokenBody, CertificateError, ClientAddress, Ingress, IngressError, IngressLimits, IpNetwork,
    IpNetworkError, TlsFiles, WormholeBody, WormholeService, hash_password, hash_token,
    wormhole_service,
};
pub(crate) use metrics::{BoundMetrics, ServedMetrics};
pub use metrics::{MetricsEndpoint, MetricsError};
pub use outgoing::OutgoingHttp;
