#![no_main]
//! Fuzzes [`lattice_host_fuzz::wire`].

libfuzzer_sys::fuzz_target!(|input: &[u8]| lattice_host_fuzz::wire(input));
