//! Requests that come in: from sockets, through wormholes, to a component.

mod answers;
mod auth;
mod closed;
mod embedded;
mod life;
mod limits;
mod malformed;
mod metrics;
mod requests;
mod retries;
mod scene;
mod site;
mod slow;
mod tls;
mod wire;
