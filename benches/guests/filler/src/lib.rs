//! Takes all the memory that it can get.

lattice_actor_sdk::actor!({ world: "filler-actor", path: "../wit", export: Filler });

use exports::lattice_bench::calls::fill::Guest;
use std::{hint::black_box, thread::sleep, time::Duration};

/// Memory is taken in parts of this many bytes.
const PART: usize = 64 << 10;

struct Filler;

impl Guest for Filler {
    fn fill(hold_ms: u32) -> u64 {
        let mut parts = Vec::new();
        while let Some(part) = part() {
            if parts.try_reserve(1).is_err() {
                break;
            }
            parts.push(part);
        }
        sleep(Duration::from_millis(hold_ms.into()));
        (black_box(&parts).len() * PART) as u64
    }
}

/// Returns one more part, whose bytes are all written, if there is memory for it.
fn part() -> Option<Vec<u8>> {
    let mut part = Vec::new();
    part.try_reserve_exact(PART).ok()?;
    part.resize(PART, 1);
    Some(part)
}
