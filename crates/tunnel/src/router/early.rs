//! The early hello: TLS's first flights in the open and in its answer, which saves a round trip.
//!
//! What travels there is the beginning of each direction's byte stream; `seq` counts from 0 after it. A peer that does not
//! know it answers plainly, and the same ClientHello goes on the stream.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;
use xtls_session::{By, Close, Service, Session};
use xtls_stanza::Address;
use xtls_tls::Role;

use super::event::{OpenError, TunnelId, Why};
use super::running::Hello;
use super::transports::Leg;
use super::{Router, answers};
use crate::transport::{MAX_FLIGHT, Open};

impl Router {
    /// Sends `<open><start/></open>`, with a ClientHello in it if it is to be `early`. Each open has a TLS client of its
    /// own: no ClientHello serves two sids.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        peer: &Address,
        service: &Service,
        early: bool,
    ) -> Result<(Leg, Option<Box<Session>>), OpenError> {
        let via = self.transports.toward(peer);
        let sid = self.transports.fresh_sid(via, peer);
        let sid = sid.unwrap_or_else(|| answers::fresh_sid(&mut self.random));
        let most = self.transports.max_flight(via);
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
        let stream = self.transports.open(now, via, Open { peer, sid, hello })?;
        Ok((stream, session))
    }

    /// Our open has been accepted: the stream stands, TLS begins.
    pub(super) fn on_opened(&mut self, now: Instant, stream: Leg, flight: Option<Bytes>) {
        let Some(&id) = self.streams.get(&stream) else {
            return;
        };
        let sid = self.transports.name(stream).map(ToOwned::to_owned);
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let carrier = tunnel.carrier_mut();
        if !carrier.phase().is_opening() {
            return;
        }
        // A smaller block was agreed on under another sid, to which the early ClientHello does not belong.
        let early = carrier
            .take_early()
            .filter(|session| sid.as_ref() == Some(&session.binding().sid));
        let peer = carrier.peer().clone();
        match (early, flight) {
            (Some(mut session), Some(flight)) if flight.len() <= MAX_FLIGHT => {
                session.begun(now);
                // It has travelled.
                let _ = session.poll_wire(session.peek_wire().len());
                session.handle_wire(now, &flight);
                self.begin(
                    now,
                    id,
                    stream,
                    peer,
                    Role::Client,
                    Some(session),
                    Hello::Once,
                );
            }
            (early, Some(flight)) => {
                debug!("a flight that is too long, or answers nothing of ours");
                let why = match early {
                    Some(_) => Why::LongFlight {
                        bytes: flight.len(),
                    },
                    None => Why::Unasked,
                };
                carrier.fail(By::Us, why);
                self.transports.abort(now, stream);
            }
            (early, None) => {
                let hello = match early {
                    Some(_) => Hello::Twice,
                    None => Hello::Once,
                };
                let early = early.map(|mut session| {
                    session.begun(now);
                    session
                });
                self.begin(now, id, stream, peer, Role::Client, early, hello);
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
        let most = self.transports.max_flight(stream.via());
        let fits = |hello: &Bytes| self.config.early && (1..=most).contains(&hello.len());
        let early = hello.filter(fits).and_then(|hello| {
            let sid = self.transports.name(stream)?.to_owned();
            let session = self.session(now, peer.clone(), sid, service, Role::Server);
            let mut session = session.ok()?;
            session.handle_wire(now, &hello);
            // What does not fit goes on as data. A hello that cannot be read is answered by its alert.
            let flight = session.poll_wire(most).unwrap_or_default();
            Some((session, flight))
        });
        let (session, flight) = early.unzip();
        self.transports.accept(now, stream, flight).ok()?;
        Some(session)
    }

    /// A handshake has failed whose ClientHello went twice: somebody between us may have taken the peer's early answer
    /// away, so one more try is made without. True when it is under way.
    pub(super) fn again_without_early(
        &mut self,
        now: Instant,
        id: TunnelId,
        close: &Close,
    ) -> bool {
        let tunnel = self.tunnels.get(&id);
        tunnel.is_some_and(|tunnel| tunnel.carrier().may_try_again(close))
            && self.ask_again(now, id)
    }

    /// Opens once more, without an early hello, under the same tunnel.
    pub(super) fn ask_again(&mut self, now: Instant, id: TunnelId) -> bool {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return false;
        };
        let carrier = tunnel.carrier();
        let peer = carrier.peer().clone();
        let service = carrier.service().unwrap_or(&self.config.service).clone();
        let Ok((stream, early)) = self.ask(now, &peer, &service, false) else {
            return false;
        };
        debug!("once more without the early hello");
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && let Some(old) = tunnel.carrier_mut().open_again(stream, early)
        {
            self.streams.remove(&old);
            self.transports.close(now, old);
        }
        self.streams.insert(stream, id);
        self.dirty.insert(id);
        true
    }
}
