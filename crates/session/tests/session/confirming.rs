//! Established: what makes it so, and what does not.

use std::io::Write as _;
use std::time::Duration;

use xtls_session::{By, Config, Mode, Receipt, SendError, Service, Why};
use xtls_tls::rustls::server::ServerSessionMemoryCache;
use xtls_tls::rustls::{Connection, ServerConnection};
use xtls_tls::trust::Policy;
use xtls_tls::{Role, Tls, TlsError};

use super::support::{
    End, JULIET, Ours, ROMEO, Setup, address, bodies, message, settle, settle_cut, stanza,
};

/// A server that is rustls itself, so that it can send what `Tls` never does.
struct Raw {
    connection: Connection,
}

impl Raw {
    /// It sends two tickets with its first bytes after the handshake.
    fn with_tickets(setup: &Setup) -> Self {
        let expect = setup
            .binding(Role::Server)
            .expect(setup.store(Role::Server), Policy::Ask);
        let (mut config, _) = setup.tls_config(Role::Server).server(&expect).unwrap();
        config.session_storage = ServerSessionMemoryCache::new(8);
        config.send_tls13_tickets = 2;
        config.max_tls13_tickets = 2;
        Self {
            connection: ServerConnection::new(config.into()).unwrap().into(),
        }
    }
}

impl End for Raw {
    fn take(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn feed(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() {
            self.connection.read_tls(&mut wire).unwrap();
            self.connection.process_new_packets().unwrap();
        }
    }
}

#[test]
fn the_responder_says_exactly_one_space_after_its_verdict() {
    for setup in [Setup::stanzas(), Setup::bytes()] {
        let (mut juliet, mut stranger) = (setup.juliet(), setup.stranger(Role::Client));
        settle(&mut juliet, &mut stranger);
        assert_eq!(juliet.names(), ["established"]);
        assert_eq!(stranger.heard(), " ");
    }
}

#[test]
fn the_initiator_says_nothing_by_itself() {
    let setup = Setup::stanzas();
    let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
    settle(&mut romeo, &mut stranger);
    stranger.say(" ", &mut romeo);
    assert!(stranger.plain.is_empty());
}

#[test]
fn the_initiator_is_established_by_the_first_application_byte() {
    for first in [" ", "\n", "<presence/>"] {
        let setup = Setup::stanzas();
        let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
        settle(&mut romeo, &mut stranger);
        assert_eq!(romeo.names(), ["ready"]);
        stranger.say(first, &mut romeo);
        assert_eq!(romeo.names()[..2], ["ready", "established"]);
        let peer = romeo.established().unwrap();
        assert!(peer.bound);
        assert_eq!(peer.address, address(JULIET));
    }
}

/// It may be a step of a verification, which says nothing of a verdict.
#[test]
fn the_beginning_of_a_stanza_establishes_nothing_yet() {
    let setup = Setup::stanzas();
    let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
    settle(&mut romeo, &mut stranger);
    stranger.say("<message><body>Hist</bo", &mut romeo);
    assert_eq!(romeo.names(), ["ready"]);
    stranger.say("dy></message>", &mut romeo);
    assert_eq!(romeo.names(), ["ready", "established", "stanza"]);
}

#[test]
fn tickets_and_key_updates_never_establish() {
    let setup = Setup::stanzas();
    let (mut romeo, mut raw) = (setup.romeo(), Raw::with_tickets(&setup));
    raw.feed(&romeo.take());
    romeo.feed(&raw.take());
    romeo.send(&message("early"));
    raw.feed(&romeo.take());
    let tickets = raw.take();
    assert!(!tickets.is_empty());
    romeo.feed(&tickets);
    assert_eq!(romeo.names(), ["ready"]);
    raw.connection.refresh_traffic_keys().unwrap();
    let update = raw.take();
    assert!(!update.is_empty());
    romeo.feed(&update);
    assert_eq!(romeo.names(), ["ready"]);

    raw.connection.writer().write_all(b" ").unwrap();
    romeo.feed(&raw.take());
    assert_eq!(romeo.names(), ["ready", "established"]);
}

#[test]
fn an_alert_never_establishes() {
    let setup = Setup::stanzas();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.stranger(Role::Server));
    juliet.feed(&romeo.take());
    romeo.feed(&juliet.take());
    for body in ["one", "two", "three"] {
        romeo.send(&message(body));
    }
    // Something on the way flips a bit, so Juliet's TLS ends with an alert.
    let mut wire = romeo.take();
    *wire.last_mut().unwrap() ^= 1;
    juliet.feed(&wire);
    settle(&mut romeo, &mut juliet);
    let close = romeo.closed();
    assert_eq!(romeo.names(), ["ready", "closed"]);
    assert!(
        matches!(close.why, Why::Tls(TlsError::Alert(_))),
        "{close:?}"
    );
    assert_eq!(
        (close.by, close.clean, close.unconfirmed),
        (By::Peer, false, 3)
    );
}

