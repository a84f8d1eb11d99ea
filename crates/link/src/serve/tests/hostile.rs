//! Clients that do what none may.

use super::*;
use crate::flow::{MAX_ELEMENTS, MAX_STANZA};

#[test]
fn what_begins_no_stream_of_a_client_is_refused_behind_a_header_of_ours() {
    let other = |from: &str, to: &str| HEADER.replace(from, to);
    for (text, condition) in [
        ("GET / HTTP/1.1\r\n".to_owned(), "bad-format"),
        ("\u{16}\u{3}\u{1}".to_owned(), "bad-format"),
        ("<a:b>".to_owned(), "not-well-formed"),
        (other("jabber:client", "jabber:server"), "invalid-namespace"),
        (other(" version='1.0'", ""), "unsupported-version"),
        (other("'example.org'", "'example.com'"), "host-unknown"),
        (other("'example.org'", "'a@example.org'"), "host-unknown"),
        (other(" to='example.org'", ""), "host-unknown"),
        (
            format!("<stream:stream a='{}", "a".repeat(5_000)),
            "policy-violation",
        ),
    ] {
        in_every_cutting(|mut client| {
            client.say(&text);
            assert!(client.said.starts_with("<?xml version='1.0'?>"), "{text}");
            client.is_ended_by(condition);
        });
    }
}

#[test]
fn a_stanza_before_the_log_in_or_the_resource_ends_the_stream() {
    for stanza in [
        "<message/>",
        "<presence/>",
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    ] {
        in_every_cutting(|mut client| {
            client.say(format!("{HEADER}{stanza}"));
            client.is_ended_by("not-authorized");
        });
        in_every_cutting(|client| {
            let mut client = client.logged_in();
            client.say(stanza);
            client.is_ended_by("not-authorized");
        });
    }
    in_every_cutting(|mut client| {
        client.say(format!("{HEADER}{}", bind("")));
        client.is_ended_by("not-authorized");
    });
}

#[test]
fn what_is_unknown_before_stanzas_ends_the_stream() {
    for element in [
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<x xmlns='urn:other'/>",
        "<stream:features/>",
    ] {
        in_every_cutting(|mut client| {
            client.say(format!("{HEADER}{element}"));
            client.is_ended_by("unsupported-stanza-type");
        });
        in_every_cutting(|client| {
            let mut client = client.logged_in();
            client.say(element);
            client.is_ended_by("unsupported-stanza-type");
        });
    }
}

#[test]
fn a_client_that_does_not_wait_for_the_answer_is_refused() {
    for rest in [HEADER, "<message/>", RIGHT, "<"] {
        for pieces in [usize::MAX, 1] {
            let mut client = Peer::new(pieces);
            client.say(HEADER);
            client.said();
            client.silent = true;
            client.say(format!("{RIGHT}{rest}"));
            assert_eq!(client.said(), "");
            let outcome = client.serving.log_in(true);
            client.end = outcome.err();
            client.write();
            client.is_ended_by("policy-violation");
        }
    }
}

#[test]
fn a_client_cannot_fill_the_memory_while_its_owner_thinks() {
    let mut client = Peer::new(usize::MAX);
    client.say(HEADER);
    client.silent = true;
    client.say(RIGHT);
    client.say("a".repeat(MAX_ELEMENT));
    assert_eq!(client.end, None);
    client.say("a");
    client.is_ended_by("policy-violation");
    assert!(client.serving.buffer().is_empty());
}

#[test]
fn what_is_too_long_too_deep_or_does_not_come_to_an_end_is_refused() {
    let long = format!("<a>{}", "a".repeat(MAX_ELEMENT));
    let deep = "<a>".repeat(17);
    let many = format!("<resume {SM} previd='x' h='0'/>").repeat(MAX_ELEMENTS + 1);
    for text in [long, deep, many] {
        let mut client = Peer::new(usize::MAX).logged_in();
        client.say(&text);
        client.is_ended_by("policy-violation");
        assert!(client.serving.buffer().is_empty());
    }
    let mut client = Peer::new(usize::MAX).open();
    client.say(format!("<message>{}", "a".repeat(MAX_STANZA)));
    client.is_ended_by("policy-violation");
    let mut client = Peer::new(usize::MAX).open();
    client.say(format!("<r {SM}>{}</r>", "a".repeat(5_000)));
    client.is_ended_by("policy-violation");
}

#[test]
fn what_xmpp_forbids_ends_the_stream() {
    for (text, condition) in [
        ("<!-- -->", "restricted-xml"),
        ("<?pi?>", "restricted-xml"),
        ("<!DOCTYPE a>", "restricted-xml"),
        ("text", "not-well-formed"),
        ("<x><y></x></y>", "not-well-formed"),
        (
            "<c:message xmlns:c='jabber:client'/>",
            "bad-namespace-prefix",
        ),
    ] {
        in_every_cutting(|client| {
            let mut client = client.open();
            client.say(text);
            client.is_ended_by(condition);
        });
    }
}

#[test]
fn a_client_that_says_nothing_is_given_up_after_thirty_seconds() {
    for begin in [0, 1, 2] {
        let mut client = Peer::new(usize::MAX);
        if begin > 0 {
            client.say(HEADER);
        }
        if begin > 1 {
            client = client.logged_in_from_here();
        }
        client.wait(PATIENCE - Duration::from_millis(1));
        assert_eq!(client.end, None);
        client.said();
        client.wait(Duration::from_millis(1));
        assert!(matches!(client.end, Some(ServeError::Timeout { .. })));
        client.is_ended_by("connection-timeout");
    }
    // And not once it is in.
    let mut client = Peer::new(usize::MAX).open();
    client.wait(PATIENCE * 100);
    assert_eq!((client.end, client.said), (None, String::new()));
}

impl Peer {
    fn logged_in_from_here(mut self) -> Self {
        self.say(RIGHT);
        self.said();
        self.say(HEADER);
        self
    }
}

#[test]
fn a_client_that_acknowledges_what_was_not_sent_is_told_so() {
    in_every_cutting(|client| {
        let mut client = client.open_with_sm();
        client.send("<message/>");
        client.write();
        client.said();
        client.say(format!("<a {SM} h='2'/>"));
        assert!(matches!(client.end, Some(ServeError::Acknowledgement(_))));
        let said = client.said();
        let detail = "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='2' send-count='1'/>";
        assert!(
            said.starts_with("<stream:error><undefined-condition") && said.contains(detail),
            "{said}"
        );
    });
}

#[test]
fn a_stream_error_of_the_client_is_the_end() {
    in_every_cutting(|client| {
        let mut client = client.open();
        client.say("<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>");
        assert!(matches!(client.end, Some(ServeError::Stream(_))));
        assert_eq!(client.said(), "</stream:stream>");
    });
}

#[test]
fn no_word_of_another_server_breaks_out_of_an_error() {
    let mut client = Peer::new(usize::MAX).open();
    client.serving.end("x'/><message");
    client.write();
    let said = client.said();
    let (error, rest) = said.split_once("/></stream:error>").unwrap();
    assert_eq!(rest, "</stream:stream>");
    assert_eq!(error.matches('<').count(), 2, "{said}");
}
