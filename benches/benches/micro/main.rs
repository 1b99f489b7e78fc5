//! The criterion benches of the parts.
//!
//! Scenes are started in the bench that needs them, not before: the test runner runs each bench in a process of its own,
//! and lists them in one more.

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
