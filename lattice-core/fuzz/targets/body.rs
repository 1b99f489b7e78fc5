#![no_main]
//! Fuzzes [`lattice_core_fuzz::body`].

libfuzzer_sys::fuzz_target!(|input: &[u8]| lattice_core_fuzz::body(input));
