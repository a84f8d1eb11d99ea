//! A server's end without a network: clients that are scripts in memory, and our own, in every cutting.

mod both;
mod hostile;
mod inside;
mod login;

use super::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='example.org' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const SM: &str = "xmlns='urn:xmpp:sm:3'";

/// romeo@example.org with the password "pencil", and "pen".
const RIGHT: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHBlbmNpbA==</auth>";
const WRONG: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHBlbg==</auth>";

fn domains() -> [Address; 2] {
    ["example.org", "example.net"].map(|domain| Address::new(domain).unwrap())
}

fn bind(resource: &str) -> String {
    format!(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind></iq>"
    )
}

fn in_every_cutting(script: impl Fn(Peer)) {
    for pieces in [usize::MAX, 1, 2, 3, 7] {
        println!("in pieces of {pieces}");
        script(Peer::new(pieces));
    }
}

/// A server's end, its owner, the time, and a client.
struct Peer {
    serving: Serving,
    now: Instant,
    pieces: usize,
    said: String,
    stanzas: Vec<String>,
    asked: Vec<Address>,
    /// What the owner refuses.
    conflict: bool,
    silent: bool,
    end: Option<ServeError>,
    closed: bool,
}

impl Peer {
    fn new(pieces: usize) -> Self {
        let now = Instant::now();
        Self {
            serving: Serving::new(&domains(), [7; 32], now),
            now,
            pieces,
            said: String::new(),
            stanzas: Vec::new(),
            asked: Vec::new(),
            conflict: false,
            silent: false,
            end: None,
            closed: false,
        }
    }

    fn logged_in(mut self) -> Self {
        self.say(HEADER);
        self.say(RIGHT);
        self.said();
        self.say(HEADER);
        let said = self.said();
        assert!(said.contains("<bind "), "{said}");
        self
    }

    fn open(self) -> Self {
        let mut peer = self.logged_in();
        peer.say(bind("<resource>orchard</resource>"));
        assert!(peer.serving.is_open());
        peer.said();
        peer
    }

    fn open_with_sm(self) -> Self {
        let mut peer = self.open();
        peer.say(format!("<enable {SM} resume='true'/>"));
        assert_eq!(peer.said(), format!("<enabled {SM}/>"));
        peer
    }

    fn say(&mut self, text: impl AsRef<[u8]>) {
        let octets = text.as_ref();
        for piece in octets.chunks(self.pieces.min(octets.len().max(1))) {
            self.serving.handle_bytes(piece);
            self.read();
        }
        self.write();
    }

    fn read(&mut self) {
        loop {
            let outcome = match self.serving.poll_event(self.now) {
                Ok(None) => return,
                Ok(Some(ServingEvent::Login(_))) if self.silent => return,
                Ok(Some(ServingEvent::Login(login))) => {
                    self.serving.log_in(login.is_password("pencil"))
                }
                Ok(Some(ServingEvent::Bind(address))) => {
                    match self.conflict {
                        true => self.serving.refuse(Condition::Conflict),
                        false => self.serving.bind(&address),
                    }
                    self.asked.push(address);
                    Ok(())
                }
                Ok(Some(ServingEvent::Stanza(octets))) => {
                    let stanza = String::from_utf8(octets.to_vec()).unwrap();
                    self.stanzas.push(stanza);
                    Ok(())
                }
                Ok(Some(ServingEvent::Closed)) => {
                    self.closed = true;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                assert_eq!(self.end.replace(error), None, "one end");
            }
        }
    }

    fn write(&mut self) {
        while let Some(octets) = self.serving.poll_transmit(self.now) {
            self.said.push_str(std::str::from_utf8(octets).unwrap());
        }
    }

    fn said(&mut self) -> String {
        std::mem::take(&mut self.said)
    }

    fn send(&mut self, stanza: &str) {
        assert!(self.serving.has_room());
        let sent = self
            .serving
            .send_with(|out| out.extend_from_slice(stanza.as_bytes()));
        assert_eq!(sent, Ok(()));
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.serving.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            if let Err(error) = self.serving.handle_timeout(due) {
                assert_eq!(self.end.replace(error), None);
            }
            self.write();
        }
        self.now = end;
    }

    /// The client was told of the end of the stream by this, and nothing goes on.
    fn is_ended_by(&mut self, condition: &str) {
        let said = self.said();
        assert!(self.end.is_some(), "{said}");
        let error = format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
        );
        assert!(said.ends_with(&error), "{condition}: {said}");
        assert!(said.matches("<stream:stream ").count() <= 1, "{said}");
        let stanzas = self.stanzas.len();
        self.say("<message/></stream:stream>");
        self.wait(PATIENCE * 2);
        assert_eq!((self.said(), self.stanzas.len()), (String::new(), stanzas));
        assert_eq!(self.serving.poll_timeout(), None);
        assert!(!self.serving.has_room());
    }
}
