//! The page in a real browser, on lattices of native components. Tests with WebAssembly, processes
//! and wormholes are those of `lattice up --ui` in `lattice-host/tests/it/cli/ui`.
//!
//! Starting a browser takes longer than most of what is done with it, so that each test is a walk
//! through many things. All are skipped, and say why, where there is no browser. What they have
//! seen is in `target/ui/`.

mod cable;
mod crowd;
mod links;
mod manifests;
mod picture;
mod scene;
mod states;
