//! Runs `archipel_fuzz::scanner` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| archipel_fuzz::scanner::run(bytes));
