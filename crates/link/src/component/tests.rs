//! A component without a network: a server that is a script in memory, in every cutting.

use std::time::Duration;

use super::*;
use crate::flow::{MAX_ELEMENTS, MAX_STANZA};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' from='echo.example.org' id='3BF96D32'>";
const OPENED: &str = "<handshake/>";

fn in_every_cutting(script: impl Fn(Peer)) {
    for pieces in [usize::MAX, 1, 2, 3, 7] {
        println!("in pieces of {pieces}");
        script(Peer::new(pieces));
    }
}

/// A component, the time, and its server.
struct Peer {
    component: Component,
    now: Instant,
    pieces: usize,
    said: String,
    events: Vec<String>,
    end: Option<ConnectError>,
}

impl Peer {
    fn new(pieces: usize) -> Self {
        let domain = Address::new("echo.example.org").unwrap();
        let secret = Zeroizing::new("pencil".to_owned());
        let now = Instant::now();
        let mut peer = Self {
            component: Component::new(&domain, secret, now).unwrap(),
            now,
            pieces,
            said: String::new(),
            events: Vec::new(),
            end: None,
        };
        peer.write();
        peer
    }

    fn open(mut self) -> Self {
        self.say(format!("{HEADER}{OPENED}"));
        assert_eq!(
            (self.events(), self.end()),
            (vec!["Opened".to_owned()], None)
        );
        self.said.clear();
        self
    }

    fn say(&mut self, text: impl AsRef<[u8]>) {
        let octets = text.as_ref();
        for piece in octets.chunks(self.pieces.min(octets.len().max(1))) {
            self.component.handle_bytes(self.now, piece);
            self.read();
        }
        self.write();
    }

    fn read(&mut self) {
        loop {
            match self.component.poll_event() {
                Ok(None) => return,
                Ok(Some(ComponentEvent::Stanza(octets))) => {
                    self.events
                        .push(String::from_utf8(octets.to_vec()).unwrap());
                }
                Ok(Some(event)) => self.events.push(format!("{event:?}")),
                Err(error) => assert_eq!(self.end.replace(error), None, "one end"),
            }
        }
    }

    fn write(&mut self) {
        while let Some(octets) = self.component.poll_transmit(self.now) {
            self.said.push_str(std::str::from_utf8(octets).unwrap());
        }
    }

    fn said(&mut self) -> String {
        std::mem::take(&mut self.said)
    }

    fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    fn end(&mut self) -> Option<ConnectError> {
        self.end.clone()
    }

    fn send(&mut self, stanza: &str) -> Result<(), SendError> {
        let sent = self
            .component
            .send_with(|out| out.extend_from_slice(stanza.as_bytes()));
        self.write();
        sent
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.component.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            if let Err(error) = self.component.handle_timeout(due) {
                assert_eq!(self.end.replace(error), None);
            }
            self.write();
        }
        self.now = end;
    }
}

fn error(condition: &str) -> String {
    let conditions = "urn:ietf:params:xml:ns:xmpp-streams";
    format!("<stream:error><{condition} xmlns='{conditions}'/></stream:error></stream:stream>")
}

#[test]
fn what_is_more_than_a_domain_is_no_component() {
    for address in ["a@echo.example.org", "echo.example.org/a"] {
        let address = Address::new(address).unwrap();
        let refused = Component::new(&address, Zeroizing::default(), Instant::now());
        assert_eq!(refused.unwrap_err(), address);
    }
}

#[test]
fn a_stream_of_another_kind_or_domain_or_without_an_id_gets_no_proof() {
    for (from, to) in [
        ("jabber:component:accept", "jabber:client"),
        ("jabber:component:accept", "jabber:component:connect"),
        ("echo.example.org", "example.org"),
        (" id='3BF96D32'", ""),
    ] {
        in_every_cutting(|mut server| {
            server.said();
            server.say(HEADER.replace(from, to));
            assert!(server.end().unwrap().is_final(), "{to}");
            assert_eq!(server.said(), "", "{to}");
        });
    }
}

