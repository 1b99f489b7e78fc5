//! The load program, [`lattice_benches::load`]. It is part of the library so that its tests don't need
//! a program of their own.

fn main() -> std::process::ExitCode {
    lattice_benches::load::main()
}
