//! Pipes standard input through two muxes to standard output, and prints what that took.
//!
//! `printf 'But soft, what light' | cargo run -p xtls-ibb --example pipe`

use std::io::{Read, Write};
use std::time::Instant;

use xtls_ibb::{Allow, Config, Event, Mux, OpenOptions};
use xtls_stanza::Address;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let mut input = bytes::Bytes::from(input);

    let juliet = Address::new("juliet@capulet.example/balcony")?;
    let romeo = Address::new("romeo@montague.example/orchard")?;
    // No network and no time here: any moment will do, and any seed.
    #[expect(
        clippy::disallowed_methods,
        reason = "the program gives the core its time"
    )]
    let now = Instant::now();
    let mut from = Mux::new(romeo, Config::default(), [1; 32]);
    let mut to = Mux::new(juliet.clone(), Config::default(), [2; 32]);
    to.allow(Allow::Anyone);
    let stream = from.open(now, &juliet, OpenOptions::default())?;

    let (mut stanzas, mut stats) = (0, None);
    loop {
        while !input.is_empty() && from.room(stream) > 0 {
            let taken = from.stream(now, stream).write(input.clone())?;
            input = input.split_off(taken);
        }
        while let Some(event) = to.poll_event() {
            match event {
                Event::Incoming { id, .. } => to.stream(now, id).accept(None)?,
                Event::Readable { id } => {
                    while let Some(bytes) = to.stream(now, id).read(usize::MAX) {
                        std::io::stdout().write_all(&bytes)?;
                    }
                }
                Event::Closed { close, .. } => eprintln!("to: {close}"),
                // Only for those who write.
                Event::Opened { .. } | Event::Writable { .. } | _ => {}
            }
        }
        while let Some(event) = from.poll_event() {
            if !matches!(event, Event::Writable { .. }) {
                eprintln!("from: {event:?}");
            }
        }
        if let Some(stanza) = from.poll_transmit(now) {
            to.handle(now, stanza);
        } else if let Some(stanza) = to.poll_transmit(now) {
            from.handle(now, stanza);
        } else if stats.is_none() {
            // All is quiet: everything has arrived.
            stats = from.stats(stream);
            from.stream(now, stream).close();
        } else {
            break;
        }
        stanzas += 1;
    }
    eprintln!("{stanzas} stanzas; {stats:#?}");
    Ok(())
}
