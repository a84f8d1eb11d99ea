//! The server's end of a client's link: log-in, a resource, and XEP-0198, without a fault of its own.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};
use xtls_framer::{Cutter, Limits};
use xtls_stanza::{Address, Element};

/// What the server grants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// There are sessions, and they can be resumed.
    pub(crate) enable: bool,
    pub(crate) resumable: bool,
    /// It still has the session of a `<resume/>`, and otherwise says the number that it had.
    pub(crate) resume: bool,
    pub(crate) number: bool,
}

/// What the client has brought about.
#[derive(Debug)]
pub(crate) enum Said {
    /// A stanza of this number.
    Stanza(u64, Vec<u8>),
    /// A new binding.
    Bound,
    /// It asks how many stanzas have come.
    Asked,
}

/// One account's server.
#[derive(Debug)]
pub(crate) struct Server {
    address: Address,
    pub(crate) policy: Policy,
    connection: Connection,
    session: Option<Session>,
    sessions: u32,
    /// Stanzas sent to the client so far, and before this binding.
    sent: u64,
    pub(crate) sent_before: u64,
    /// This binding has no session, and the client was told.
    refused: bool,
    /// One before it had none.
    was_refused: bool,
    /// How many stanzas of the last session had come, where the client was told.
    pub(crate) told: bool,
    /// What was for the client of a session that is over.
    left: Vec<Bytes>,
}

/// From the client's first octet to the last.
#[derive(Debug, Default)]
struct Connection {
    inbound: BytesMut,
    /// `None`: the client's header is due.
    cutter: Option<Cutter>,
    logged_in: bool,
    bound: bool,
    managed: bool,
}

/// A session of XEP-0198.
#[derive(Debug)]
struct Session {
    id: String,
    resumable: bool,
    /// The client has asked for acknowledgements, so it knows that there is a session.
    known: bool,
    handled: u32,
    acked: u32,
    /// Octet for octet; without a number, if it is for the link itself.
    unacked: VecDeque<(Option<u64>, Bytes)>,
}

impl Session {
    fn ack(&mut self, element: &Element) -> Result<(), String> {
        let h: u32 = number_in(element, "h")?;
        let news = h.wrapping_sub(self.acked) as usize;
        if news > self.unacked.len() {
            let (acked, sent) = (self.acked, self.unacked.len());
            return Err(format!(
                "h='{h}' after {acked}, and {sent} are unacknowledged"
            ));
        }
        self.unacked.drain(..news);
        self.acked = h;
        Ok(())
    }
}

impl Server {
    pub(crate) fn new(address: Address, policy: Policy) -> Self {
        Self {
            address,
            policy,
            connection: Connection::default(),
            session: None,
            sessions: 0,
            sent: 0,
            sent_before: 0,
            refused: false,
            was_refused: false,
            told: false,
            left: Vec::new(),
        }
    }

