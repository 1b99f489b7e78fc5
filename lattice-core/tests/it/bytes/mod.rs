//! The wire formats: golden bytes, round trips, malformed input, memory.

mod allocation;
mod envelopes;
mod frames;
mod samples;
mod values;
