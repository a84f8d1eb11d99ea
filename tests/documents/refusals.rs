//! The error tables, row by row, against a router.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use xtls_client::Accept;
use xtls_client::router::{Config, Router, TunnelEvent, Why};
use xtls_ibb::Payload;
use xtls_stanza::ibb::BlockSize;
use xtls_stanza::{Condition, Content, Envelope, ErrorType, StanzaError};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tls::trust::Store;

use crate::markdown::{quoted, table};

const PROTOCOL: &str = "docs/PROTOCOL.md";
const MALLORY: &str = "mallory@evil.example/den";
const START: &str = "<start xmlns='urn:xmpp:tmp:xtls'/>";

/// Juliet's router, and what it sends.
struct Juliet {
    now: Instant,
    router: Router,
    sent: Vec<Envelope>,
}

impl Juliet {
    fn new(ibb: xtls_ibb::Config, original: bool) -> Self {
        let tls = keys::seeded_tls(keys::identity(JULIET, 2), [2; 32]);
        let romeo = keys::address(ROMEO).to_bare();
        let config = Config::new(tls, Arc::new(Store::new()))
            .accept(Accept::Only(BTreeSet::from([romeo])))
            .original(original)
            .ibb(ibb);
        let router = Router::new(keys::address(JULIET), config, [3; 32]);
        Self {
            now: Instant::now(),
            router,
            sent: Vec::new(),
        }
    }

    fn hear(&mut self, from: &str, id: &str, stanza: &str) {
        let addresses = format!("<iq from='{from}' to='{JULIET}' id='{id}' type=");
        let frame = Bytes::from(stanza.replacen("<iq type=", &addresses, 1));
        match Envelope::read(&frame) {
            Ok(envelope) => self.router.handle(self.now, envelope),
            // What each link does with an unreadable request.
            Err(error) => self.sent.extend(error.reply()),
        }
        self.flush();
    }

    fn flush(&mut self) {
        while self.router.poll_event(self.now).is_some() {}
        while let Some(envelope) = self.router.poll_transmit(self.now) {
            self.sent.push(envelope);
        }
    }

    fn answer(&self, id: &str) -> &Content {
        let answers = self.sent.iter().filter(|sent| {
            sent.id == id && matches!(sent.content, Content::Result(_) | Content::Error(_))
        });
        let answers: Vec<_> = answers.collect();
        assert_eq!(answers.len(), 1, "one answer to {id}: {answers:?}");
        &answers[0].content
    }
}

fn set(child: &str) -> String {
    format!("<iq type='set'>{child}</iq>")
}

fn open(attributes: &str, children: &str) -> String {
    set(&format!(
        "<open xmlns='http://jabber.org/protocol/ibb' {attributes}>{children}</open>"
    ))
}

/// The ClientHello of a peer that implements the letter only.
fn hello_of_the_letter() -> Bytes {
    let identity = keys::identity("romeo@montague.example", 1);
    let config = keys::tls(identity, xtls_tls::default_provider());
    let trust = Arc::new(Store::new());
    let expect = xtls_tls::Expectations::new(
        "romeo@montague.example",
        "juliet@capulet.example",
        trust,
        xtls_tls::trust::Policy::Ask,
    );
    let mut tls = xtls_tls::Tls::new(xtls_tls::Role::Client, &config, expect).expect("a client");
    tls.poll_wire(usize::MAX).expect("a hello")
}

fn good_open() -> String {
    open("sid='s' block-size='4096'", START)
}

fn data(seq: u16, text: &str) -> String {
    set(&format!(
        "<data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='{seq}'>{text}</data>"
    ))
}

