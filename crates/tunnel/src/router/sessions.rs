//! The sessions of a router, and the early hello: TLS's first flights travel in the open and in its answer, which saves a
//! round trip.
//!
//! What travels there is the beginning of each direction's byte stream; `seq` counts from 0 after it. A peer that does not
//! know it answers plainly, and the same ClientHello goes on the stream.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use xtls_session::{Binding, Service, Session};
use xtls_stanza::Address;
use xtls_tls::trust::{Current, Store};
use xtls_tls::{ConfigError, Role, Tls};

use super::config::Config;
use super::event::OpenError;
use super::fresh;
use super::transports::{Leg, Transports};
use crate::transport::Open;

/// Makes sessions, which judge by the pins that count.
#[derive(Debug)]
pub(super) struct Sessions {
    trust: Current,
    /// Those that were made: their verifications are numbered by it.
    made: u64,
}

impl Sessions {
    pub(super) fn new(trust: Arc<Store>) -> Self {
        Self {
            trust: Current::from(trust),
            made: 0,
        }
    }

    /// The pins that count.
    pub(super) fn trust(&self) -> Arc<Store> {
        self.trust.get()
    }

    /// These pins count from now on. Gives those before.
    pub(super) fn set_trust(&self, trust: Arc<Store>) -> Arc<Store> {
        self.trust.set(trust)
    }

    /// One that knows its context and nothing else yet: for this service, or for any that we serve.
    pub(super) fn make(
        &mut self,
        now: Instant,
        transports: &Transports,
        config: &Config,
        peer: &Address,
        sid: &str,
        service: Option<&Service>,
        role: Role,
    ) -> Result<Box<Session>, ConfigError> {
        let known = service.is_some();
        // Where none is for this peer, our own open is what it crosses, and that is decided once the service is known.
        let mut served = config.services_for(peer);
        let service = service.or_else(|| served.next());
        let also: Vec<_> = match known {
            true => Vec::new(),
            false => served.cloned().collect(),
        };
        let binding = binding(transports, config, peer, sid, service, role);
        let expect = binding.expect_one_of(&also, self.trust.clone(), config.policy);
        let tls = Tls::new(role, &config.tls, expect)?;
        self.made = self.made.saturating_add(1);
        let session = Session::new(binding, tls, config.session.clone(), now)
            .serving(also)
            .numbered(self.made);
        Ok(Box::new(session))
    }

    /// Sends `<open><start/></open>`, with a ClientHello in it if it is to be `early`. Each open has a TLS client of its
    /// own: no ClientHello serves two sids.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        transports: &mut Transports,
        config: &Config,
        random: &mut ChaCha20Rng,
        peer: &Address,
        service: &Service,
        early: bool,
    ) -> Result<(Leg, Option<Box<Session>>), OpenError> {
        let via = transports.toward(peer);
        let sid = transports.fresh_sid(via, peer);
        let sid = sid.unwrap_or_else(|| fresh::sid(random));
        let most = transports.max_flight(via);
        let client = || {
            let (sid, service) = (sid.as_str(), Some(service));
            self.make(now, transports, config, peer, sid, service, Role::Client)
        };
        // What cannot be set up now cannot be later either, and is reported then.
        let session = (early && most > 0)
            .then(client)
            .and_then(Result::ok)
            .filter(|session| session.peek_wire().len() <= most);
        let hello = session
            .as_ref()
            .map(|session| Bytes::copy_from_slice(session.peek_wire()));
        let stream = transports.open(now, via, Open { peer, sid, hello })?;
        Ok((stream, session))
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
        transports: &mut Transports,
        config: &Config,
        stream: Leg,
        peer: &Address,
        service: Option<&Service>,
        hello: Option<Bytes>,
    ) -> Option<Option<Box<Session>>> {
        let most = transports.max_flight(stream.via());
        let fits = |hello: &Bytes| config.early && (1..=most).contains(&hello.len());
        let early = hello.filter(fits).and_then(|hello| {
            let sid = transports.name(stream)?;
            let session = self.make(now, transports, config, peer, sid, service, Role::Server);
            let mut session = session.ok()?;
            session.handle_wire(now, &hello);
            // What does not fit goes on as data. A hello that cannot be read is answered by its alert.
            let flight = session.poll_wire(most).unwrap_or_default();
            Some((session, flight))
        });
        let (session, flight) = early.unzip();
        transports.accept(now, stream, flight).ok()?;
        Some(session)
    }
}

/// Who talks to whom on a stream of this name, and for what: for the first of our services, while that is not known.
pub(super) fn binding(
    transports: &Transports,
    config: &Config,
    peer: &Address,
    sid: &str,
    service: Option<&Service>,
    role: Role,
) -> Binding {
    Binding {
        own: transports.own().clone(),
        peer: peer.clone(),
        sid: sid.to_owned(),
        service: service.unwrap_or(&config.service).clone(),
        role,
    }
}
