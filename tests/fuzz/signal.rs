#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xtls_fuzz::Target::Signal.libfuzzer(input));
