//! Draws the window controller at work: `cargo run -p xtls-ibb --example window > docs/window.svg`.
//!
//! One stream with more to send than any path takes, between two muxes in virtual time. The path is a stock server for half a
//! minute, then a fast and long one, then the stock server again. The same run gives the same picture.

mod draw;
mod path;

use std::error::Error;
use std::time::Duration;

use path::{Path, Phase, Sample};

/// What the path is, one after the other.
const PHASES: [Phase; 3] = [
    Phase {
        name: "server reads 10 kB/s, 100 ms",
        until: Duration::from_secs(40),
        rate: 10_000,
        latency: Duration::from_millis(50),
    },
    Phase {
        name: "link of 1 MB/s, 200 ms",
        until: Duration::from_secs(80),
        rate: 1_000_000,
        latency: Duration::from_millis(100),
    },
    Phase {
        name: "server reads 10 kB/s again, 100 ms",
        until: Duration::from_secs(180),
        rate: 10_000,
        latency: Duration::from_millis(50),
    },
];

fn picture() -> Result<String, Box<dyn Error>> {
    let samples: Vec<Sample> = Path::new(&PHASES)?.run()?;
    Ok(draw::svg(&PHASES, &samples))
}

#[expect(clippy::print_stdout, reason = "the picture is the output")]
fn main() -> Result<(), Box<dyn Error>> {
    print!("{}", picture()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_picture_in_the_docs_is_of_this_controller() {
        let picture = super::picture().unwrap();
        assert!(
            picture == include_str!("../../../../docs/window.svg"),
            "cargo run -p xtls-ibb --example window > docs/window.svg"
        );
    }
}
