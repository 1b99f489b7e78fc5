//! Images from files, from a real registry, and from registries that misbehave.

mod cached;
mod fake;
mod faults;
mod files;
mod hostile;
mod layouts;
mod private;
mod real;
mod registry;
mod support;
