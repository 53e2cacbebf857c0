//! Runs `archipel_fuzz::delta` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| archipel_fuzz::delta::run(bytes));
