//! The provider in a process of its own, which a host starts and looks after.

use placeholder_name::Counters;

fn main() -> std::process::ExitCode {
    lattice_provider_sdk::process::run(Counters::new)
}
