//! Whatever a server says: no panic, no growth beyond the limits, and an error is the end.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::starttls::StartTls;

/// Stands for the id that the stream has asked for last.
const ID: &str = "\u{1}";

/// What a server of good manners says, element by element.
fn script() -> Vec<String> {
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im' name='x'/></query>";
    [
        HEADER.to_owned(),
        features(PLAIN),
        SUCCESS.to_owned(),
        HEADER.to_owned(),
        features(BIND_AND_SM),
        bound(ID, RESOURCE),
        "<message from='a@b/c' id='1'/>".to_owned(),
        ENABLED.to_owned(),
        "<presence/>".to_owned(),
        R.to_owned(),
        format!("<iq type='result' id='{ID}' from='example.org'>{info}</iq>"),
        a(1),
        a(2),
        error(ID, "service-unavailable"),
        "<iq type='get' id='q' from='a@b/c'><ping xmlns='urn:xmpp:ping'/></iq>".to_owned(),
        "</stream:stream>".to_owned(),
    ]
    .into()
}

/// The same of one that goes on with a session.
fn resuming() -> Vec<String> {
    [
        HEADER.to_owned(),
        features(PLAIN),
        SUCCESS.to_owned(),
        HEADER.to_owned(),
        features(BIND_AND_SM),
        "<resumed xmlns='urn:xmpp:sm:3' previd='first' h='1'/>".to_owned(),
        "<message from='a@b/c' id='2'/>".to_owned(),
        a(3),
        "</stream:stream>".to_owned(),
    ]
    .into()
}

/// Elements that have no business anywhere.
fn strangers() -> Vec<String> {
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    [
        "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>".to_owned(),
        "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[::1]:1</see-other-host></stream:error>".to_owned(),
        "<failed xmlns='urn:xmpp:sm:3' h='1'/>".to_owned(),
        "<resumed xmlns='urn:xmpp:sm:3' h='4294967295'/>".to_owned(),
        "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj0=</challenge>".to_owned(),
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>".to_owned(),
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned(),
        features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        features(&PLAIN.replace("PLAIN", "SCRAM-SHA-256")),
        error(ID, "conflict"),
        a(u32::MAX),
        format!("<message>{deep}</message>"),
        format!("<x>{}</x>", "x".repeat(5_000)),
        format!("<message>{}</message>", "x".repeat(70_000)),
        "<!-- -->".to_owned(),
        "<".to_owned(),
        "\u{0}".to_owned(),
        "</x>".to_owned(),
        " \n".to_owned(),
    ]
    .into()
}

#[derive(Debug, Clone)]
enum Change {
    Drop(Index),
    Double(Index),
    Swap(Index, Index),
    Insert(Index, String),
    Replace(Index, String),
    /// The value of an attribute of an element.
    Value(Index, Index, String),
    /// An octet.
    Octet(Index, Index, u8),
    /// The rest of an element is not said.
    Cut(Index, Index),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let at = any::<Index>;
    let element = || prop_oneof![select(strangers()), select(script()), "[ -~]{0,20}"];
    let value = prop_oneof![
        "[ -~]{0,12}",
        "[0-9]{0,12}",
        "\\PC{0,8}",
        Just(String::new())
    ];
    let change = prop_oneof![
        at().prop_map(Change::Drop),
        at().prop_map(Change::Double),
        (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        (at(), element()).prop_map(|(at, element)| Change::Insert(at, element)),
        (at(), element()).prop_map(|(at, element)| Change::Replace(at, element)),
        (at(), at(), value).prop_map(|(at, which, value)| Change::Value(at, which, value)),
        (at(), at(), any::<u8>()).prop_map(|(at, octet, new)| Change::Octet(at, octet, new)),
        (at(), at()).prop_map(|(at, octet)| Change::Cut(at, octet)),
    ];
    prop::collection::vec(change, 0..4)
}

fn changed(script: Vec<String>, changes: &[Change]) -> Vec<Vec<u8>> {
    let mut said: Vec<Vec<u8>> = script.into_iter().map(String::into_bytes).collect();
    for change in changes {
        let len = said.len().max(1);
        let there = |at: &Index| at.index(len);
        match change {
            Change::Drop(at) if !said.is_empty() => drop(said.remove(there(at))),
            Change::Double(at) if !said.is_empty() => {
                said.insert(there(at), said[there(at)].clone())
            }
            Change::Swap(one, other) if !said.is_empty() => said.swap(there(one), there(other)),
            Change::Insert(at, element) => {
                said.insert(at.index(said.len() + 1), element.clone().into())
            }
            Change::Replace(at, element) if !said.is_empty() => {
                said[there(at)] = element.clone().into()
            }
            Change::Value(at, which, value) if !said.is_empty() => {
                let text = String::from_utf8_lossy(&said[there(at)]).into_owned();
                let mut pieces: Vec<&str> = text.split('\'').collect();
                let which = which.index(pieces.len() / 2 + 1) * 2 + 1;
                if let Some(piece) = pieces.get_mut(which) {
                    *piece = value;
                }
                said[there(at)] = pieces.join("'").into();
            }
            Change::Octet(at, octet, new) => {
                if let Some(element) = said
                    .get_mut(there(at))
                    .filter(|element| !element.is_empty())
                {
                    let octet = octet.index(element.len());
                    element[octet] = *new;
                }
            }
            Change::Cut(at, octet) => {
                if let Some(element) = said
                    .get_mut(there(at))
                    .filter(|element| !element.is_empty())
                {
                    element.truncate(octet.index(element.len()));
                }
            }
            Change::Drop(_)
            | Change::Double(_)
            | Change::Swap(..)
            | Change::Replace(..)
            | Change::Value(..) => {}
        }
    }
    said
}

/// What the owner does beside reading.
#[derive(Debug, Clone)]
enum Act {
    Nothing,
    Wait(u64),
    Send,
    Software,
    Close,
    Shrink,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => Just(Act::Nothing),
        3 => (0..100_000u64).prop_map(Act::Wait),
        4 => Just(Act::Send),
        2 => Just(Act::Software),
        1 => Just(Act::Close),
        1 => Just(Act::Shrink),
    ];
    prop::collection::vec(act, 1..12)
}