    /// Takes octets of the client's, and answers.
    pub(crate) fn read(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<Vec<Said>, String> {
        self.connection.inbound.extend_from_slice(octets);
        let mut said = Vec::new();
        loop {
            let inbound = &mut self.connection.inbound;
            let Some(cutter) = &mut self.connection.cutter else {
                let Some(end) = header(inbound) else {
                    return Ok(said);
                };
                inbound.advance(end);
                self.begin(out);
                continue;
            };
            let cut = cutter.cut(inbound).map_err(|error| error.to_string())?;
            let Some(frame) = cut else {
                return Ok(said);
            };
            said.extend(self.handle(&frame.into_bytes(), out)?);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        self.connection.cutter = Some(Cutter::new(Limits::default()));
        let offered = match self.connection.logged_in {
            false => {
                "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
            }
            true => "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>",
        };
        let domain = self.address.domain();
        say(
            out,
            format!(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                 from='{domain}' id='1' version='1.0'><stream:features>{offered}</stream:features>"
            ),
        );
    }

    fn handle(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<Option<Said>, String> {
        if let Some((number, xml)) = unstamp(octets) {
            if !self.connection.bound {
                return Err(format!("stanza {number} before there is a resource"));
            }
            self.count();
            return Ok(Some(Said::Stanza(number, xml)));
        }
        let element = Element::read(octets, "jabber:client").map_err(|error| error.to_string())?;
        let managed = self.connection.managed;
        match (element.name.as_str(), &mut self.session) {
            ("auth", _) if !self.connection.logged_in => {
                self.connection.logged_in = true;
                self.connection.cutter = None;
                say(out, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
            }
            ("resume", _) if self.connection.logged_in && !self.connection.bound => {
                self.resume(&element, out)?;
            }
            ("iq", _) if element.attr("type") == Some("set") && !self.connection.bound => {
                let kept = self.session.as_ref();
                if kept.is_some_and(|kept| kept.known && kept.resumable) {
                    return Err("a new binding, and a session could be resumed".to_owned());
                }
                self.bind(&element, out);
                return Ok(Some(Said::Bound));
            }
            // A sign of life.
            ("iq", _) if element.attr("type") == Some("get") && self.connection.bound => {
                self.count();
                let id = element.attr("id").unwrap_or_default();
                let answer = format!("<iq type='result' id='{id}'/>");
                self.push(None, answer.into(), out);
            }
            ("enable", _) if self.connection.bound && !managed => self.enable(out),
            ("r", Some(session)) if managed => {
                session.known = true;
                return Ok(Some(Said::Asked));
            }
            ("a", Some(session)) if managed => session.ack(&element)?,
            (name, _) => return Err(format!("<{name}/> does not belong here")),
        }
        Ok(None)
    }

    fn count(&mut self) {
        if let Some(session) = self.session.as_mut().filter(|_| self.connection.managed) {
            session.handled = session.handled.wrapping_add(1);
        }
    }

    fn bind(&mut self, element: &Element, out: &mut Vec<u8>) {
        self.forget();
        self.connection.bound = true;
        self.was_refused |= std::mem::take(&mut self.refused);
        self.sent_before = self.sent;
        let (id, address) = (element.attr("id").unwrap_or_default(), &self.address);
        say(
            out,
            format!(
                "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{}</jid></bind></iq>",
                address.as_str()
            ),
        );
    }

    fn enable(&mut self, out: &mut Vec<u8>) {
        if !self.policy.enable {
            self.refused = true;
            return say(out, "<failed xmlns='urn:xmpp:sm:3'/>");
        }
        self.connection.managed = true;
        self.sessions += 1;
        let (id, resumable) = (format!("s{}", self.sessions), self.policy.resumable);
        say(
            out,
            format!("<enabled xmlns='urn:xmpp:sm:3' id='{id}' resume='{resumable}' max='300'/>"),
        );
        self.session = Some(Session {
            id,
            resumable,
            known: false,
            handled: 0,
            acked: 0,
            unacked: VecDeque::new(),
        });
    }

    fn resume(&mut self, element: &Element, out: &mut Vec<u8>) -> Result<(), String> {
        let grants = self.policy.resume;
        let previd = element.attr("previd");
        if let Some(session) = &mut self.session
            && grants
            && previd == Some(&*session.id)
        {
            session.ack(element)?;
            let (id, h) = (&session.id, session.handled);
            say(
                out,
                format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>"),
            );
            for (number, xml) in &session.unacked {
                out.extend(stamp(*number, xml));
            }
            (self.connection.bound, self.connection.managed) = (true, true);
            return Ok(());
        }
        let known = self.session.as_ref().filter(|_| self.policy.number);
        self.told = known.is_some();
        let h = known.map_or_else(String::new, |known| format!(" h='{}'", known.handled));
        say(out, format!("<failed xmlns='urn:xmpp:sm:3'{h}/>"));
        self.forget();
        Ok(())
    }

    /// Sends a stanza to the client, or keeps it for the client's return. `Err`: nobody is there, and nobody will be.
    pub(crate) fn deliver(&mut self, xml: Bytes, out: &mut Vec<u8>) -> Result<(), Bytes> {
        if !self.connection.bound && self.session.is_none() {
            return Err(xml);
        }
        self.sent += 1;
        self.push(Some(self.sent), xml, out);
        Ok(())
    }

    fn push(&mut self, number: Option<u64>, xml: Bytes, out: &mut Vec<u8>) {
        if self.connection.bound {
            out.extend(stamp(number, &xml));
        }
        if self.connection.managed || !self.connection.bound {
            let session = self.session.iter_mut();
            session.for_each(|session| session.unacked.push_back((number, xml.clone())));
        }
    }

    pub(crate) fn ask(&self, out: &mut Vec<u8>) {
        if self.connection.managed {
            say(out, "<r xmlns='urn:xmpp:sm:3'/>");
        }
    }

    pub(crate) fn answer(&self, out: &mut Vec<u8>) {
        if let Some(session) = self.session.as_ref().filter(|_| self.connection.managed) {
            let h = session.handled;
            say(out, format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
        }
    }

    pub(crate) fn disconnect(&mut self) {
        self.connection = Connection::default();
        self.told = false;
        if self.session.as_ref().is_some_and(|kept| !kept.resumable) {
            self.forget();
        }
    }

    /// The session is over. What is not acknowledged in it waits for [`Self::take_left`].
    pub(crate) fn forget(&mut self) {
        let session = self.session.take().into_iter();
        let unacked = session.flat_map(|session| session.unacked);
        let stanzas = unacked.filter(|(number, _)| number.is_some());
        self.left.extend(stanzas.map(|(_, xml)| xml));
    }

    pub(crate) fn take_left(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.left)
    }

    /// Whether a binding before this one had no session, since the client last had one that it knows of.
    pub(crate) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.was_refused)
    }
}

/// Puts a number into the start tag of a stanza.
pub(crate) fn stamp(number: Option<u64>, xml: &[u8]) -> Vec<u8> {
    let Some(number) = number else {
        return xml.to_vec();
    };
    let end = xml
        .iter()
        .position(|byte| b" />".contains(byte))
        .unwrap_or(0);
    let (name, rest) = xml.split_at(end);
    [name, format!("{STAMP}{number}'").as_bytes(), rest].concat()
}

/// Takes it out again. `None`: there is none.
pub(crate) fn unstamp(stamped: &[u8]) -> Option<(u64, Vec<u8>)> {
    let at = stamped.iter().position(|byte| b" />".contains(byte))?;
    let (name, rest) = stamped.split_at(at);
    let rest = rest.strip_prefix(STAMP.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'\'')?;
    let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((number, [name, &rest[end + 1..]].concat()))
}

/// Where the client's header ends, once it is whole.
fn header(octets: &[u8]) -> Option<usize> {
    let start = memchr::memmem::find(octets, b"<stream:stream")?;
    Some(start + memchr::memchr(b'>', &octets[start..])? + 1)
}

fn number_in(element: &Element, name: &str) -> Result<u32, String> {
    let number = element.attr(name).and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("<{}/> without {name}", element.name))
}

fn say(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    out.extend_from_slice(text.as_ref());
}

/// The attribute that carries the number: no stanza of ours has it.
const STAMP: &str = " n='";
