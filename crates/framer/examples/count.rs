//! Counts the stanzas on standard input, and their bytes: `cargo run --example count <
//! stanzas.xml`.

use std::io::{self, Write};

use xtls_framer::{Limits, frames};

fn main() -> io::Result<()> {
    let (mut stanzas, mut bytes, mut longest) = (0_u64, 0, 0);
    for frame in frames(io::stdin().lock(), Limits::default()) {
        let len = frame?.as_bytes().len();
        stanzas += 1;
        bytes += len;
        longest = longest.max(len);
    }
    writeln!(
        io::stdout(),
        "{stanzas} stanzas, {bytes} bytes, the longest {longest} bytes"
    )
}
