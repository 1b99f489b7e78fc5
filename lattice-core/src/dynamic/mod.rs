//! Values of types that are known only at run time: for tools that call functions that they were
//! not compiled with.
//!
//! A tool reads the signature that a component has published, makes the arguments from JSON, sends
//! them encoded, and shows the result as JSON:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lattice_core::{Lattice, client::Encoded, dynamic::{self, Signature}, serve::Functions};
//! use serde_json::json;
//!
//! const GREETER: &str = "example:hello/greeter@0.1.0";
//! const GREET: &str = "func(name: string, times: option<u8>) -> list<string>";
//!
//! let lattice = Lattice::in_memory("dev").await?;
//! let greet = async |(name, times): (String, Option<u8>)| {
//!     vec![format!("Hello, {name}!"); times.unwrap_or(1).into()]
//! };
//! let greeter = Functions::new().export(GREETER, "greet", GREET, greet)?;
//! let _serving = lattice.serve("greeter", greeter).await?;
//!
//! let signature = Signature::parse(GREET)?;
//! let values = dynamic::arguments(&signature.params, &json!({ "name": "Ada", "times": 2 }))?;
//! let arguments = dynamic::encode(&signature.params, &values)?;
//! let component = lattice.operator().component("greeter");
//! let Encoded(result) = component.call_encoded(GREETER, "greet", arguments).await?;
//!
//! let ty = signature.result.as_ref().ok_or("it has a result")?;
//! let result = dynamic::decode(ty, &result)?;
//! assert_eq!(dynamic::json(&ty.wit, &result), json!(["Hello, Ada!", "Hello, Ada!"]));
//! # Ok(())
//! # }
//! ```
//!
//! The text form of values is WAVE, by the crate `wasm-wave`, whose [`Value`] this module uses.

mod from_json;
mod json;
mod json_error;
mod types;
mod wire;

pub use from_json::{arguments, value_of};
pub use json::json;
pub use json_error::JsonError;
pub use types::{Param, Signature, Type, TypesError};
pub use wasm_wave::value::Value;
pub use wire::{decode, encode};

/// Returns the text form of a value, or `None` if it can't be written.
pub fn text(value: &Value) -> Option<String> {
    wasm_wave::to_string(value).ok()
}
