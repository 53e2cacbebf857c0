//! Runs `archipel_fuzz::identity` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| archipel_fuzz::identity::run(bytes));
