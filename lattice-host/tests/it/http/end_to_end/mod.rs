//! The whole path: a client, the ingress of one program, and an actor in another one.

mod bodies;
mod broken;
mod client;
mod failures;
mod hostile;
mod links;
mod load;
mod process;
mod scene;
mod without_bus;
mod wormholes;
