#![no_main]
//! Fuzzes [`lattice_core_fuzz::exchange`].

libfuzzer_sys::fuzz_target!(|input: &[u8]| lattice_core_fuzz::exchange(input));
