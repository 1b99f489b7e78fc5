//! Returns the bytes that it receives.

lattice_actor_sdk::actor!({ world: "callee-actor", path: "../wit", export: Callee });

use exports::lattice_bench::calls::echo::{Guest, Reading};

struct Callee;

impl Guest for Callee {
    fn echo(body: Vec<u8>) -> Vec<u8> {
        body
    }

    fn readings(all: Vec<Reading>) -> Vec<Reading> {
        all
    }
}