/// How to provoke each refusal from Juliet: the preparation, and the request.
fn provoke(request: &str, reason: &str) -> (Juliet, String) {
    let ibb = match (request, reason) {
        ("open", "block-size above ours") => {
            xtls_ibb::Config::default().max_block(BlockSize::new(2048).expect("not zero"))
        }
        ("data", "more ahead than the cap (then close)") => {
            xtls_ibb::Config::default().receive_cap(100)
        }
        _ => xtls_ibb::Config::default(),
    };
    let mut juliet = Juliet::new(ibb, reason.ends_with("(the flow ends)"));
    let ibb = "xmlns='http://jabber.org/protocol/ibb'";
    let stanza = match (request, reason) {
        ("open", "sender not accepted") => good_open(),
        ("open", "no `<start/>`") => open("sid='s' block-size='4096'", ""),
        ("open", "two `<start/>`") => open("sid='s' block-size='4096'", &format!("{START}{START}")),
        ("open", "attribute missing or out of range") => {
            juliet.hear(ROMEO, "t0", &open("block-size='4096'", START));
            juliet.hear(ROMEO, "t1", &open("sid='s' block-size='0'", START));
            juliet.hear(ROMEO, "t2", &open("sid='a b' block-size='4096'", START));
            for id in ["t0", "t1", "t2"] {
                assert!(
                    matches!(juliet.answer(id), Content::Error(error) if error.condition == Condition::BadRequest)
                );
            }
            open("sid='s' block-size='65536'", START)
        }
        ("open", "`stanza='message'`, not switched on") => {
            open("sid='s' block-size='4096' stanza='message'", START)
        }
        ("open", "block-size above ours") => good_open(),
        ("open", "sid in use with this peer") => {
            juliet.hear(ROMEO, "t0", &good_open());
            good_open()
        }
        ("open", "for stanzas, crosses ours, which wins") => {
            juliet
                .router
                .open(juliet.now, &keys::address(ROMEO))
                .expect("an open");
            juliet.flush();
            // An open says what it is for by its ClientHello, and only one for stanzas crosses ours.
            let mut hello = Vec::new();
            xtls_stanza::base64::encode(&hello_of_the_letter(), &mut hello);
            let hello = String::from_utf8(hello).expect("base64");
            let start = format!(
                "<start xmlns='urn:xmpp:tmp:xtls'><hello xmlns='urn:xmpp:tmp:xtls#early'>{hello}</hello></start>"
            );
            open("sid='s' block-size='4096'", &start)
        }
        ("open", "holds more than 64 KiB") => {
            let note = format!("<note xmlns='urn:example'>{}</note>", "x".repeat(65_536));
            open("sid='s' block-size='4096'", &format!("{START}{note}"))
        }
        ("open", "too many at once or a minute, with a `<limit/>`") => {
            juliet.hear("romeo@montague.example/a", "t0", &good_open());
            juliet.hear("romeo@montague.example/b", "t1", &good_open());
            good_open()
        }
        ("data", "no such stream with this peer") => data(0, "AAAA"),
        ("data", "number not due (then close)") => {
            juliet.hear(ROMEO, "t0", &good_open());
            data(1, "AAAA")
        }
        ("data", "not base64 (then close)") => {
            juliet.hear(ROMEO, "t0", &good_open());
            data(0, "A*==")
        }
        ("data", "longer than the block (then close)") => {
            juliet.hear(ROMEO, "t0", &open("sid='s' block-size='2'", START));
            data(0, "AAAA")
        }
        ("data", "more ahead than the cap (then close)") => {
            juliet.hear(ROMEO, "t0", &good_open());
            data(0, "AAAA")
        }
        ("ibb close", "no such stream with this peer") => set(&format!("<close {ibb} sid='s'/>")),
        ("ibb close", "no sid") => set(&format!("<close {ibb}/>")),
        ("ibb other", "an unknown element, or a get") => {
            juliet.hear(ROMEO, "t0", &good_open().replace("'set'", "'get'"));
            assert!(
                matches!(juliet.answer("t0"), Content::Error(error) if error.condition == Condition::FeatureNotImplemented)
            );
            set(&format!("<pause {ibb}/>"))
        }
        ("xtls close", "no such tunnel with this peer") => {
            set("<close xmlns='urn:xmpp:tmp:xtls'/>")
        }
        ("xtls start", "outside of an open") => set(START),
        ("xtls data", "the original flow is not spoken") => {
            set("<data xmlns='urn:xmpp:tmp:xtls' method='x509'>AAAA</data>")
        }
        ("xtls data", "unreadable, empty, too long, another method (the flow ends)") => {
            juliet.hear(ROMEO, "t0", &set(START));
            set("<data xmlns='urn:xmpp:tmp:xtls' method='openpgp'>AAAA</data>")
        }
        ("xtls other", "any other element, or a get") => {
            juliet.hear(ROMEO, "t0", &set(START).replace("'set'", "'get'"));
            assert!(
                matches!(juliet.answer("t0"), Content::Error(error) if error.condition == Condition::FeatureNotImplemented)
            );
            set("<proceed xmlns='urn:xmpp:tmp:xtls'/>")
        }
        ("disco", "with a node") => {
            "<iq type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='n'/></iq>"
                .to_owned()
        }
        ("anything", "an iq without exactly one child") => {
            "<iq type='get'><a/><b/></iq>".to_owned()
        }
        ("anything", "an id of more than 1 023 bytes") => {
            "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>".to_owned()
        }
        ("anything", "not spoken here, or sender not accepted") => {
            let disco =
                "<iq type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
            juliet.hear(MALLORY, "t0", disco);
            assert!(
                matches!(juliet.answer("t0"), Content::Error(error) if error.condition == Condition::ServiceUnavailable)
            );
            "<iq type='get'><query xmlns='jabber:iq:version'/></iq>".to_owned()
        }
        _ => panic!("no test for the row {request} | {reason}"),
    };
    (juliet, stanza)
}

