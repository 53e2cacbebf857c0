//! Runs `archipel_fuzz::session` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| archipel_fuzz::session::run(bytes));
