#![no_main]
//! Fuzzes [`lattice_core_fuzz::passed`].

libfuzzer_sys::fuzz_target!(|input: &[u8]| lattice_core_fuzz::passed(input));
