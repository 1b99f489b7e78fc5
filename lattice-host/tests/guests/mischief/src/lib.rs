//! An actor that fails, exceeds limits and tries what is forbidden: see `mischief.wit`.

lattice_actor_sdk::actor!({ path: "wit", export: Mischief });

mod acts;
mod peer;

struct Mischief;
