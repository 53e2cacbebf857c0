//! Runs `archipel_fuzz::bundle` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| archipel_fuzz::bundle::run(bytes));
