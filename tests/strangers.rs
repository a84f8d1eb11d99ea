//! Malformed input from strangers: every parser that it can reach returns an error, and never panics or hangs.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use xtls_framer::{Framer, Limits};
use xtls_stanza::ibb::Sid;
use xtls_stanza::{Address, Element, Envelope, Stanza};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::raw::Duel;
use xtls_tls::trust::{Policy, Store};
use xtls_tls::{Expectations, Fingerprint, Identity, Role, Tls};

/// Pieces of stanzas, in any order: closer to the edge of what is allowed than random bytes.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "<message",
        "<iq",
        "<presence",
        " type='set'",
        " id='a'",
        " from='romeo@montague.example/orchard'",
        " to='juliet@capulet.example/balcony'",
        " xmlns='jabber:client'",
        " xmlns:a='b'",
        ">",
        "/>",
        "</iq>",
        "</message>",
        "<open xmlns='http://jabber.org/protocol/ibb'",
        " sid='s'",
        " block-size='4096'",
        " seq='0'",
        "<data xmlns='http://jabber.org/protocol/ibb'",
        "</data>",
        "AAAA",
        "=",
        "&amp;",
        "&#0;",
        "&#x10FFFF;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<?xml?>",
        "<!DOCTYPE",
        "'",
        "\"",
        " ",
        "\n",
        "\u{0}",
        "\u{FEFF}",
        "é",
        "<start xmlns='urn:xmpp:tmp:xtls'/>",
        "<close xmlns='urn:xmpp:tmp:xtls'",
        "<hello",
        "a:",
        ":",
        "xmlns",
    ]);
    let text = prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![3 => text, 1 => prop::collection::vec(any::<u8>(), 0..600)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn stanza_parsers_return(bytes in pieces()) {
        let frame = Bytes::from(bytes.clone());
        // What is accepted can be written, and read again as the same.
        if let Ok(stanza) = Stanza::read(&frame) {
            let mut xml = Vec::new();
            stanza.write(&mut xml);
            prop_assert_eq!(Stanza::read(&Bytes::from(xml)).expect("what we write reads"), stanza);
        }
        if let Ok(envelope) = Envelope::read(&frame) {
            let mut xml = Vec::new();
            envelope.write(&mut xml);
            prop_assert!(Envelope::read(&Bytes::from(xml)).is_ok());
        }
        let _ = Element::read(&bytes, "jabber:client");
        let mut framer = Framer::new(Limits::default());
        framer.push(&bytes);
        while let Ok(Some(frame)) = framer.next() {
            prop_assert!(!frame.as_bytes().is_empty());
        }
    }

    #[test]
    fn text_parsers_return(text in ".{0,200}") {
        let _ = Address::new(&text);
        let _ = Sid::new(&text);
        let _ = Fingerprint::parse(&text);
        let _ = Identity::from_pem(&text);
        let _ = xtls_client::uplink::normalise(&text);
        // A damaged file never yields a store.
        prop_assert!(Store::parse(&text).is_err());
    }

    #[test]
    fn a_certificate_made_of_anything_is_no_identity(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut text = Vec::new();
        xtls_stanza::base64::encode(&body, &mut text);
        let text = String::from_utf8(text).unwrap();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        prop_assert!(Identity::from_pem(&pem).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn tls_returns_on_any_bytes_in_either_role(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        kind in 20_u8..25,
        server in any::<bool>(),
    ) {
        let (own, peer, role) =
            if server { (JULIET, ROMEO, Role::Server) } else { (ROMEO, JULIET, Role::Client) };
        let config = keys::seeded_tls(keys::identity(own, 1), [7; 32]);
        let (own, peer) = (keys::address(own), keys::address(peer));
        let mut expect = Expectations::new(own.bare(), peer.bare(), Store::new(), Policy::Ask);
        expect.alpn = b"xtls-stanza;test".to_vec();
        let mut tls = Tls::new(role, &config, expect).expect("TLS");
        let mut plain = BytesMut::new();
        // As a record of some type, so that more than the header is read.
        let mut wire = vec![kind, 3, 3];
        wire.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        wire.extend(&bytes);
        tls.handle_wire(&wire, &mut plain);
        tls.handle_wire(&bytes, &mut plain);
        tls.handle_wire_end();
        while tls.poll_wire(1000).is_some() {}
        prop_assert!(plain.is_empty() && tls.peer().is_none());
    }

    #[test]
    fn a_router_returns_on_any_stanza_and_an_open_tunnel_survives_it(bytes in pieces()) {
        let mut duel = Duel::friends();
        duel.open();
        if let Ok(envelope) = Envelope::read(&Bytes::from(bytes)) {
            // From someone else: whatever it is, it has no effect on the tunnel.
            duel.send_as("mallory@evil.example/den", envelope);
        }
        duel.say("<message xmlns='jabber:client' id='m1'/>");
        prop_assert_eq!(duel.delivered().len(), 1);
    }

    #[test]
    fn any_bytes_inside_the_tunnel_end_it_or_are_stanzas(bytes in pieces()) {
        let mut duel = Duel::friends();
        duel.open();
        duel.say(&bytes);
        for stanza in duel.delivered() {
            prop_assert_eq!(stanza.from, Some(keys::address(ROMEO)));
            prop_assert_eq!(stanza.to, Some(keys::address(JULIET)));
        }
    }
}
