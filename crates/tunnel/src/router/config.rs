//! What a router is told once, before anything happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use xtls_session::{Mode, Service};
use xtls_stanza::busy::Limit;
use xtls_stanza::ibb::{BlockSize, Carrier};
use xtls_stanza::{Address, Bare};
use xtls_tls::trust::{Policy, Store};

use super::path_config::PathConfig;
use crate::transport::Transport;

/// Who may open a tunnel to us. Everybody else is answered as by a client that has never heard of XTLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Accept {
    /// Nobody: we only open.
    #[default]
    NoOne,
    /// These accounts, from any resource.
    Only(BTreeSet<Bare>),
    /// Anybody. Their keys are judged all the same.
    Anyone,
    /// These accounts; of everybody else the owner is asked ([`TunnelEvent::Asked`](super::TunnelEvent::Asked)). So everybody
    /// learns that we are here.
    Ask(BTreeSet<Bare>),
}

/// What the policy says of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Welcome {
    Yes,
    No,
    Ask,
}

impl Accept {
    fn welcome(&self, peer: &Address) -> Welcome {
        match self {
            Self::Anyone => Welcome::Yes,
            Self::Only(bare) | Self::Ask(bare) if bare.contains(&peer.to_bare()) => Welcome::Yes,
            Self::Ask(_) => Welcome::Ask,
            Self::NoOne | Self::Only(_) => Welcome::No,
        }
    }
}

/// Limits for the tunnels that peers open for one service: see [`Config::service_limits`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceLimits {
    unfinished: Option<(usize, usize)>,
    tunnels: Option<(usize, usize)>,
}

impl ServiceLimits {
    /// How many may be unfinished at once: in all, and for one bare address. They are counted apart from those of other
    /// services then. What an open is for is known beforehand if its ClientHello travels in it; any other counts among those
    /// of no service. Default: [`Config::half_open`].
    #[must_use]
    pub fn unfinished(mut self, total: usize, per_peer: usize) -> Self {
        self.unfinished = Some((total, per_peer));
        self
    }

    /// How many there may be, unfinished ones among them: in all, and for one bare address. Default: what
    /// [`Config::limit`] says of [`Limit::Tunnels`] and [`Limit::TunnelsPerPeer`], which is as many as there are streams.
    #[must_use]
    pub fn tunnels(mut self, total: usize, per_peer: usize) -> Self {
        self.tunnels = Some((total, per_peer));
        self
    }
}

/// A router's settings.
#[derive(Debug, Clone)]
pub struct Config {
    pub(super) tls: xtls_tls::Config,
    pub(super) trust: Arc<Store>,
    pub(super) policy: Policy,
    accept: Accept,
    pub(super) service: Service,
    pub(super) also: Arc<[Service]>,
    pub(super) session: Arc<xtls_session::Config>,
    pub(super) ibb: xtls_ibb::Config,
    pub(super) close: Duration,
    half_open: usize,
    half_open_per_peer: usize,
    /// `None`: as many as there are streams.
    tunnels: Option<usize>,
    tunnels_per_peer: Option<usize>,
    services: BTreeMap<Service, ServiceLimits>,
    /// Services that are not for everybody whom `accept` lets in.
    callers: BTreeMap<Service, BTreeSet<Bare>>,
    pub(super) queue: usize,
    pub(super) incoming: usize,
    pub(super) carrier: Carrier,
    pub(super) early: bool,
    pub(super) original: bool,
    pub(super) transports: Vec<Binder>,
    pub(super) paths: Option<PathConfig>,
}

/// Makes a transport from our address and a seed.
#[derive(Clone)]
pub(super) struct Binder(Arc<Bind>);

type Bind = dyn Fn(&Address, [u8; 32]) -> Box<dyn Transport> + Send + Sync;

impl Binder {
    pub(super) fn bind(&self, own: &Address, seed: [u8; 32]) -> Box<dyn Transport> {
        (self.0)(own, seed)
    }
}

impl fmt::Debug for Binder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binder")
    }
}

