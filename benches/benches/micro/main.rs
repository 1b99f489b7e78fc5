//! The criterion benches of the parts.
//!
//! A bench starts its own scene: the test runner runs each bench in a process of its own, and lists
//! them in one more.

mod codec;
mod instantiate;
mod route;
mod transcode;

criterion::criterion_main!(
    codec::codec,
    instantiate::instantiate,
    route::route,
    transcode::transcode
);
