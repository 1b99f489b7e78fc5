//! The lattice in the simulator: many seeds, every invariant; and each invariant broken on purpose.

mod broken;
mod repeats;
mod seeds;
