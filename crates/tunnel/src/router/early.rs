//! The early hello: TLS's first flights in the open and in its answer, which saves a round trip.
//!
//! What travels there is the beginning of each direction's byte stream; `seq` counts from 0 after it. A peer that does not
//! know it answers plainly, and the same ClientHello goes on the stream.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;
use xtls_session::{By, Close, Service, Session, Why as Inner};
use xtls_stanza::Address;
use xtls_tls::{Role, TlsError};

use super::event::{OpenError, TunnelId, Why};
use super::legs::Leg;
use super::tunnel::{Hello, Phase, Tunnel};
use super::{Router, answers};
use crate::transport::{MAX_FLIGHT, Open, StreamEnd};

impl Router {
    /// Sends `<open><start/></open>`, with a ClientHello in it if it is to be `early`. Each open has a TLS client of its
    /// own: no ClientHello serves two sids.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        peer: &Address,
        service: &Service,
        early: bool,
    ) -> Result<(Leg, Phase), OpenError> {
        let via = self.legs.toward(peer);
        let sid = self.legs.fresh_sid(via, peer);
        let sid = sid.unwrap_or_else(|| answers::fresh_sid(&mut self.random));
        let most = self.legs.max_flight(via);
        let client = || {
            let sid = sid.as_str().to_owned();
            self.session(now, peer.clone(), sid, Some(service), Role::Client)
        };
        // What cannot be set up now cannot be later either, and is reported then.
        let session = (early && most > 0)
            .then(client)
            .and_then(Result::ok)
            .filter(|session| session.peek_wire().len() <= most);
        let hello = session
            .as_ref()
            .map(|session| Bytes::copy_from_slice(session.peek_wire()));
        let stream = self.legs.open(now, via, Open { peer, sid, hello })?;
        Ok((stream, Phase::Opening { early: session }))
    }

    /// Our open has been accepted: the stream stands, TLS begins.
    pub(super) fn on_opened(&mut self, now: Instant, stream: Leg, flight: Option<Bytes>) {
        let Some(&id) = self.streams.get(&stream) else {
            return;
        };
        let sid = self.legs.name(stream).map(ToOwned::to_owned);
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Phase::Opening { early } = &mut tunnel.phase else {
            return;
        };
        // A smaller block was agreed on under another sid, to which the early ClientHello does not belong.
        let early = early.take().filter(|session| {
            sid.as_ref() == Some(&session.binding().sid) || planted!("hello-of-another-sid")
        });
        let flight = flight.filter(|_| early.is_some() || !planted!("unasked-flight-taken"));
        let peer = tunnel.peer.clone();
        tunnel.hello = Hello::Stream;
        match (early, flight) {
            (Some(mut session), Some(flight)) if flight.len() <= MAX_FLIGHT => {
                session.begun(now);
                // It has travelled.
                let _ = session.poll_wire(session.peek_wire().len());
                session.handle_wire(now, &flight);
                self.begin(now, id, stream, peer, Role::Client, Some(session));
            }
            (early, Some(flight)) => {
                debug!("a flight that is too long, or answers nothing of ours");
                let why = match early {
                    Some(_) => Why::LongFlight {
                        bytes: flight.len(),
                    },
                    None => Why::Unasked,
                };
                let closed = tunnel.closed(By::Us, why);
                tunnel.phase = Phase::Ending { closed };
                self.legs.abort(now, stream);
            }
            (early, None) => {
                if early.is_some() {
                    tunnel.hello = Hello::Both;
                }
                let early = early.map(|mut session| {
                    session.begun(now);
                    session
                });
                self.begin(now, id, stream, peer, Role::Client, early);
            }
        }
    }

    /// Accepts a peer's open, and answers its early ClientHello if there is one that we take. Policy, caps and glare have
    /// been decided before. `None` when the open is not there any more.
    #[expect(
        clippy::option_option,
        reason = "no stream, and no early session, are two things"
    )]
    pub(super) fn say_yes(
        &mut self,
        now: Instant,
        stream: Leg,
        peer: &Address,
        service: Option<&Service>,
        hello: Option<Bytes>,
    ) -> Option<Option<Box<Session>>> {
        let most = self.legs.max_flight(stream.via());
        let fits = |hello: &Bytes| self.config.early && (1..=most).contains(&hello.len());
        let early = hello.filter(fits).and_then(|hello| {
            let sid = self.legs.name(stream)?.to_owned();
            let session = self.session(now, peer.clone(), sid, service, Role::Server);
            let mut session = session.ok()?;
            session.handle_wire(now, &hello);
            // What does not fit goes on as data. A hello that cannot be read is answered by its alert.
            let flight = session.poll_wire(most).unwrap_or_default();
            Some((session, flight))
        });
        let (session, flight) = early.unzip();
        self.legs.accept(now, stream, flight).ok()?;
        Some(session)
    }

    /// The peer has answered the ClientHello, wherever that travelled: the early hello is no reason for what follows.
    pub(super) fn heard_of(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.hello = Hello::Stream;
        }
    }

    /// A handshake has failed whose ClientHello went twice: somebody between us may have taken the peer's early answer
    /// away, so one more try is made without. True when it is under way.
    pub(super) fn again_without_early(
        &mut self,
        now: Instant,
        id: TunnelId,
        close: &Close,
    ) -> bool {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return false;
        };
        let cut = match tunnel.cut.as_deref() {
            // The peer's alert may be sealed with keys that we do not have.
            None => matches!(
                close.why,
                Inner::Tls(TlsError::Alert(_) | TlsError::Protocol(_))
            ),
            Some(StreamEnd::LinkLost | StreamEnd::Aborted | StreamEnd::TimedOut(_)) => false,
            Some(_) => true,
        };
        let twice = tunnel.hello == Hello::Both && tunnel.verdict.is_none();
        twice && cut && !tunnel.hurry && !tunnel.dismissed && self.ask_again(now, id)
    }

    /// Opens once more, without an early hello, under the same tunnel.
    pub(super) fn ask_again(&mut self, now: Instant, id: TunnelId) -> bool {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return false;
        };
        let peer = tunnel.peer.clone();
        let service = tunnel
            .service
            .as_ref()
            .unwrap_or(&self.config.service)
            .clone();
        let Ok((stream, phase)) = self.ask(now, &peer, &service, false) else {
            return false;
        };
        debug!("once more without the early hello");
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.set_out(phase);
            (tunnel.cut, tunnel.over) = (None, false);
            if let Some(old) = tunnel.stream.replace(stream) {
                self.streams.remove(&old);
                self.legs.close(now, old);
            }
        }
        self.streams.insert(stream, id);
        self.dirty.insert(id);
        true
    }
}

impl Tunnel {
    /// Our open is on its way.
    pub(super) fn set_out(&mut self, phase: Phase) {
        let early = matches!(&phase, Phase::Opening { early: Some(_) });
        self.hello = if early { Hello::Open } else { Hello::Stream };
        self.phase = phase;
    }
}
