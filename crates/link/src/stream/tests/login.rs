//! Up to the success.

use super::*;
use crate::sasl::tests::support::signature;
use xtls_stanza::base64::{self, Whitespace};

const SCRAM: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
    <mechanism>SCRAM-SHA-256</mechanism><mechanism>PLAIN</mechanism></mechanisms>\
    <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>";

const NS: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

pub(super) fn encoded(name: &str, ns: &str, text: &str) -> String {
    let mut out = Vec::new();
    base64::encode(text.as_bytes(), &mut out);
    let text = String::from_utf8(out).unwrap();
    format!("<{name} xmlns='{ns}'>{text}</{name}>")
}

/// What the client says in base64.
pub(super) fn decoded(element: &str) -> String {
    let (_, rest) = element.split_once('>').unwrap();
    let bytes = base64::decode(rest.split_once('<').unwrap().0, Whitespace::Refuse).unwrap();
    // The exporter in the second message is in base64 once more.
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn bytes_between_the_success_and_the_new_stream_are_refused() {
    for early in ["<x/>", "x", "<presence/>", HEADER] {
        in_every_cutting(|mut server| {
            server.greet(PLAIN);
            server.said();
            server.say(format!("{SUCCESS} \n{early}"));
            let why = server.protocol();
            assert_eq!(why, "it goes on before the stream is restarted");
            let header = server.said();
            assert!(
                !header.contains("pencil") && !header.contains("bind"),
                "{header}"
            );
        });
    }
    in_every_cutting(|mut server| {
        server.greet(PLAIN);
        server.said();
        server.say(format!("{SUCCESS} \n"));
        server.greet(BIND);
        assert_eq!(server.error(), None, "white space is nothing");
    });
}

#[test]
fn a_refused_password_is_told_and_nothing_else_is_tried() {
    in_every_cutting(|mut server| {
        server.greet(PLAIN);
        server.said();
        server.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
        let Some(ConnectError::Authentication { condition, .. }) = server.error() else {
            panic!("{:?}", server.end)
        };
        assert_eq!(condition, "not-authorized");
        // What is offered again is not taken.
        server.say(features(PLAIN));
        server.say(SUCCESS);
        assert_eq!(server.said(), "");
    });
}

#[test]
fn what_is_not_part_of_a_log_in_is_refused() {
    for (before, name) in [
        (true, "message"),
        (true, "success"),
        (false, "message"),
        (false, "challenge"),
    ] {
        in_every_cutting(|mut server| {
            match before {
                true => {
                    server.said();
                    server.say(HEADER);
                }
                false => server.greet(PLAIN),
            }
            server.said();
            server.say(format!(
                "<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
            ));
            server.protocol();
            assert_eq!(server.said(), "");
        });
    }
}

// processone/fluux-messenger #348, #360
#[test]
fn the_header_inside_tls_names_the_account() {
    in_every_cutting(|mut server| {
        let first = server.said();
        assert!(
            first.contains(" from='juliet@example.org' to='example.org' "),
            "{first}"
        );
        server.said = first.clone();
        server.greet(PLAIN);
        server.said();
        server.say(SUCCESS);
        assert_eq!(server.said(), first, "and so does the second");
    });
}

#[test]
fn a_whole_log_in_leads_to_stanzas_in_every_cutting() {
    in_every_cutting(|mut server| {
        server.greet(SCRAM);
        let auth = server.said();
        assert!(auth.contains("mechanism='SCRAM-SHA-256-PLUS'"), "{auth}");
        let first = decoded(&auth);
        assert!(first.starts_with("p=tls-exporter,,n=juliet,r="), "{first}");
        let nonce = first.split_once(",r=").unwrap().1;
        let rounds = "s=c2FsdA==,i=4096";
        server.say(encoded("challenge", NS, &format!("r={nonce}more,{rounds}")));
        let last = decoded(&server.said());
        let proof = signature(&first, rounds, &last);
        server.say(encoded("success", NS, &proof));
        server.greet(BIND_AND_SM);
        server.bind(RESOURCE);
        assert_eq!(
            server.said(),
            "<enable xmlns='urn:xmpp:sm:3' resume='true' max='600'/>"
        );
        server.say(format!("{ENABLED}<message id='m'/>"));
        assert_eq!(server.stanzas(), ["<message id='m'/>"]);
        server.send("<presence/>");
        assert_eq!(server.said(), format!("<presence/>{R}"));
        assert_eq!(server.stream.session().bound().unwrap().as_str(), RESOURCE);
    });
}
