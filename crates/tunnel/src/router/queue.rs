//! Events that wait for the owner, weighed.

use std::time::Instant;

use xtls_stanza::{Address, StanzaError};

use super::Router;
use super::event::{Closed, Event, TunnelEvent, TunnelId, Why};

impl Router {
    /// What happened.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        let event = self.events.pop_front()?;
        let known = self.tunnels.get_mut(&event.id);
        if let Some(known) = known.and_then(|tunnel| tunnel.conversation_mut())
            && known.on_taken(&event.what, self.config.queue)
        {
            let now = self.clock.read(now);
            self.mark_and_pump(now, event.id);
        }
        Some(event)
    }

    pub(super) fn emit(&mut self, id: TunnelId, what: TunnelEvent) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            let Some(known) = tunnel.conversation_mut() else {
                return;
            };
            known.on_queued(&what);
        }
        self.events.push_back(Event { id, what });
    }
}

impl TunnelEvent {
    /// Bytes of memory that it holds: what a peer can make long counts by its length, and everything else as 512.
    #[must_use]
    pub fn weight(&self) -> usize {
        let long = match self {
            Self::Stanza(stanza) | Self::Unanswered(stanza) => stanza.weight(),
            Self::Refused(violation) => violation.weight(),
            Self::Closed(closed) => of_closed(closed),
            Self::Incoming(address) | Self::Asked(address) => length(address),
            Self::Judge(introduction) => length(&introduction.peer),
            Self::Established(peer) | Self::Renewed(peer) => length(&peer.address),
            Self::NotPinned(why) | Self::NotVerified(why) => why.capacity(),
            Self::Ready
            | Self::OtherKey(_)
            | Self::Writable
            | Self::Readable
            | Self::Verify(_)
            | Self::PeerFinished => 0,
        };
        long.saturating_add(LIGHT)
    }
}

fn length(address: &Address) -> usize {
    address.as_str().len()
}

fn of_closed(closed: &Closed) -> usize {
    let error = |error: &StanzaError| {
        let app = error.app.as_ref().map_or(0, |app| app.weight());
        error.text.as_ref().map_or(0, String::capacity) + app
    };
    let of_session = |why: &xtls_session::Why| {
        if let xtls_session::Why::Routing(violation) = why {
            violation.weight()
        } else {
            0
        }
    };
    let why = match &closed.why {
        Why::Unavailable(said) | Why::Declined(said) | Why::Unreachable(said) => error(said),
        Why::Stream(end) => end.weight(),
        Why::Session(session) => of_session(session),
        Why::Cut { session, stream } => of_session(session) + stream.weight(),
        Why::Setup(text) => text.capacity(),
        Why::NoAnswer
        | Why::HandshakeAborted
        | Why::Unasked
        | Why::LongFlight { .. }
        | Why::Superseded
        | Why::Replaced
        | Why::Impostor
        | Why::Second
        | Why::Busy(_) => 0,
    };
    length(&closed.peer) + why
}

/// What any event weighs beside what is long in it, in bytes.
const LIGHT: usize = 512;

#[cfg(test)]
mod tests {
    use xtls_session::Violation;
    use xtls_stanza::{Condition, ErrorType, Kind, Stanza};

    use super::*;
    use crate::transport::StreamEnd;

    #[test]
    fn whatever_a_peer_can_make_long_weighs_at_least_its_bytes() {
        let long = || "x".repeat(10_000);
        let error = || StanzaError::new(ErrorType::Wait, Condition::Gone).with_text(long());
        let peer = Address::new("a@west.example/one").unwrap();
        let closed = |why| {
            TunnelEvent::Closed(Closed {
                peer: peer.clone(),
                by: xtls_session::By::Peer,
                why,
                clean: false,
                unconfirmed: 0,
                receipt: xtls_session::Receipt::Unaccepted,
                traffic: xtls_session::Traffic::default(),
            })
        };
        let rejected = || StreamEnd::Rejected(error());
        let type_ = || Violation::Type {
            kind: "message",
            type_: long(),
        };
        let whats = [
            TunnelEvent::Stanza(Stanza::new(Kind::Message).with_id(long())),
            TunnelEvent::Unanswered(Stanza::new(Kind::Iq).with_id(long())),
            TunnelEvent::Refused(type_()),
            TunnelEvent::Refused(Violation::Payload {
                ns: long(),
                name: String::new(),
            }),
            TunnelEvent::Refused(Violation::Payload {
                ns: String::new(),
                name: long(),
            }),
            TunnelEvent::NotPinned(long()),
            TunnelEvent::NotVerified(long()),
            closed(Why::Unavailable(error())),
            closed(Why::Declined(error())),
            closed(Why::Unreachable(error())),
            closed(Why::Stream(rejected())),
            closed(Why::Session(xtls_session::Why::Routing(type_()))),
            closed(Why::Cut {
                session: xtls_session::Why::Truncated,
                stream: rejected(),
            }),
            closed(Why::Setup(long())),
        ];
        for what in whats {
            let weight = what.weight();
            assert!((10_000..12_000).contains(&weight), "{weight}: {what:?}");
        }
        assert_eq!(TunnelEvent::Ready.weight(), LIGHT);
    }
}
