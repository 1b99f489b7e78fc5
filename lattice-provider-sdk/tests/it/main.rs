//! The tests of the public API, in one program.

mod admit;
mod both;
mod clients;
mod flow;
mod generated;
mod links;
mod lives;
// Public, so that its lints take it for a library.
pub mod names;
mod portable;
mod schema;
mod shapes;
mod wormholes;