#[test]
fn each_error_that_we_send_is_the_one_in_the_table() {
    for row in table(PROTOCOL, &["request", "reason", "condition", "type"]) {
        let (mut juliet, stanza) = provoke(&row[0], &row[1]);
        let stranger = row[1] == "sender not accepted";
        let long = "t".repeat(1024);
        let id = match row[1].as_str() {
            "an id of more than 1 023 bytes" => long.as_str(),
            _ => "t",
        };
        juliet.hear(if stranger { MALLORY } else { ROMEO }, id, &stanza);
        let Content::Error(error) = juliet.answer(id) else {
            panic!("{row:?} is granted");
        };
        assert_eq!(format!("`{}`", error.condition.name()), row[2], "{row:?}");
        assert_eq!(
            error.kind,
            ErrorType::from_name(&row[3]).expect("a type"),
            "{row:?}"
        );
        let closes = juliet
            .sent
            .iter()
            .any(|sent| matches!(sent.content, Content::Set(Payload::Close(_))));
        assert_eq!(closes, row[1].ends_with("(then close)"), "{row:?}");
    }
}

#[test]
fn a_stranger_is_answered_the_same_to_all_of_them() {
    for row in table(PROTOCOL, &["request", "reason", "condition", "type"]) {
        let (mut juliet, stanza) = provoke(&row[0], &row[1]);
        juliet.hear(MALLORY, "m", &stanza);
        let Content::Error(error) = juliet.answer("m") else {
            panic!("{row:?} is granted to a stranger");
        };
        let not_an_iq = row[1] == "an iq without exactly one child";
        let expected = if not_an_iq {
            Condition::BadRequest
        } else {
            Condition::ServiceUnavailable
        };
        assert_eq!(error.condition, expected, "{row:?}");
    }
}

/// What becomes of our open when it is answered with this condition, as the first word of the table's cell.
fn opened(condition: Condition) -> &'static str {
    let mut juliet = Juliet::new(
        xtls_ibb::Config::default().block_size(BlockSize::MAX),
        false,
    );
    let id = juliet
        .router
        .open(juliet.now, &keys::address(ROMEO))
        .expect("an open");
    let mut opens = 0;
    loop {
        let next = juliet.router.poll_transmit(juliet.now);
        let Some(request) =
            next.filter(|sent| matches!(sent.content, Content::Set(Payload::Open(_))))
        else {
            break;
        };
        opens += 1;
        let error = StanzaError::new(ErrorType::Cancel, condition);
        juliet.router.handle(juliet.now, request.error(error));
    }
    // With half the block; after `bad-request` once, without an early hello.
    let again = match condition {
        Condition::ResourceConstraint => opens > 2,
        Condition::BadRequest => opens == 2,
        _ => opens == 1,
    };
    assert!(again, "{condition:?}: {opens} opens");
    while let Some(event) = juliet.router.poll_event(juliet.now) {
        assert_eq!(event.id, id);
        if let TunnelEvent::Closed(closed) = event.what {
            return match closed.why {
                Why::Unavailable(_) => "unavailable",
                Why::Declined(_) => "declined",
                Why::Unreachable(_) if opens > 1 => "a smaller block",
                Why::Unreachable(_) => "unreachable",
                why => panic!("{why}"),
            };
        }
    }
    "glare"
}

#[test]
fn each_error_that_an_open_may_get_means_what_the_table_says() {
    let mut meanings = BTreeMap::new();
    for row in table(PROTOCOL, &["while", "condition", "what it means to us"]) {
        if row[0] == "opening" {
            for name in quoted(&row[1]) {
                let condition = Condition::from_name(name).expect("a condition of RFC 6120");
                assert!(row[2].starts_with(opened(condition)), "{name}: {}", row[2]);
                assert!(
                    meanings.insert(name.to_owned(), row[2].clone()).is_none(),
                    "{name} twice"
                );
            }
        }
    }
    assert_eq!(
        meanings.len(),
        Condition::ALL.len(),
        "all conditions are in the table"
    );
}
