//! Real components that speak `wasi:http`, called as components of the lattice.

mod answers;
mod exports;
mod faults;
mod outgoing;
mod remote;
mod shared;
mod support;
mod uploads;
