//! The faults program. Its code is in [`lattice_benches::faults`], so that tests don't need a
//! separate program.

fn main() -> std::process::ExitCode {
    lattice_benches::faults::main()
}
