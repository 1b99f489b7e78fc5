//! The load program. It is `lattice_benches::load`, so that its tests are in the same program as all others.

fn main() -> std::process::ExitCode {
    lattice_benches::load::main()
}
