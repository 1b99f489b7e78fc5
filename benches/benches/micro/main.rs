//! The criterion benches of the parts.
//!
//! Each bench starts its own scene, because the test runner runs each bench in a separate process
//! and lists them in another.

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