#[test]
fn a_close_without_the_confirmation_is_no_acceptance() {
    for setup in [Setup::stanzas(), Setup::bytes()] {
        let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
        settle(&mut romeo, &mut stranger);
        stranger.tls.close();
        settle(&mut romeo, &mut stranger);
        let close = romeo.closed();
        assert_eq!(romeo.names(), ["ready", "closed"]);
        assert_eq!((close.by, close.why), (By::Peer, Why::Unconfirmed));
        assert!(!close.clean);
    }
}

#[test]
fn a_responder_that_never_says_yes_is_waited_for_in_time() {
    for setup in [Setup::stanzas(), Setup::bytes()] {
        let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
        settle(&mut romeo, &mut stranger);
        assert_eq!(romeo.names(), ["ready"]);
        let begun = romeo.now;
        assert_eq!(romeo.expire(), "confirmation");
        assert_eq!(romeo.now - begun, Duration::from_secs(600));
        let close = romeo.closed();
        assert_eq!((close.by, close.why), (By::Peer, Why::Unconfirmed));
        assert!(!close.clean);
    }
}

#[test]
fn a_responder_that_gives_up_spares_the_initiator_the_question() {
    let setup = Setup::stanzas().strangers();
    let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
    settle(&mut romeo, &mut stranger);
    assert_eq!(romeo.names(), ["judge"]);
    stranger.tls.close();
    settle(&mut romeo, &mut stranger);
    assert_eq!(romeo.closed().why, Why::Unconfirmed);
}

#[test]
fn an_initiator_may_close_before_the_confirmation() {
    let setup = Setup::stanzas();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    juliet.feed(&romeo.take());
    romeo.feed(&juliet.take());
    romeo.send(&message("all I have to say"));
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["ready", "established"]);
    assert_eq!(juliet.names(), ["established", "stanza", "peer finished"]);
    juliet.session.finish(juliet.now);
    settle(&mut romeo, &mut juliet);
    let close = romeo.closed();
    assert_eq!((close.why, close.unconfirmed), (Why::Finished, 0));
}

#[test]
fn what_was_sent_early_is_accepted_once_it_is_confirmed_and_not_yet_taken() {
    let setup = Setup::stanzas();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    juliet.feed(&romeo.take());
    romeo.feed(&juliet.take());
    romeo.send(&message("early"));
    settle(&mut romeo, &mut juliet);
    romeo.send(&message("late"));
    romeo.cut();
    let close = romeo.closed();
    assert_eq!((close.unconfirmed, close.receipt), (2, Receipt::Accepted));
    assert_eq!(bodies(&juliet.stanzas()), ["early"]);
}

#[test]
fn a_peer_that_knows_the_letter_only_gets_stanzas_and_is_not_bound() {
    let setup = Setup::stanzas();
    let (mut romeo, mut letter) = (setup.romeo(), setup.letter_only(Role::Server));
    settle(&mut romeo, &mut letter);
    assert_eq!(romeo.names(), ["ready"]);
    romeo.send(&message("hello"));
    letter.say("<message><body>hi</body></message>", &mut romeo);
    assert_eq!(romeo.names(), ["ready", "established", "stanza"]);
    assert!(!romeo.established().unwrap().bound);
    let sent = "<message xmlns='jabber:client'><body>hello</body></message>";
    assert_eq!(letter.heard(), sent);

    let (mut juliet, mut letter) = (setup.juliet(), setup.letter_only(Role::Client));
    settle(&mut juliet, &mut letter);
    assert!(!juliet.established().unwrap().bound);
    letter.say("<message><body>hi</body></message>", &mut juliet);
    assert_eq!(juliet.stanzas()[0].from, Some(address(ROMEO)));
    // For it the confirmation is white space between stanzas.
    assert_eq!(letter.heard(), " ");
}

#[test]
fn a_letter_only_responder_may_have_nothing_to_say() {
    let setup = Setup::stanzas();
    let (mut romeo, mut letter) = (setup.romeo(), setup.letter_only(Role::Server));
    settle(&mut romeo, &mut letter);
    letter.tls.close();
    settle(&mut romeo, &mut letter);
    assert_eq!(romeo.names(), ["ready", "peer finished"]);
    romeo.send(&message("one"));
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut letter);
    let close = romeo.closed();
    // It never showed that it accepts our key, and that stays said.
    assert_eq!(
        (close.why, close.clean, close.unconfirmed),
        (Why::Finished, true, 1)
    );
    assert!(romeo.established().is_none());
}

#[test]
fn byte_mode_without_our_name_ends_before_any_data_in_both_roles() {
    for role in [Role::Client, Role::Server] {
        for strangers in [false, true] {
            let other = if role == Role::Client {
                Role::Server
            } else {
                Role::Client
            };
            let mut setup = Setup::bytes();
            if strangers {
                setup = setup.strangers();
            }
            // An owner that forgot to require the name: the session looks by itself.
            let tls = setup.tls_with(role, Some(Vec::new()));
            let (mut end, mut letter) = (setup.end_over(role, tls), setup.letter_only(other));
            settle(&mut end, &mut letter);
            assert_eq!(end.session.write(b"secret"), Err(SendError::Finished));
            let close = end.closed();
            assert_eq!(end.names(), ["closed"]);
            assert_eq!(close.why, Why::Tls(TlsError::Alpn));
            assert!(letter.plain.is_empty());
        }
    }
}

