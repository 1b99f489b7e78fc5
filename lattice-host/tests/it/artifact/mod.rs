//! Images from files, from a real registry, and from registries that misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cached;
mod exchange;
pub(crate) mod fake;
mod faults;
mod files;
mod hostile;
mod layouts;
mod private;
mod real;
mod redirects;
pub(crate) mod registry;
pub(crate) mod support;
