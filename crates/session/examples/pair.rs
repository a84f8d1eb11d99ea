//! Two sessions without a network: says what each end is told, and what a transport would have seen.
//!
//! `cargo run -p xtls-session --example pair`

#![allow(clippy::print_stdout, reason = "what the program is for")]

use std::sync::Arc;
use std::time::Instant;

use xtls_session::{Binding, Config, Event, Service, Session, Verdict};
use xtls_stanza::{Address, Element, Kind, Stanza};
use xtls_tls::{Identity, Role, Tls, rustls, trust};
use zeroize::Zeroizing;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct End {
    name: &'static str,
    session: Session,
    lines: Vec<&'static str>,
}

fn main() -> Result<()> {
    // No network and no time here: any moment will do.
    #[expect(
        clippy::disallowed_methods,
        reason = "the program gives the core its time"
    )]
    let now = Instant::now();
    let (orchard, balcony) = (
        Address::new("romeo@montague.example/orchard")?,
        Address::new("juliet@capulet.example/balcony")?,
    );
    let mut romeo = End {
        name: "romeo",
        session: session(orchard.clone(), balcony.clone(), Role::Client, 1, now)?,
        lines: vec!["But soft, what light", "Call me but love"],
    };
    let mut juliet = End {
        name: "juliet",
        session: session(balcony, orchard, Role::Server, 2, now)?,
        lines: vec!["What man art thou"],
    };
    while carry(&mut romeo, &mut juliet, now)? | carry(&mut juliet, &mut romeo, now)? {}
    Ok(())
}

fn session(own: Address, peer: Address, role: Role, key: u8, now: Instant) -> Result<Session> {
    // Real keys come from a secure random source, and the sid from the transport.
    let identity = Identity::generate(own.bare(), &Zeroizing::new([key; 32]), 1_767_225_600)?;
    let time = Arc::new(rustls::time_provider::DefaultTimeProvider);
    let tls = xtls_tls::Config::new(Arc::new(identity), xtls_tls::default_provider(), time)?;
    let (sid, service) = ("s1".to_owned(), Service::stanzas());
    let binding = Binding {
        own,
        peer,
        sid,
        service,
        role,
    };
    let expect = binding.expect(Arc::new(trust::Store::new()), trust::Policy::Ask);
    let tls = Tls::new(role, &tls, expect)?;
    Ok(Session::new(binding, tls, Config::default(), now))
}

/// Moves what one end has for the other; whether there was anything.
fn carry(from: &mut End, to: &mut End, now: Instant) -> Result<bool> {
    let mut wire = Vec::new();
    while let Some(bytes) = from.session.poll_wire(usize::MAX) {
        wire.extend_from_slice(&bytes);
    }
    if !wire.is_empty() {
        println!("{} → {}: {} bytes", from.name, to.name, wire.len());
        to.session.handle_wire(now, &wire);
    }
    let mut moved = !wire.is_empty();
    while let Some(event) = to.session.poll_event() {
        moved = true;
        tell(to, event, now)?;
    }
    Ok(moved)
}

fn tell(end: &mut End, event: Event, now: Instant) -> Result<()> {
    let name = end.name;
    match event {
        Event::Judge(introduction) => {
            // In earnest a person compares this over another channel.
            println!("  {name} meets {}", introduction.peer);
            println!("    {}", introduction.fingerprint);
            end.session
                .judge(now, introduction.fingerprint, Verdict::Accept)?;
        }
        // The initiator need not wait for the responder's verdict: what it says now leaves with its last flight.
        Event::Ready => speak(end, now)?,
        Event::Established(peer) => {
            println!("  {name} is secure with {}", peer.address);
            speak(end, now)?;
        }
        Event::Stanza(stanza) => {
            let from = stanza.from.as_ref().map_or("nobody", Address::as_str);
            let said = stanza
                .elements()?
                .iter()
                .map(Element::text)
                .collect::<String>();
            println!("  {name} hears {from}: {said}");
        }
        Event::PeerFinished => {
            println!("  {name} has heard everything");
            end.session.took(now);
        }
        Event::Closed(close) => println!(
            "  {name}: {} (clean: {}, of what it said: {:?})",
            close.why, close.clean, close.receipt
        ),
        // Only for those who send much, or bytes, or hear what nobody should say.
        Event::Readable | Event::Refused(_) | Event::Writable | _ => {}
    }
    Ok(())
}

/// Says everything and ends this direction; the other one goes on.
fn speak(end: &mut End, now: Instant) -> Result<()> {
    for line in end.lines.drain(..) {
        let body = Element::new("body", "jabber:client").with_text(line);
        end.session
            .send(&Stanza::new(Kind::Message).with_child(&body))?;
    }
    end.session.finish(now);
    Ok(())
}