impl Config {
    /// Our own key, and the pins as they are now. Everything else has a default: nobody may open a tunnel to us, keys are
    /// asked about, and stanzas travel inside.
    #[must_use]
    pub fn new(tls: xtls_tls::Config, trust: Arc<Store>) -> Self {
        Self {
            tls,
            trust,
            policy: Policy::Ask,
            accept: Accept::NoOne,
            service: Service::stanzas(),
            also: Arc::new([]),
            session: Arc::default(),
            ibb: xtls_ibb::Config::default().block_size(BlockSize::MAX),
            close: Duration::from_secs(10),
            half_open: 32,
            half_open_per_peer: 2,
            tunnels: None,
            tunnels_per_peer: None,
            services: BTreeMap::new(),
            callers: BTreeMap::new(),
            queue: 64,
            incoming: 32,
            carrier: Carrier::Iq,
            early: true,
            original: false,
            transports: Vec::new(),
            paths: None,
        }
    }

    /// What to do with a key that is not pinned. Default [`Policy::Ask`].
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Who may open a tunnel to us. Default [`Accept::NoOne`].
    #[must_use]
    pub fn accept(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// What travels inside: what our opens are for unless they say otherwise, and what peers may open tunnels to us for.
    /// Default [`Service::stanzas`].
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.service = service;
        self
    }

