//! While stanzas pass.

use super::*;

#[test]
fn what_is_unknown_and_no_stanza_is_passed_over() {
    for sm in [false, true] {
        in_every_cutting(|server| {
            let mut server = if sm {
                server.open_with_sm()
            } else {
                server.open()
            };
            let nonzas = [
                "<x xmlns='urn:other'/>",
                "<csi xmlns='urn:xmpp:csi:0'><active/></csi>",
                "<stream:features/>",
            ];
            server.say(format!(
                "{}<message/> \n{}",
                nonzas.concat(),
                nonzas.concat()
            ));
            assert_eq!(server.stanzas(), ["<message/>"]);
            assert_eq!((server.error(), server.said()), (None, String::new()));
        });
    }
}

#[test]
fn a_stanza_with_a_prefix_ends_the_stream() {
    in_every_cutting(|server| {
        let mut server = server.open();
        server.say("<c:message xmlns:c='jabber:client'/>");
        let why = server.protocol();
        assert!(why.contains("with a prefix"), "{why}");
    });
}

#[test]
fn a_stanza_that_is_too_long_for_the_server_is_not_sent() {
    let limits = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>20000</max-bytes></limits>";
    in_every_cutting(|mut server| {
        server.log_in(&format!("{limits}{BIND_AND_SM}"));
        server.bind(RESOURCE);
        server.say(ENABLED);
        server.said();
        assert_eq!(server.stream.stanza_limit(), Some(20_000));
        let fits = format!("<message>{}</message>", "x".repeat(20_000 - 19));
        server.queue("<presence/>");
        let long = fits.replace("<message>", "<message >");
        let sent = server.offer(&long);
        assert_eq!(
            sent,
            Err(NotSent::TooLong {
                len: 20_001,
                limit: 20_000
            })
        );
        server.send(&fits);
        assert_eq!(server.said(), format!("<presence/>{fits}{R}"));
        // What was not sent is not counted either.
        server.say(a(2));
        assert_eq!(server.error(), None);
        server.say(a(3));
        assert!(server.error().is_some());
    });
}

#[test]
fn a_silent_server_is_asked_after_sixty_seconds_and_dead_after_ninety() {
    for sm in [false, true] {
        in_every_cutting(|server| {
            let mut server = if sm {
                server.open_with_sm()
            } else {
                server.open()
            };
            server.wait(Duration::from_millis(59_999));
            assert_eq!(server.said(), "");
            server.wait(Duration::from_millis(1));
            let said = server.said();
            match sm {
                true => assert_eq!(said, R),
                false => assert!(said.contains("<ping xmlns='urn:xmpp:ping'/>"), "{said}"),
            }
            server.wait(Duration::from_millis(29_999));
            assert_eq!((server.said(), server.error()), (String::new(), None));
            server.wait(Duration::from_millis(1));
            let error = server.error().unwrap();
            assert!(matches!(error, ConnectError::Broken { .. }), "{error:?}");
            assert!(!error.is_final());
        });
    }
}

#[test]
fn anything_that_comes_is_life() {
    for sm in [false, true] {
        for life in [" ", "<message/>", R, "<mess"] {
            in_every_cutting(|server| {
                let mut server = if sm {
                    server.open_with_sm()
                } else {
                    server.open()
                };
                server.wait(s(89));
                server.said();
                server.say(life);
                server.wait(s(59));
                assert!(!server.said().contains("ping"));
                server.wait(s(30));
                assert_eq!(server.error(), None);
                server.wait(s(1));
                assert!(server.error().is_some());
            });
        }
    }
}

// processone/fluux-messenger #380, #517
#[test]
fn an_error_to_a_ping_is_life() {
    in_every_cutting(|server| {
        let mut server = server.open();
        for _ in 0..3 {
            server.wait(s(60));
            let id = server.id();
            server.wait(s(29));
            server.say(error(&id, "service-unavailable"));
            assert_eq!(server.stanzas(), [""; 0], "and nobody else's business");
        }
        assert_eq!(server.error(), None);
    });
}

