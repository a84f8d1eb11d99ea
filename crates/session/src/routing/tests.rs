//! The border, case by case.

mod payloads;

use bytes::Bytes;
use xtls_tls::Role;

use super::*;
use crate::Service;

const PEER: &str = "romeo@montague.example/orchard";
const OWN: &str = "juliet@capulet.example/balcony";

fn binding() -> Binding {
    Binding {
        own: Address::new(OWN).unwrap(),
        peer: Address::new(PEER).unwrap(),
        sid: "s1".to_owned(),
        service: Service::stanzas(),
        role: Role::Server,
    }
}

fn read(xml: &str) -> Stanza {
    Stanza::read(&Bytes::copy_from_slice(xml.as_bytes())).unwrap()
}

fn arrive(xml: &str) -> Result<Arrival, Violation> {
    restore(read(xml), &binding())
}

fn delivered(xml: &str) -> Stanza {
    match arrive(xml) {
        Ok(Arrival::Deliver(stanza)) => {
            assert_eq!(stanza.from, Some(binding().peer), "{xml}");
            assert_eq!(stanza.to, Some(binding().own), "{xml}");
            stanza
        }
        other => panic!("{xml}: {other:?}"),
    }
}

fn dropped(xml: &str) -> Violation {
    match arrive(xml) {
        Ok(Arrival::Drop(violation)) => violation,
        other => panic!("{xml}: {other:?}"),
    }
}

/// The condition that a request is answered with, and what is told of it.
fn answered(xml: &str) -> (Condition, Violation) {
    match arrive(xml) {
        Ok(Arrival::Answer {
            reply,
            refused: Some(refused),
        }) => {
            assert_eq!(reply.kind, Kind::Iq, "{xml}");
            assert_eq!(reply.type_.as_deref(), Some("error"), "{xml}");
            assert_eq!(reply.id, read(xml).id, "{xml}");
            assert_eq!(
                (reply.from.as_ref(), reply.to.as_ref()),
                (None, None),
                "{xml}"
            );
            let error = StanzaError::read(&reply.elements().unwrap()[0]);
            (error.condition, refused)
        }
        other => panic!("{xml}: {other:?}"),
    }
}

fn out(stanza: &Stanza) -> String {
    let mut xml = Vec::new();
    stanza.write(&mut xml);
    String::from_utf8(xml).unwrap()
}

fn sent(xml: &str) -> Result<String, SendError> {
    strip(&read(xml), &binding()).map(|stanza| out(&stanza))
}

// Addresses.

#[test]
fn absent_addresses_are_supplied() {
    for kind in ["message", "presence", "iq type='result' id='1'"] {
        delivered(&format!("<{kind}/>"));
    }
}

#[test]
fn true_addresses_are_accepted_in_every_spelling_of_theirs() {
    for from in [
        PEER,
        "romeo@montague.example",
        "ROMEO@Montague.EXAMPLE/orchard",
        "Romeo@montague.example",
        "romeo@montague.example./orchard",
        "&#114;omeo@montague.example/orchard",
    ] {
        delivered(&format!("<message from='{from}'/>"));
    }
    for to in [
        OWN,
        "juliet@capulet.example",
        "Juliet@CAPULET.example/balcony",
    ] {
        delivered(&format!("<message to='{to}'/>"));
    }
    delivered(&format!("<message from='{PEER}' to='{OWN}'/>"));
}

#[test]
fn false_addresses_are_fatal_in_every_form() {
    let false_to_both = [
        "mallory@example.org/x",
        "mallory@example.org",
        "romeo@montague.example/Orchard",
        "romeo@montague.example/orchard/",
        "romeo@montague.example/orchard2",
        "romeo@montague.example/garden",
        "romeo@montague.example.evil.example/orchard",
        "evil.romeo@montague.example/orchard",
        "romeo@montague.exampl\u{435}/orchard",
        "romeo@montague.example/orchard\u{200B}",
        "\u{FF52}omeo@montague.example/orchard",
        "montague.example",
        "montague.example/orchard",
        "capulet.example",
        "montague.example@montague.example",
    ];
    for (attribute, expected, other) in [("from", PEER, OWN), ("to", OWN, PEER)] {
        // One's own address is as false as a stranger's: it would make the stanza the account's word.
        let bare = Address::new(other).unwrap().to_bare();
        let swapped = [other, bare.as_str()];
        for claimed in false_to_both.into_iter().chain(swapped) {
            for kind in ["message", "presence", "iq type='set' id='1'"] {
                let violation = arrive(&format!("<{kind} {attribute}='{claimed}'/>")).unwrap_err();
                let all = Violation::Address(Box::new(FalseAddress {
                    attribute,
                    claimed: Address::new(claimed).unwrap(),
                    expected: Address::new(expected).unwrap(),
                }));
                assert_eq!(violation, all, "{claimed}");
            }
        }
    }
}

#[test]
fn a_false_address_is_fatal_before_anything_else_is_looked_at() {
    for rest in [
        "message from='a@b' type='groupchat'",
        "iq from='a@b'",
        "presence from='a@b' type='probe'",
    ] {
        assert!(matches!(
            arrive(&format!("<{rest}/>")),
            Err(Violation::Address(_))
        ));
    }
}

#[test]
fn a_namespaced_attribute_is_no_address() {
    let stanza = delivered("<message x:from='a@b' xmlns:x='urn:example'/>");
    assert_eq!(stanza.extra.len(), 2);
}

