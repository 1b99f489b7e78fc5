//! The faults program. It is `lattice_benches::faults`, so that its tests are in the same program as all others.

fn main() -> std::process::ExitCode {
    lattice_benches::faults::main()
}