#[test]
fn a_wrong_secret_is_told_as_a_refused_log_in_and_not_tried_again() {
    in_every_cutting(|mut server| {
        server.say(format!("{HEADER}{}", error("not-authorized")));
        let end = server.end().unwrap();
        assert!(end.is_final());
        let text = "echo.example.org could not log in: not-authorized";
        assert_eq!(end.to_string(), text);
    });
}

#[test]
fn an_unknown_or_taken_domain_is_not_tried_again() {
    for condition in ["host-unknown", "conflict"] {
        in_every_cutting(|mut server| {
            server.say(format!("{HEADER}{}", error(condition)));
            assert!(server.end().unwrap().is_final(), "{condition}");
        });
        in_every_cutting(|server| {
            let mut server = server.open();
            server.say(error(condition));
            assert!(server.end().unwrap().is_final(), "{condition}");
        });
    }
}

#[test]
fn nothing_but_the_answer_opens_the_stream() {
    for text in [
        "<message/>",
        "<handshake xmlns='jabber:client'/>",
        "<stream:features/>",
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    ] {
        in_every_cutting(|mut server| {
            server.say(format!("{HEADER}{text}{OPENED}"));
            assert_eq!(server.events(), [""; 0], "{text}");
            assert!(server.end().unwrap().is_final(), "{text}");
        });
    }
}

#[test]
fn a_server_cannot_fill_the_memory() {
    in_every_cutting(|mut server| {
        server.say(format!("<stream:stream a='{}", "a".repeat(5_000)));
        assert!(server.end().is_some());
    });
    let mut server = Peer::new(usize::MAX);
    server.say(format!("{HEADER}<a>{}", "a".repeat(65_536)));
    assert!(server.end().is_some());
    let mut server = Peer::new(usize::MAX).open();
    server.say(format!("<message>{}", "a".repeat(MAX_STANZA)));
    assert!(server.end().is_some());
    let mut server = Peer::new(usize::MAX).open();
    server.say("<x xmlns='urn:other'/>".repeat(MAX_ELEMENTS * 2));
    assert_eq!((server.events(), server.end()), (Vec::new(), None));
}

#[test]
fn what_does_not_come_from_the_domain_or_goes_to_nobody_is_not_sent() {
    let mut server = Peer::new(usize::MAX).open();
    let other = |from: &str| SendError::OtherSender {
        from: from.to_owned(),
    };
    for (stanza, why) in [
        ("<message to='a@b'/>", SendError::NoSender),
        ("<message from='a@b' to='a@b'/>", other("a@b")),
        ("<message from='' to='a@b'/>", other("")),
        (
            "<message from='a@x.echo.example.org' to='a@b'/>",
            other("a@x.echo.example.org"),
        ),
        (
            "<message from='echo.example.org@b' to='a@b'/>",
            other("echo.example.org@b"),
        ),
        ("<message from='echo.example.org'/>", SendError::NoAddressee),
        (
            "<message from='echo.example.org' to=''/>",
            SendError::NoAddressee,
        ),
        (
            "<x from='echo.example.org' to='a@b'/>",
            SendError::NotAStanza,
        ),
        (
            "<message xmlns='jabber:server' from='echo.example.org' to='a@b'/>",
            SendError::NotAStanza,
        ),
    ] {
        assert_eq!(server.send(stanza), Err(why), "{stanza}");
    }
    let two = "<message from='echo.example.org' to='a@b'/><message from='b' to='b'/>";
    for stanza in [two, "", "<message", "</stream:stream>"] {
        let sent = server.send(stanza);
        assert!(matches!(sent, Err(SendError::Unreadable(_))), "{sent:?}");
    }
    assert_eq!(server.said(), "");
}

