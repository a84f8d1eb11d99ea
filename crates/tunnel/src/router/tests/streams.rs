//! Byte tunnels among others of the same pair.

use xtls_session::{By, Mode, SendError as Session, Service, Why as Ended};
use xtls_tls::TlsError;

use super::super::SendError;
use super::*;

fn world() -> World {
    World::with(in_bytes(A), in_bytes(B))
}

/// All that can be read now.
fn read(world: &mut World, end: usize, id: TunnelId) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(bytes) = world.late(end, id).read(1000) {
        read.extend_from_slice(&bytes);
    }
    world.settle();
    read
}

fn write(world: &mut World, end: usize, id: TunnelId, bytes: &[u8]) {
    let written = world.tunnel(end, id).write(bytes);
    assert_eq!(written, Ok(bytes.len()));
}

#[test]
fn bytes_go_both_ways_and_end_in_order() {
    let mut world = world();
    let ids @ [a, b] = world.establish(A);
    write(&mut world, A, a, b"there");
    write(&mut world, B, b, b"back");
    world.settle();
    assert!(world.whats(B, b).any(|what| *what == TunnelEvent::Readable));
    assert_eq!(read(&mut world, B, b), b"there");
    assert_eq!(read(&mut world, A, a), b"back");
    assert_eq!(world.tunnel(A, a).mode(), Some(Mode::Bytes));
    let stanza = world.tunnel(A, a).send(&message("m1", "word"));
    assert!(matches!(stanza, Err(SendError::Session(Session::Mode(_)))));
    world.tunnel(A, a).finish();
    let last = world.tunnel(B, b).close_after(b"last");
    assert_eq!(last, Ok(()));
    world.settle();
    assert_eq!(read(&mut world, A, a), b"last");
    world.settle();
    world.assert_clean(ids);
    // The counters are there at the end, when no one can ask for them any more.
    let traffic = |end: usize, id| {
        let traffic = world.closed(end, id).traffic;
        (traffic.written, traffic.read)
    };
    assert_eq!((traffic(A, a), traffic(B, b)), ((5, 8), (8, 5)));
    let late = world.late(A, a).write(b"x");
    assert!(matches!(late, Err(SendError::Gone(_))));
}

#[test]
fn white_space_around_the_tunnel_is_no_part_of_it() {
    let mut world = world();
    let [a, b] = world.establish(A);
    // A server may put white space anywhere: into the base64, and between the children of a stanza.
    let spaces = |text: &str| {
        let text = text.replacen("'>", "'> \n\t", 2);
        text.replace("</data>", " \r\n</data> \n")
            .replace("</iq>", " </iq>")
    };
    world.alter = Some(Box::new(move |_, envelope| {
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        let xml = spaces(&String::from_utf8(xml).unwrap());
        Envelope::read(&xml.into_bytes().into()).unwrap()
    }));
    write(&mut world, A, a, b" there ");
    world.settle();
    write(&mut world, A, a, b"\n");
    world.settle();
    assert_eq!(read(&mut world, B, b), b" there \n");
    // And stanzas of white space only, or bare text, are none of the stream's.
    for xml in [
        "<message type='chat'><body> </body></message>",
        "<message> </message>",
        "<presence> </presence>",
    ] {
        world.inject(B, Some(NAMES[A]), xml);
    }
    assert_eq!(read(&mut world, B, b), b"");
    write(&mut world, B, b, b"back");
    world.settle();
    assert_eq!(read(&mut world, A, a), b"back");
}

#[test]
fn a_second_service_of_stanzas_that_was_admitted_at_once_is_not_let_in() {
    // The owner of B is asked; two of A's programs hold the same address and key.
    let chess = Service::new("chess", Mode::Stanzas);
    let config_b = config(B)
        .accept(Accept::Ask([].into()))
        .also_serve([chess.clone()]);
    let mut world = World::with(config(A), config_b);
    let mut second = Router::new(address(NAMES[A]), config(A).service(chess), [77; 32]);
    world.open(A);
    world.settle();
    let one = world.last_id(B);
    std::mem::swap(&mut world.ends[A].router, &mut second);
    world.open(A);
    world.settle();
    let two = world.last_id(B);
    assert_ne!(one, two);
    std::mem::swap(&mut world.ends[A].router, &mut second);
    world.tunnel(B, one).admit(true);
    world.settle();
    assert!(world.established(B, one));
    std::mem::swap(&mut world.ends[A].router, &mut second);
    world.tunnel(B, two).admit(true);
    world.settle();
    assert_eq!(
        (world.closed(B, two).by, world.closed(B, two).why),
        (By::Us, Why::Second)
    );
    assert!(world.ended(B, one).is_none());
}

#[test]
fn a_newer_session_is_for_what_the_older_one_was() {
    let chess = Service::new("chess", Mode::Stanzas);
    let serving = config(B).also_serve([chess.clone()]);
    let mut world = World::with(config(A), serving);
    let [_, old] = world.establish(A);
    world.restart(A, config(A).service(chess));
    let a = world.open(A);
    world.settle();
    let alpn = Why::Session(Ended::Tls(TlsError::Alpn));
    assert_eq!(world.closed(A, a).why, alpn);
    assert!(world.ended(B, old).is_none());
    assert_eq!(world.last_id(B), old, "the owner never heard of it");
    world.restart(A, config(A));
    world.establish(A);
    assert_eq!(world.closed(B, old).why, Why::Replaced);
}

#[test]
fn crossing_opens_for_different_services_of_stanzas_make_no_tunnel_and_say_why() {
    let chess = || Service::new("chess", Mode::Stanzas);
    for (there, back) in [(chess(), Service::stanzas()), (Service::stanzas(), chess())] {
        let serve = |end, service: &Service| {
            let both = [chess(), Service::stanzas()];
            config(end).service(service.clone()).also_serve(both)
        };
        let mut world = World::with(serve(A, &there), serve(B, &back));
        let (a, b) = (world.open(A), world.open(B));
        world.settle();
        assert!(matches!(
            world.closed(A, a).why,
            Why::Session(Ended::Tls(_))
        ));
        assert_eq!(
            world.closed(B, b).why,
            Why::Session(Ended::Tls(TlsError::Alpn))
        );
        for end in [A, B] {
            assert_eq!(world.router(end).leftovers(), 0);
        }
    }
}

#[test]
fn a_byte_tunnel_in_the_original_flow_is_one_too() {
    let original = |end| config(end).service(pipe()).original(true);
    let mut world = World::with(original(A), original(B));
    let ids @ [a, b] = world.establish(A);
    let data: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).collect();
    let (mut rest, mut heard) = (&data[..], Vec::new());
    while !rest.is_empty() {
        let taken = world.tunnel(A, a).write(rest).unwrap_or(0);
        rest = &rest[taken..];
        world.settle();
        heard.extend(read(&mut world, B, b));
    }
    // Little is held ahead of a reader.
    loop {
        world.settle();
        match read(&mut world, B, b) {
            more if more.is_empty() => break,
            more => heard.extend(more),
        }
    }
    assert!(heard == data);
    let stats = world.tunnel(A, a).stats();
    assert_eq!((stats.written, stats.stream), (data.len() as u64, None));
    world.tunnel(A, a).close();
    world.tunnel(B, b).close();
    world.wait(Duration::from_secs(60));
    world.assert_clean(ids);
}
