//! Runs `archipel_fuzz::admission` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| archipel_fuzz::admission::run(bytes));
