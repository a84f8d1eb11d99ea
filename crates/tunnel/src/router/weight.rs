//! What events weigh that wait for the owner.

use xtls_stanza::{Address, StanzaError};

use super::event::{Closed, TunnelEvent, Why};

/// Bytes of memory that an event holds: what a peer can make long counts by its length, and everything else as 512.
pub(super) fn of(what: &TunnelEvent) -> usize {
    let long = match what {
        TunnelEvent::Stanza(stanza) | TunnelEvent::Unanswered(stanza) => stanza.weight(),
        TunnelEvent::Refused(violation) => violation.weight(),
        TunnelEvent::Closed(closed) => of_closed(closed),
        TunnelEvent::Incoming(address) | TunnelEvent::Asked(address) => length(address),
        TunnelEvent::Judge(introduction) => length(&introduction.peer),
        TunnelEvent::Established(peer) | TunnelEvent::Renewed(peer) => length(&peer.address),
        TunnelEvent::NotPinned(why) | TunnelEvent::NotVerified(why) => why.capacity(),
        TunnelEvent::Ready
        | TunnelEvent::OtherKey(_)
        | TunnelEvent::Writable
        | TunnelEvent::Readable
        | TunnelEvent::Verify(_)
        | TunnelEvent::Path(_)
        | TunnelEvent::PeerFinished => 0,
    };
    long.saturating_add(LIGHT)
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