    /// The services that peers may open tunnels to us for. The first is that of our own opens.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        std::iter::once(&self.service).chain(self.also.iter())
    }

    /// The services that this peer may open tunnels to us for.
    pub(super) fn services_for(&self, peer: &Address) -> impl Iterator<Item = &Service> {
        let bare = peer.to_bare();
        self.services()
            .filter(move |service| self.is_for(service, &bare))
    }

    fn is_for(&self, service: &Service, bare: &Bare) -> bool {
        let callers = self.callers.get(service);
        callers.is_none_or(|callers| callers.contains(bare))
    }

    /// Whether this peer may open a tunnel to us, for whatever it is.
    pub(super) fn welcome(&self, peer: &Address) -> Welcome {
        match self.services_for(peer).next() {
            Some(_) => self.accept.welcome(peer),
            None => Welcome::No,
        }
    }

    /// Whether this peer may open a tunnel to us for this service; one that has a tunnel with us
    /// (`standing`) has been let in already.
    pub(super) fn is_welcome(&self, peer: &Address, service: &Service, standing: bool) -> bool {
        self.is_for(service, &peer.to_bare())
            && (standing || self.accept.welcome(peer) == Welcome::Yes)
    }

    /// Whether a tunnel of which nothing is known may carry bytes.
    pub(super) fn serves_bytes(&self) -> bool {
        self.services().any(|service| service.mode() == Mode::Bytes)
    }

    /// Further services that peers may open tunnels to us for. An initiator names one, and a name that is not among ours
    /// fails in TLS. Default none.
    #[must_use]
    pub fn also_serve(mut self, services: impl IntoIterator<Item = Service>) -> Self {
        self.also = services.into_iter().collect();
        self
    }

    /// Who may open tunnels to us for this service, of those whom [`accept`](Self::accept) lets in. To everybody else it is a
    /// service that we don't serve: TLS finds no application protocol. A peer whom no service is for is answered as by a client
    /// that has never heard of XTLS. Default: all whom `accept` lets in.
    #[must_use]
    pub fn service_callers(
        mut self,
        service: Service,
        callers: impl IntoIterator<Item = Bare>,
    ) -> Self {
        self.callers.insert(service, callers.into_iter().collect());
        self
    }

    /// Limits and deadlines of each session.
    #[must_use]
    pub fn session(mut self, session: xtls_session::Config) -> Self {
        self.session = Arc::new(session);
        self
    }

    /// Block size, window and limits of the In-Band Bytestreams. Default: blocks up to 65 535 bytes are offered and
    /// accepted, and filled as far as the path allows.
    #[must_use]
    pub fn ibb(mut self, ibb: xtls_ibb::Config) -> Self {
        self.ibb = ibb;
        self
    }

    /// How long each step of closing waits for the peer. Default 10 s.
    #[must_use]
    pub fn close(mut self, limit: Duration) -> Self {
        self.close = limit;
        self
    }

    /// How many tunnels that peers have opened may be unfinished at once: in all, and for one bare address. Default 32
    /// and 2.
    #[must_use]
    pub fn half_open(mut self, total: usize, per_peer: usize) -> Self {
        self.half_open = total;
        self.half_open_per_peer = per_peer;
        self
    }

    /// Limits for the tunnels that peers open for one service, in place of those that hold for all. A limit on streams or on
    /// opens a minute is met before the service is known, so there is none of these for one service.
    #[must_use]
    pub fn service_limits(mut self, service: Service, limits: ServiceLimits) -> Self {
        self.services.insert(service, limits);
        self
    }

    /// Whether unfinished tunnels of this service are counted apart from all others.
    pub(super) fn unfinished_apart(&self, service: &Service) -> bool {
        let limits = self.services.get(service);
        limits.is_some_and(|limits| limits.unfinished.is_some())
    }

    /// How many tunnels may be unfinished, in all and for one bare address: of this service, or of all that are not counted
    /// apart.
    pub(super) fn unfinished(&self, apart: Option<&Service>) -> (usize, usize) {
        let limits = apart.and_then(|service| self.services.get(service));
        limits
            .and_then(|limits| limits.unfinished)
            .unwrap_or((self.half_open, self.half_open_per_peer))
    }

    /// How many tunnels of this service peers may have, in all and for one bare address.
    pub(super) fn tunnels(&self, service: &Service) -> (usize, usize) {
        let limits = self.services.get(service);
        if let Some(own) = limits.and_then(|limits| limits.tunnels) {
            return own;
        }
        let most = |limit: Option<usize>| limit.unwrap_or(usize::MAX);
        (most(self.tunnels), most(self.tunnels_per_peer))
    }

    /// How many tunnels that peers have opened may wait for the application. Further opens are
    /// refused before they are accepted, and told to wait. Default 32.
    #[must_use]
    pub fn incoming(mut self, tunnels: usize) -> Self {
        self.incoming = tunnels;
        self
    }

    /// How many tunnels that peers have opened may wait for the application; see [`incoming`](Self::incoming).
    #[must_use]
    pub fn incoming_limit(&self) -> usize {
        self.incoming
    }

    /// Sets the limit of this name, one of the streams' ([`ibb`](Self::ibb)) among them.
    #[must_use]
    pub fn limit(mut self, limit: Limit, most: usize) -> Self {
        match limit {
            Limit::Unfinished => self.half_open = most,
            Limit::UnfinishedPerPeer => self.half_open_per_peer = most,
            Limit::Tunnels => self.tunnels = Some(most),
            Limit::TunnelsPerPeer => self.tunnels_per_peer = Some(most),
            Limit::Incoming => self.incoming = most,
            Limit::OpensPerMinute
            | Limit::OpensPerMinuteKnown
            | Limit::OpensPerMinuteInAll
            | Limit::Streams
            | Limit::StreamsPerPeer
            | Limit::Pending
            | Limit::PendingPerPeer => {
                self.ibb.set_limit(limit, most);
            }
        }
        self
    }

    /// Which stanzas carry the streams that we open. Default [`Carrier::Iq`]. What peers choose is up to
    /// [`xtls_ibb::Config::messages`].
    #[must_use]
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = carrier;
        self
    }

    /// Whether the ClientHello travels in the open and the server's flight in its answer, which saves a round trip
    /// (docs/PROTOCOL.md, early hello). A peer that does not know it notices nothing. Default `true`.
    #[must_use]
    pub fn early(mut self, yes: bool) -> Self {
        self.early = yes;
        self
    }

    /// Whether tunnels are opened by the original flow (`<start/>`, `<proceed/>`, `<data/>`), and such opens of peers are
    /// brought to the policy; those of the letter are as ever. Default `false`: they are answered `not-acceptable`.
    #[must_use]
    pub fn original(mut self, yes: bool) -> Self {
        self.original = yes;
        self
    }

    /// Adds a transport beside In-Band Bytestreams, which are always there. `bind` makes it for each address that the server
    /// binds, from that full address and from a secret seed that is never used twice.
    ///
    /// Stanzas are offered to all transports in the order in which they were added. A tunnel is opened over the one that was
    /// added last and [reaches](Transport::reaches) the peer.
    #[must_use]
    pub fn transport<T: Transport>(
        mut self,
        bind: impl Fn(&Address, [u8; 32]) -> T + Send + Sync + 'static,
    ) -> Self {
        let boxed = move |own: &Address, seed| -> Box<dyn Transport> { Box::new(bind(own, seed)) };
        self.transports.push(Binder(Arc::new(boxed)));
        self
    }

    /// Whether tunnels may move to paths beside the server, and go on when a stream breaks or another address is bound.
    /// Default: they may not.
    #[must_use]
    pub fn paths(mut self, paths: PathConfig) -> Self {
        self.paths = Some(paths);
        self
    }

    /// How many events of one tunnel may wait for the owner before the tunnel stops reading. Default 64; at least 1.
    /// Beside that, it stops when they hold 256 KiB.
    #[must_use]
    pub fn queue(mut self, events: usize) -> Self {
        self.queue = events.max(1);
        self
    }
}
