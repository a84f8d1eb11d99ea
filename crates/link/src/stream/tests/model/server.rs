//! A server that is as simple as the rules allow, and holds nothing back.

use std::collections::VecDeque;

use bytes::{Buf as _, BytesMut};
use proptest::prelude::*;
use xtls_framer::{Cutter, Limits};
use xtls_stanza::Element;

use super::super::sasl2::{all, bound2, sasl2, success};
use super::super::{BIND_AND_SM, HEADER, PLAIN, R, RESOURCE, SUCCESS, a, bound, features};
use super::{message, number};
use crate::header::Header;

/// What it may do or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// Sessions can be resumed.
    pub(super) resume: bool,
    /// A refusal says how many stanzas had arrived.
    pub(super) precise: bool,
    /// A log-in by SASL2 does all of it.
    pub(super) sasl2: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            resume: true,
            precise: true,
            sasl2: false,
        }
    }
}

pub(super) fn manners() -> impl Strategy<Value = Manners> {
    (prop::bool::weighted(0.8), any::<bool>(), any::<bool>()).prop_map(
        |(resume, precise, sasl2)| Manners {
            resume,
            precise,
            sasl2,
        },
    )
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) manners: Manners,
    connection: Connection,
    session: Option<Managed>,
    /// How many have begun.
    sessions: u32,
    /// What came, how many were sent, and which of them are given up.
    pub(super) taken: Vec<u32>,
    pub(super) sent: u32,
    pub(super) lost: Vec<u32>,
}

#[derive(Default)]
struct Connection {
    inbound: BytesMut,
    /// `None`: the client's header is due.
    cutter: Option<Cutter>,
    logged_in: bool,
    bound: bool,
    /// The session of XEP-0198 is on.
    managed: bool,
}

/// A session of XEP-0198.
struct Managed {
    id: String,
    resumable: bool,
    /// How many came in it.
    handled: u32,
    /// How many that were sent in it are acknowledged, and which are not.
    acked: u32,
    unacked: VecDeque<u32>,
}

impl Managed {
    fn on_ack(&mut self, element: &Element) {
        let h: u32 = element.attr("h").unwrap().parse().unwrap();
        let news = h.checked_sub(self.acked).unwrap() as usize;
        assert!(news <= self.unacked.len(), "h='{h}' is too high");
        self.unacked.drain(..news);
        self.acked = h;
    }
}

impl Server {
    pub(super) fn has_session(&self) -> bool {
        self.connection.managed
    }

    pub(super) fn read(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.connection.inbound.extend_from_slice(octets);
        loop {
            let Connection {
                inbound, cutter, ..
            } = &mut self.connection;
            let Some(cutter) = cutter else {
                let Some((_, taken)) = Header::find(inbound).unwrap() else {
                    return;
                };
                inbound.advance(taken);
                self.connection.cutter = Some(Cutter::new(Limits::default()));
                let offered = match (self.connection.logged_in, self.manners.sasl2) {
                    (false, false) => PLAIN.to_owned(),
                    (false, true) => format!("{PLAIN}{}", sasl2("PLAIN", &all())),
                    (true, _) => BIND_AND_SM.to_owned(),
                };
                say(out, format!("{HEADER}{}", features(&offered)));
                continue;
            };
            let Some(frame) = cutter.cut(inbound).unwrap() else {
                return;
            };
            let octets = frame.into_bytes();
            if octets.starts_with(b"<message") {
                self.on_message(number(&octets));
            } else {
                let element = Element::read(&octets, "jabber:client").unwrap();
                self.on_element(&element, out);
            }
        }
    }

    fn on_message(&mut self, number: u32) {
        assert!(self.connection.bound, "{number} before there is a resource");
        self.taken.push(number);
        self.count();
    }

    fn count(&mut self) {
        if let Some(session) = self.session.as_mut().filter(|_| self.connection.managed) {
            session.handled += 1;
        }
    }

