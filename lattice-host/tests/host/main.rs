//! Hosts that run real components, on in-memory lattices.

mod actors;
mod async_calls;
mod budgets;
mod calls;
mod endings;
mod engines;
mod failures;
mod life;
mod links;
mod output;
mod published;
mod support;
mod warm;
mod wasi;
