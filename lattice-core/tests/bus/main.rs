//! The bus: every implementation against the contract, and NATS against a real server.

mod auth;
mod conform;
mod loss;
mod tls;

#[path = "../support/nats.rs"]
mod nats;
