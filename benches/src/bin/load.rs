//! The load program. Its code is in [`lattice_benches::load`], so that tests don't need a separate
//! program.

fn main() -> std::process::ExitCode {
    lattice_benches::load::main()
}
