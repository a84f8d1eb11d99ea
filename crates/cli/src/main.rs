//! The `xtls` program.
fn main() {}
