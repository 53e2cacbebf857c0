//! Runs `archipel_fuzz::manifest` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| archipel_fuzz::manifest::run(bytes));
