//! The real servers that `cargo xtask test` starts, and processes of the program.
