//! Messages to and from a broker, by the messaging provider that the actor's link leads to.
//!
//! ```no_run
//! use lattice_actor_sdk::messaging::{BrokerMessage, consumer};
//!
//! fn announce(order: &str) -> Result<(), String> {
//!     consumer::publish(&BrokerMessage {
//!         subject: "orders.created".to_owned(),
//!         body: order.as_bytes().to_vec(),
//!         reply_to: None,
//!     })
//! }
//! ```
//!
//! An actor that receives messages exports `wasmcloud:messaging/handler`. A link from the provider
//! to it names the subjects:
//!
//! ```
//! lattice_actor_sdk::actor!({
//!     inline: "
//!         package acme:stock@1.0.0;
//!         world stock { export wasmcloud:messaging/handler@0.2.0; }
//!     ",
//!     export: Stock,
//! });
//! use lattice_actor_sdk::{log, messaging::BrokerMessage};
//!
//! struct Stock;
//!
//! impl exports::wasmcloud::messaging::handler::Guest for Stock {
//!     fn handle_message(message: BrokerMessage) -> Result<(), String> {
//!         log::info!("{} bytes at {}", message.body.len(), message.subject);
//!         Ok(())
//!     }
//! }
//! # fn main() {}
//! ```

pub use crate::bindings::wasmcloud::messaging::{consumer, types::BrokerMessage};
