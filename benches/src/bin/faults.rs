//! The faults program, [`lattice_benches::faults`]. It is part of the library so that its tests don't need
//! a program of their own.

fn main() -> std::process::ExitCode {
    lattice_benches::faults::main()
}