#[test]
fn pings_that_are_never_answered_do_not_pile_up() {
    let mut server = Peer::new(Cutting::Even(usize::MAX)).open();
    server.wait(s(60));
    let first = server.id();
    for _ in 0..1_000 {
        server.say(" ");
        server.wait(s(60));
        assert_eq!(server.id(), first, "there is one to wait for");
    }
    server.say(format!("<iq type='result' id='{first}'/>"));
    assert_eq!(server.stanzas(), [""; 0]);
}

/// A link that asks its server what it is.
fn asked(server: Peer) -> (Peer, String) {
    let mut server = server.open();
    server.stream.ask_for_software();
    server.write();
    let said = server.said.clone();
    assert!(
        said.contains("to='example.org'") && said.contains("disco#info"),
        "{said}"
    );
    let id = server.id();
    (server, id)
}

fn info(id: &str, name: &str) -> String {
    format!(
        "<iq type='result' id='{id}' from='example.org'><query xmlns='http://jabber.org/protocol/disco#info'>\
         <identity category='server' type='im' name='{name}'/><feature var='urn:xmpp:ping'/></query></iq>"
    )
}

#[test]
fn what_a_stranger_says_about_the_server_is_not_believed() {
    in_every_cutting(|server| {
        let (mut server, id) = asked(server);
        let forged = info(&id, "ejabberd").replace("from='example.org'", "from='example.net'");
        server.say(&forged);
        assert_eq!(server.stream.session().software(), Software::Unknown);
        assert_eq!(server.stanzas(), [forged], "it is a stanza like any other");
        server.say(info(&id, "ejabberd"));
        assert_eq!(server.stream.session().software(), Software::Other);
    });
}

#[test]
fn a_server_that_does_not_say_what_it_is_stays_unknown() {
    in_every_cutting(|server| {
        let (mut server, id) = asked(server);
        server.say(error(&id, "service-unavailable"));
        assert!(matches!(server.events.pop_front(), Some(Event::Software)));
        assert_eq!(server.stream.session().software(), Software::Unknown);
    });
}

#[test]
fn a_server_is_known_by_what_it_says() {
    for (name, software) in [
        ("ejabberd", Software::Other),
        ("Prosody", Software::Prosody),
        ("a prosody of ours", Software::Prosody),
        ("", Software::Other),
    ] {
        in_every_cutting(|server| {
            let (mut server, id) = asked(server);
            server.say(info(&id, name));
            assert!(matches!(server.events.pop_front(), Some(Event::Software)));
            assert_eq!(server.stream.session().software(), software, "{name}");
            // And asked no more.
            server.stream.ask_for_software();
            server.write();
            assert_eq!(server.said(), "");
        });
    }
    for (node, software) in [
        ("http://prosody.im", Software::Prosody),
        ("http://www.process-one.net/en/ejabberd/", Software::Other),
    ] {
        in_every_cutting(|mut server| {
            let caps = format!(
                "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{node}' ver='x'/>"
            );
            server.log_in(&format!("{caps}{BIND}"));
            server.bind(RESOURCE);
            assert_eq!(server.stream.session().software(), software, "{node}");
            server.stream.ask_for_software();
            server.write();
            assert_eq!(server.said(), "");
        });
    }
}

#[test]
fn a_stream_that_is_full_has_no_room_until_it_is_written() {
    let mut server = Peer::new(Cutting::Even(usize::MAX)).open();
    let stanza = format!("<message>{}</message>", "x".repeat(4_000));
    let mut sent = 0;
    while server.stream.has_room() {
        server.queue(&stanza);
        sent += stanza.len();
    }
    assert!((ROOM..ROOM + stanza.len()).contains(&sent), "{sent}");
    server.write();
    assert!(server.stream.has_room());
    assert_eq!(server.said().len(), sent);
}
