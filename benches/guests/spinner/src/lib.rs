//! Uses all the CPU time that it is given.

lattice_actor_sdk::actor!({ world: "spinner-actor", path: "../wit", export: Spinner });

use exports::lattice_bench::calls::spin::Guest;

struct Spinner;

impl Guest for Spinner {
    fn spin() {
        let mut turn = 0_u64;
        loop {
            turn = std::hint::black_box(turn.wrapping_add(1));
        }
    }
}