#[test]
fn nothing_is_sent_before_the_handshake_or_behind_the_end() {
    let stanza = "<message from='a@echo.example.org' to='a@b'/>";
    let mut server = Peer::new(usize::MAX);
    assert!(!server.component.has_room());
    assert_eq!(server.send(stanza), Err(SendError::NotNow));
    let mut server = server.open();
    server.component.close(server.now);
    assert_eq!(server.send(stanza), Err(SendError::NotNow));
    assert_eq!(server.said(), "</stream:stream>");
    server.say("<message/></stream:stream>");
    assert_eq!(
        (server.events(), server.end()),
        (vec!["Closed".to_owned()], None)
    );
}

#[test]
fn a_stanza_of_another_namespace_is_passed_over() {
    in_every_cutting(|server| {
        let mut server = server.open();
        server.say("<message xmlns='jabber:client'/><message xmlns='jabber:server'/>");
        assert_eq!((server.events(), server.end()), (Vec::new(), None));
    });
}

#[test]
fn a_silent_server_is_asked_by_asking_ourselves_and_dead_after_ninety_seconds() {
    in_every_cutting(|server| {
        let mut server = server.open();
        server.wait(60);
        let ping = server.said();
        let head = "<iq from='echo.example.org' to='echo.example.org' id='";
        assert!(ping.starts_with(head), "{ping}");
        assert!(ping.contains("<ping xmlns='urn:xmpp:ping'/>"), "{ping}");
        // The server brings it back, or an error of its own, and both are nobody's business.
        server.say(&ping);
        server.wait(60);
        let refused = server.said().replace("type='get'", "type='error'");
        server.say(&refused);
        assert_eq!((server.events(), server.end()), (Vec::new(), None));
        // The same from somebody else is a request like any other.
        let other = ping.replace(" from='echo.example.org'", " from='a@b'");
        server.say(&other);
        assert_eq!(server.events().len(), 1);
        server.wait(89);
        assert_eq!(server.end(), None);
        server.wait(1);
        let end = server.end().unwrap();
        assert!(matches!(end, ConnectError::Broken { .. }) && !end.is_final());
    });
}

#[test]
fn an_end_of_the_servers_is_answered_and_tried_again() {
    in_every_cutting(|server| {
        let mut server = server.open();
        server.say("</stream:stream>");
        assert!(!server.end().unwrap().is_final());
        assert_eq!(server.said(), "</stream:stream>");
    });
}

#[test]
fn the_proof_is_made_of_the_id_and_the_secret() {
    in_every_cutting(|mut server| {
        let said = server.said();
        assert!(said.contains(" xmlns='jabber:component:accept' "), "{said}");
        assert!(said.ends_with(" to='echo.example.org'>"), "{said}");
        server.say(HEADER);
        let proof = "<handshake>c1de38bb7c8c976c7c797aa823cc87fed81f408b</handshake>";
        assert_eq!(server.said(), proof);
        server.say(OPENED);
        assert!(server.component.has_room());
    });
    // What stands for a character is not part of the id.
    in_every_cutting(|mut server| {
        server.said();
        server.say(HEADER.replace("3BF96D32", "a&amp;b&lt;&#34;"));
        let proof = "<handshake>317e5d628a6b0dfe3a0267b9dbf6d4c0ceb72b41</handshake>";
        assert_eq!(server.said(), proof);
    });
}

#[test]
fn stanzas_come_and_go_as_a_clients_do() {
    in_every_cutting(|server| {
        let mut server = server.open();
        server.say("<message from='a@b' to='echo.example.org'><body>hi</body></message>");
        let client = "<message xmlns='jabber:client' from='a@b' to='echo.example.org'><body>hi</body></message>";
        assert_eq!(server.events(), [client]);
        let answer = "<message xmlns='jabber:client' from='x@ECHO.example.org/y' to='a@b'><body>hi</body></message>";
        assert_eq!(server.send(answer), Ok(()));
        assert_eq!(server.said(), answer.replace(" xmlns='jabber:client'", ""));
    });
}

#[test]
fn what_is_shown_holds_no_secret() {
    let shown = format!("{:?}", Peer::new(1).component);
    assert!(
        shown.contains("echo.example.org") && !shown.contains("pencil"),
        "{shown}"
    );
}
