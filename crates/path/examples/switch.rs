//! Two ends that begin on one pipe and move to another one in mid-sentence.
//!
//! `cargo run -p xtls-path --example switch`

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a program"
)]

use std::io;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use xtls_path::bytes::Bytes;
use xtls_path::{Beginning, Event, Keys, LegId, Place, Role, Wire};

const TEXT: &str =
    "What's in a name? That which we call a rose by any other name would smell as sweet.";

/// One end on both pipes: says `text`, and returns what it has read when that is `length` bytes.
async fn end(
    role: Role,
    mut pipes: [DuplexStream; 2],
    text: &'static str,
    length: usize,
) -> io::Result<String> {
    // In production, a secret of the TLS exporter, and random salts.
    let mut wire = Wire::new(Instant::now(), role);
    wire.bind(Keys::new(&[7; 32], b"both ends", role));
    let (place, salt) = match role {
        Role::Client => (Place::First, [1; 32]),
        Role::Server => (Place::Second, [2; 32]),
    };
    let how = Beginning {
        place,
        attempt: 1,
        cid: "second".into(),
        salt,
        relayed: false,
    };
    let (before, after) = text.split_at(text.len() / 2);
    wire.write(Bytes::from_static(before.as_bytes()));
    let leg = wire.begin(Instant::now(), how).map_err(io::Error::other)?;
    let legs = [LegId::ZERO, leg];
    let (mut read, mut said) = (Vec::new(), false);
    let mut buffers = [[0; 1_024]; 2];
    loop {
        while let Some(event) = wire.poll_event() {
            println!("{role:?}: {event:?}");
            match (role, event) {
                (Role::Client, Event::Standing { leg }) => {
                    wire.choose(Instant::now(), leg).map_err(io::Error::other)?;
                }
                (_, Event::Moved { .. }) => {
                    wire.write(Bytes::from_static(after.as_bytes()));
                    said = true;
                }
                (_, Event::Finished) => return String::from_utf8(read).map_err(io::Error::other),
                _ => {}
            }
        }
        for (leg, pipe) in legs.iter().zip(&mut pipes) {
            while let Some(bytes) = wire.poll_leg(Instant::now(), *leg, 1_024) {
                println!("{role:?} sends {} bytes on {leg}", bytes.len());
                pipe.write_all(&bytes).await?;
            }
        }
        let [zero, one] = &mut pipes;
        let [first, second] = &mut buffers;
        let due = wire.poll_timeout().unwrap_or_else(Instant::now);
        let (leg, bytes) = tokio::select! {
            count = zero.read(first) => (LegId::ZERO, first.get(..count?)),
            count = one.read(second) => (leg, second.get(..count?)),
            () = tokio::time::sleep_until(due.into()) => (leg, None),
        };
        wire.handle_leg(Instant::now(), leg, bytes.unwrap_or_default());
        wire.handle_timeout(Instant::now());
        while let Some(bytes) = wire.read(Instant::now(), 1_024) {
            read.extend(bytes);
        }
        if said && read.len() == length {
            wire.finish(Instant::now());
        }
    }
}

/// What each end has read of the other's.
async fn both() -> io::Result<[String; 2]> {
    let (first, second) = (duplex(4_096), duplex(4_096));
    let (said, answer) = (TEXT, "Take all myself.");
    let (read, heard) = tokio::try_join!(
        end(Role::Client, [first.0, second.0], said, answer.len()),
        end(Role::Server, [first.1, second.1], answer, said.len()),
    )?;
    Ok([heard, read])
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    for text in both().await? {
        println!("{text}");
    }
    Ok(())
}
