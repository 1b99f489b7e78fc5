//! Does what a guest should not do, and looks where it should not look: see `mischief.wit`.

lattice_actor_sdk::actor!({ path: "wit", export: Mischief });

mod acts;
mod peer;

struct Mischief;