#[test]
fn a_service_is_its_exact_address() {
    let mut binding = binding();
    binding.peer = Address::new("montague.example").unwrap();
    let from = |text: &str| restore(read(&format!("<message from='{text}'/>")), &binding);
    assert!(from("montague.example").is_ok());
    assert!(from("montague.example/x").is_err());
    assert!(from(PEER).is_err());
}

// Types.

#[test]
fn presence_is_directed_presence_only() {
    delivered("<presence/>");
    delivered("<presence type='unavailable'/>");
    delivered("<presence type='error'/>");
    for type_ in [
        "subscribe",
        "subscribed",
        "unsubscribe",
        "unsubscribed",
        "probe",
        "invisible",
        "",
    ] {
        let violation = dropped(&format!("<presence type='{type_}'/>"));
        let type_ = type_.to_owned();
        assert_eq!(
            violation,
            Violation::Type {
                kind: "presence",
                type_
            }
        );
    }
}

#[test]
fn a_message_is_from_a_person_and_not_from_a_room() {
    for type_ in ["normal", "chat", "headline", "error", "unknown"] {
        delivered(&format!("<message type='{type_}'/>"));
    }
    let type_ = "groupchat".to_owned();
    let violation = dropped("<message type='groupchat'><body>x</body></message>");
    assert_eq!(
        violation,
        Violation::Type {
            kind: "message",
            type_
        }
    );
}

#[test]
fn an_iq_without_id_or_type_is_dropped() {
    for head in [
        "type='get'",
        "type='result'",
        "id='1'",
        "id='1' type='read'",
        "id='1' type=''",
        "",
    ] {
        assert_eq!(
            dropped(&format!("<iq {head}><a xmlns='b'/></iq>")),
            Violation::Iq
        );
    }
}

#[test]
fn a_request_has_exactly_one_child() {
    for children in [
        "",
        "text",
        "<ping xmlns='urn:xmpp:ping'/><query xmlns='jabber:iq:roster'/>",
        "<ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/>",
        "<a xmlns='b'/><c xmlns='d'/>",
    ] {
        for type_ in ["get", "set"] {
            let xml = format!("<iq type='{type_}' id='1'>{children}</iq>");
            assert_eq!(answered(&xml), (Condition::BadRequest, Violation::Iq));
        }
    }
    delivered("<iq type='get' id='1'> <a xmlns='b'/> </iq>");
    delivered("<iq type='result' id='1'/>");
    delivered("<iq type='error' id='1'/>");
}

// Sending.

#[test]
fn addresses_are_taken_off_the_top_level_and_nothing_else_is() {
    let xml = format!(
        "<message from='{OWN}' to='{PEER}' id='1' type='chat' xml:lang='en' x:a='b' c='d' xmlns:x='urn:x'>\
         <x:y/><body>hi</body></message>"
    );
    assert_eq!(
        sent(&xml).unwrap(),
        "<message xmlns='jabber:client' id='1' type='chat' xml:lang='en' xmlns:x='urn:x' x:a='b' c='d'>\
         <x:y/><body>hi</body></message>"
    );
    assert_eq!(
        sent("<presence to='romeo@montague.example' from='juliet@capulet.example'/>").unwrap(),
        "<presence xmlns='jabber:client'/>"
    );
}

#[test]
fn a_stanza_for_somebody_else_is_not_sent() {
    for (attribute, expected, other) in [("to", PEER, OWN), ("from", OWN, PEER)] {
        for told in [
            "mallory@example.org",
            other,
            "romeo@montague.example/garden",
        ] {
            let error = sent(&format!("<message {attribute}='{told}'/>")).unwrap_err();
            let all = FalseAddress {
                attribute,
                claimed: Address::new(told).unwrap(),
                expected: Address::new(expected).unwrap(),
            };
            assert_eq!(error, SendError::Address(Box::new(all)));
        }
    }
}

#[test]
fn what_is_sent_arrives_as_it_was() {
    let there = binding();
    let (own, peer) = (there.peer.clone(), there.own.clone());
    let here = Binding {
        own,
        peer,
        role: Role::Client,
        ..binding()
    };
    for xml in [
        "<message id='1' type='chat' xml:lang='en'><body>hi</body></message>",
        "<presence><show>away</show></presence>",
        "<iq type='get' id='1'><query xmlns='urn:q'/></iq>",
        "<iq type='result' id='1' xmlns:a='urn:a' a:b='c'><a:d/></iq>",
    ] {
        let original = read(xml);
        let sent = out(&strip(&original, &here).unwrap());
        let Ok(Arrival::Deliver(arrived)) = restore(read(&sent), &there) else {
            panic!("{xml}")
        };
        let (from, to) = (Some(there.peer.clone()), Some(there.own.clone()));
        assert_eq!(
            arrived,
            Stanza {
                from,
                to,
                ..original
            }
        );
    }
}

// Words.

#[test]
fn a_peer_cannot_write_on_the_terminal_through_an_error() {
    let evil = "a&#x9B;2J&#x202E;\u{202E}&#10;b";
    let shown = [
        dropped(&format!(
            "<message type='groupchat'><a xmlns='{evil}'/></message>"
        ))
        .to_string(),
        dropped(&format!("<presence type='{evil}'/>")).to_string(),
        dropped(&format!(
            "<message><result xmlns='urn:xmpp:mam:{evil}'/></message>"
        ))
        .to_string(),
        arrive("<message from='a@b/\u{202E}x'/>")
            .unwrap_err()
            .to_string(),
    ];
    for text in shown {
        assert!(text.is_ascii() && !text.contains('\n'), "{text:?}");
    }
}