/// A stream, with an owner who does whatever may be done.
struct Owner {
    stream: Stream,
    now: Instant,
    /// That of the last request.
    id: String,
    failed: Option<ConnectError>,
    closed: bool,
}

impl Owner {
    fn new(session: Session, now: Instant) -> Self {
        Self {
            stream: Stream::new(session, None, now),
            now,
            id: String::new(),
            failed: None,
            closed: false,
        }
    }

    fn hear(&mut self, said: &[Vec<u8>], mut cutting: Cutting, acts: &[Act]) {
        self.write();
        for (element, act) in said.iter().zip(acts.iter().cycle()) {
            let text = String::from_utf8_lossy(element);
            let octets = match text.contains(ID) {
                true => text.replace(ID, &self.id).into_bytes(),
                false => element.clone(),
            };
            let mut rest = octets.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cutting.next().min(rest.len()));
                rest = after;
                self.stream.handle_bytes(self.now, piece);
                self.read(piece.len());
            }
            self.act(act);
            self.write();
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Nothing => {}
            Act::Wait(ms) => {
                self.now += Duration::from_millis(*ms);
                if self
                    .stream
                    .poll_timeout()
                    .is_some_and(|due| due <= self.now)
                    && let Err(error) = self.stream.handle_timeout(self.now)
                {
                    self.fail(error);
                }
            }
            Act::Send => {
                let _ = self
                    .stream
                    .send_with(|out| out.extend_from_slice(b"<message id='m'/>"));
            }
            Act::Software => self.stream.ask_for_software(),
            Act::Close => {
                self.stream.close(self.now);
                self.closed = true;
            }
            Act::Shrink => self.stream.shrink(),
        }
    }

    fn fail(&mut self, error: ConnectError) {
        assert!(self.failed.is_none(), "{error:?} after {:?}", self.failed);
        assert!(error.to_string().len() < 4_096, "{error}");
        self.stream.fail(&error);
        self.write();
        self.failed = Some(error);
    }

    fn read(&mut self, piece: usize) {
        loop {
            match self.stream.poll_event(self.now) {
                // A key is not derived: half a million rounds are none of this test's business.
                Ok(Some(event)) => {
                    assert!(self.failed.is_none(), "{event:?} after {:?}", self.failed);
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(self.stream.poll_event(self.now).unwrap().is_none());
                    self.fail(error);
                }
            }
        }
        let limit = match &self.failed {
            Some(_) => 0,
            None if self.stream.is_open() || self.closed => MAX_STANZA,
            None => MAX_ELEMENT,
        };
        let held = self.stream.buffer().len();
        assert!(
            held <= limit + piece,
            "{held} bytes are held, and {limit} may be"
        );
    }

    fn write(&mut self) {
        while let Some(octets) = self.stream.poll_transmit(self.now) {
            assert!(
                self.failed.is_none(),
                "{} after {:?}",
                octets.escape_ascii(),
                self.failed
            );
            let said = String::from_utf8(octets.to_vec()).unwrap();
            if let Some((_, rest)) = said.rsplit_once("<iq ")
                && let Some((_, rest)) = rest.split_once("id='")
            {
                self.id = rest.split_once('\'').unwrap().0.to_owned();
            }
        }
        if self.failed.is_some() {
            assert!(self.stream.poll_timeout().is_none() && !self.stream.has_room());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    // astro/tokio-xmpp #6
    #[test]
    fn no_server_input_panics(
        first in changes(),
        second in changes(),
        acts in acts(),
        seed in any::<u64>(),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let cutting = Cutting::Random(seed);
        let mut owner = Owner::new(session(), Instant::now());
        let mut said = changed(script(), &first);
        said.push(noise);
        owner.hear(&said, cutting.clone(), &acts);
        let session = owner.stream.into_session(owner.now);
        let mut owner = Owner::new(session, owner.now);
        owner.hear(&changed(resuming(), &second), cutting.clone(), &acts);
        let mut session = owner.stream.into_session(owner.now);
        session.take_location(owner.now);
        session.take_unacknowledged();
    }

    #[test]
    fn no_server_input_panics_before_tls(
        changes in changes(),
        seed in any::<u64>(),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
        let script = [
            HEADER.to_owned(),
            features(starttls),
            "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned(),
        ];
        let mut said = changed(script.into(), &changes);
        said.push(noise);
        let mut cutting = Cutting::Random(seed);
        let mut machine = StartTls::new("example.org");
        let mut sent = Vec::new();
        let mut over = false;
        for element in said {
            let mut rest = element.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cutting.next().min(rest.len()));
                rest = after;
                let handled = machine.handle_bytes(piece);
                prop_assert!(!over || handled.is_err(), "after the end: {handled:?}");
                over |= !matches!(handled, Ok(false));
            }
            if let Some(octets) = machine.poll_transmit() {
                sent.extend_from_slice(&octets);
            }
        }
        // Nothing but these two ever leaves.
        let sent = String::from_utf8(sent).unwrap();
        prop_assert!(sent.matches('<').count() <= 3 && !sent.contains("juliet"), "{sent}");
    }
}