    fn on_element(&mut self, element: &Element, out: &mut Vec<u8>) {
        let connection = &mut self.connection;
        match (element.name.as_str(), &mut self.session) {
            ("auth", _) => {
                connection.cutter = None;
                connection.logged_in = true;
                say(out, SUCCESS);
            }
            ("authenticate", _) => {
                connection.logged_in = true;
                self.log_in(element, out);
            }
            ("resume", _) => {
                let behind = self.resume(element, out);
                say(out, behind.unwrap_or_default());
            }
            // Not worth an answer.
            ("iq", _) if element.attr("type") == Some("get") => self.count(),
            // Nobody is there any more for an earlier session.
            ("iq", _) => {
                connection.bound = true;
                say(out, bound(element.attr("id").unwrap(), RESOURCE));
                self.forget();
            }
            ("enable", _) => self.enable(out),
            ("r", Some(session)) if connection.managed => say(out, a(session.handled)),
            ("a", Some(session)) if connection.managed => session.on_ack(element),
            other => panic!("{:?} was not expected", other.0),
        }
    }

    /// By SASL2, with all that is asked for within it.
    fn log_in(&mut self, element: &Element, out: &mut Vec<u8>) {
        let mut inline = Vec::new();
        let resume = element.child("resume", "urn:xmpp:sm:3");
        let behind = resume.and_then(|resume| self.resume(resume, &mut inline));
        if behind.is_none()
            && let Some(bind) = element.child("bind", "urn:xmpp:bind:0")
        {
            self.connection.bound = true;
            self.forget();
            let mut bound = Vec::new();
            if bind.child("enable", "urn:xmpp:sm:3").is_some() {
                self.enable(&mut bound);
            }
            say(&mut inline, bound2(std::str::from_utf8(&bound).unwrap()));
        }
        let inline = std::str::from_utf8(&inline).unwrap();
        say(out, success(RESOURCE, inline));
        say(out, behind.unwrap_or_else(|| features(BIND_AND_SM)));
    }

    /// What follows if it is resumed.
    fn resume(&mut self, element: &Element, out: &mut Vec<u8>) -> Option<String> {
        let (connection, session) = (&mut self.connection, &mut self.session);
        if let Some(session) = session
            && session.resumable
            && element.attr("previd") == Some(&*session.id)
        {
            session.on_ack(element);
            (connection.bound, connection.managed) = (true, true);
            let (id, h) = (&session.id, session.handled);
            say(
                out,
                format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>"),
            );
            let again = session.unacked.iter();
            return Some(again.map(|number| message(*number)).collect());
        }
        let known = session.as_ref().filter(|_| self.manners.precise);
        let h = known.map_or_else(String::new, |known| format!("h='{}'", known.handled));
        say(out, format!("<failed xmlns='urn:xmpp:sm:3' {h}/>"));
        self.forget();
        None
    }

    fn enable(&mut self, out: &mut Vec<u8>) {
        self.connection.managed = true;
        self.sessions += 1;
        let id = format!("s{}", self.sessions);
        let resumable = self.manners.resume;
        say(
            out,
            format!("<enabled xmlns='urn:xmpp:sm:3' id='{id}' resume='{resumable}' max='60'/>"),
        );
        self.session = Some(Managed {
            id,
            resumable,
            handled: 0,
            acked: 0,
            unacked: VecDeque::new(),
        });
    }

    pub(super) fn send(&mut self, count: usize, out: &mut Vec<u8>) {
        for _ in 0..count {
            if !self.connection.bound {
                return;
            }
            self.sent += 1;
            say(out, message(self.sent));
            match self.session.as_mut().filter(|_| self.connection.managed) {
                Some(session) => session.unacked.push_back(self.sent),
                // Nobody will say what has become of it.
                None => self.lost.push(self.sent),
            }
        }
    }

    pub(super) fn ask(&mut self, out: &mut Vec<u8>) {
        if self.connection.managed {
            say(out, R);
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = Connection::default();
        if self
            .session
            .as_ref()
            .is_some_and(|session| !session.resumable)
        {
            self.forget();
        }
    }

    /// The session is over, unless it is in use.
    pub(super) fn forget(&mut self) {
        if !self.connection.managed
            && let Some(session) = self.session.take()
        {
            self.lost.extend(session.unacked);
        }
    }
}

fn say(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    out.extend_from_slice(text.as_ref());
}
