//! Runs WebAssembly components as actors of a lattice, embedded in any Rust process

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "used by the linker of actors once it exists")
)]
#[expect(unused_imports, reason = "used by the linker of actors once it exists")]
mod transcode;
