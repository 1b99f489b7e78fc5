//! Requests to servers, over links to the provider `http`.

mod bodies;
mod counted;
mod denied;
mod links;
mod pool;
mod requests;
mod scene;
mod server;
mod silence;
