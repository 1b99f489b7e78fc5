#![no_main]
//! Fuzzes [`lattice_core_fuzz::stream`].

libfuzzer_sys::fuzz_target!(|input: &[u8]| lattice_core_fuzz::stream(input));
