//! Requests of the link's own, whose answers are nobody else's business.

use bytes::Bytes;
use xtls_stanza::{Kind, Stanza};

/// Those of one binding.
#[derive(Debug, Default)]
pub(crate) struct Requests(Vec<Request>);

/// There is one for each purpose, which keeps its id when it is made again.
#[derive(Debug)]
struct Request {
    id: String,
    purpose: Purpose,
    /// The answer is due.
    waiting: bool,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The session of RFC 3921, which every server says yes to.
    Session,
    /// What kind of server it is.
    Software,
    /// Whether it lives.
    Ping,
}

impl Requests {
    /// The id that the last request of this purpose had.
    pub(crate) fn id(&self, purpose: Purpose) -> Option<&str> {
        let mut all = self.0.iter();
        let last = all.find(|request| request.purpose == purpose)?;
        Some(&last.id)
    }

    /// Waits for the answer to a request.
    pub(crate) fn add(&mut self, id: String, purpose: Purpose) {
        self.0.retain(|request| request.purpose != purpose);
        self.0.push(Request {
            id,
            purpose,
            waiting: true,
        });
    }

    /// Whether a stanza of ours is one of them.
    pub(crate) fn holds(&self, octets: &Bytes) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let stanza = Stanza::read(octets);
        let id = stanza.ok().and_then(|stanza| stanza.id);
        id.is_some_and(|id| self.0.iter().any(|request| request.id == id))
    }

    /// The request that a stanza answers, and what it says. Only our server and account can answer one.
    pub(crate) fn answered(
        &mut self,
        octets: &Bytes,
        is_of_server: impl Fn(&Stanza) -> bool,
    ) -> Option<(Purpose, Stanza)> {
        // Nothing is looked at for most of a connection.
        let waits = self.0.iter().any(|request| request.waiting);
        if !waits || !octets.starts_with(b"<iq") {
            return None;
        }
        let stanza = Stanza::read(octets).ok()?;
        let answer = matches!(stanza.type_.as_deref(), Some("result" | "error"));
        if stanza.kind != Kind::Iq || !answer || !is_of_server(&stanza) {
            return None;
        }
        let mut all = self.0.iter_mut().filter(|request| request.waiting);
        let request = all.find(|request| stanza.id.as_deref() == Some(&request.id))?;
        request.waiting = false;
        Some((request.purpose, stanza))
    }
}
