#![no_main]
//! Fuzzes [`lattice_host_fuzz::lift`].

libfuzzer_sys::fuzz_target!(|input: &[u8]| lattice_host_fuzz::lift(input));