#[test]
fn a_name_that_is_not_the_bindings_does_not_bind() {
    let setup = Setup::stanzas();
    let name = b"another".to_vec();
    let mut juliet = setup.end_over(
        Role::Server,
        setup.tls_with(Role::Server, Some(name.clone())),
    );
    let mut romeo = setup.end_over(Role::Client, setup.tls_with(Role::Client, Some(name)));
    settle(&mut romeo, &mut juliet);
    assert!(!romeo.established().unwrap().bound);
    assert!(!juliet.established().unwrap().bound);
}

#[test]
fn another_sid_or_service_is_another_session() {
    let here = Setup::stanzas();
    let mut other_sid = here.clone();
    other_sid.sid = "s2";
    let mut other_service = here.clone();
    other_service.service = Service::new("chess", Mode::Stanzas);
    for there in [other_sid, other_service, Setup::bytes()] {
        let (mut romeo, mut juliet) = (here.romeo(), there.juliet());
        settle(&mut romeo, &mut juliet);
        for end in [&mut romeo, &mut juliet] {
            assert_eq!(end.closed().why, Why::Tls(TlsError::Alpn));
            assert_eq!(end.names(), ["closed"]);
        }
    }
}

/// A responder that takes all of these, the first before the others.
fn serving(services: &[Service]) -> Ours {
    let mut setup = Setup::stanzas();
    setup.service = services[0].clone();
    let (binding, also) = (setup.binding(Role::Server), services[1..].to_vec());
    let store = setup.store(Role::Server);
    let expect = binding.expect_one_of(&also, store, Policy::Ask);
    let tls = Tls::new(Role::Server, &setup.tls_config(Role::Server), expect).unwrap();
    let mut juliet = setup.end_over(Role::Server, tls);
    juliet.session = juliet.session.serving(also);
    juliet
}

#[test]
fn a_responder_takes_the_service_that_is_named_and_no_other() {
    let pipe = Setup::bytes().service;
    let (chess, stanzas) = (Service::new("chess", Mode::Stanzas), Service::stanzas());
    for serves in [
        [pipe.clone(), chess.clone(), stanzas.clone()],
        [stanzas.clone(), pipe.clone(), chess.clone()],
    ] {
        for service in &serves {
            let mut setup = Setup::stanzas();
            setup.service = service.clone();
            let (mut romeo, mut juliet) = (setup.romeo(), serving(&serves));
            settle(&mut romeo, &mut juliet);
            for end in [&romeo, &juliet] {
                let peer = end.established().unwrap();
                assert!(peer.bound && peer.service == *service);
            }
        }
        let mut setup = Setup::stanzas();
        setup.service = Service::new("chess", Mode::Bytes);
        let (mut romeo, mut juliet) = (setup.romeo(), serving(&serves));
        settle(&mut romeo, &mut juliet);
        for end in [&mut romeo, &mut juliet] {
            assert_eq!(end.closed().why, Why::Tls(TlsError::Alpn));
        }
    }
}

#[test]
fn a_peer_that_knows_the_letter_only_gets_the_stanzas_among_several_services() {
    let pipe = Setup::bytes().service;
    let setup = Setup::stanzas();
    let letter = || setup.end_over(Role::Client, setup.tls_with(Role::Client, Some(Vec::new())));
    let (mut romeo, mut juliet) = (letter(), serving(&[pipe.clone(), Service::stanzas()]));
    settle(&mut romeo, &mut juliet);
    let peer = juliet.established().unwrap();
    assert_eq!(
        (peer.bound, peer.service.clone()),
        (false, Service::stanzas())
    );
    let (mut romeo, mut juliet) = (letter(), serving(&[pipe, Service::new("tar", Mode::Bytes)]));
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.closed().why, Why::Tls(TlsError::Alpn));
}

#[test]
fn the_exporter_opens_with_the_session_and_agrees() {
    let (romeo, juliet) = Setup::stanzas().connected();
    let mut keys = [[0; 32]; 2];
    romeo
        .session
        .export("EXPERIMENTAL-test", b"c", &mut keys[0])
        .unwrap();
    juliet
        .session
        .export("EXPERIMENTAL-test", b"c", &mut keys[1])
        .unwrap();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], [0; 32]);
}

#[test]
fn established_comes_before_what_came_with_it() {
    let setup = Setup::stanzas().with(Config::default());
    for cut in [1, 7, usize::MAX] {
        let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
        settle(&mut romeo, &mut stranger);
        stranger.write(" <presence/>");
        settle_cut(&mut stranger, &mut romeo, cut);
        assert_eq!(romeo.names(), ["ready", "established", "stanza"]);
        assert_eq!(
            romeo.stanzas()[0].to,
            stanza(&format!("<presence to='{ROMEO}'/>")).to
        );
    }
}
