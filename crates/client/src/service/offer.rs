//! What a client offers: names, who may call, how often, and what answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use xtls_keys::Pins;
use xtls_session::{Mode, Peer, Service};
use xtls_stanza::Bare;
use xtls_tls::Standing;
use xtls_tls::trust::Level;
use xtls_tunnel::router::{Config, ServiceLimits};

use super::call::Call;
use super::host::{Desk, Host, Report};
use crate::client::Client;
use crate::incoming::Incoming;
use crate::sockets::Sockets;
use crate::uplink::{LinkError, Uplink};

/// Why a service has failed: whatever error the function that answers calls has.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

type Answering = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

/// A service: its name, and what answers calls. Clones offer the same.
#[derive(Clone)]
pub struct Offer {
    service: Service,
    most: (usize, usize),
    callers: Option<BTreeSet<Bare>>,
    verified: bool,
    answer: Arc<dyn Fn(Call) -> Answering + Send + Sync>,
}

impl Offer {
    /// A service of this name. Each call is answered by a call of `answer`, in a task of its own.
    ///
    /// Shut a call down before `answer` returns: what is dropped without that is cut, and the caller is told that something is
    /// missing. An error, or a panic, ends that call and no other.
    pub fn new<A, F, E>(name: &str, answer: A) -> Self
    where
        A: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failed>,
    {
        let answer = move |call| -> Answering {
            let answering = answer(call);
            Box::pin(async { answering.await.map_err(Into::into) })
        };
        Self {
            service: Service::new(name, Mode::Bytes),
            most: (CALLS, CALLS_PER_CALLER),
            callers: None,
            verified: false,
            answer: Arc::new(answer),
        }
    }

    /// How many calls there may be at once: in all, and from one account. A caller beyond that is told which limit it has met,
    /// and when to call again. A call whose function is still busy after its caller has left counts too: the next one waits
    /// for its place. Default 32 and 4; at least 1.
    #[must_use]
    pub fn at_most(mut self, calls: usize, per_caller: usize) -> Self {
        self.most = (calls.max(1), per_caller.max(1));
        self
    }

    /// Who may call, of those whom [`Config::accept`] lets in. For everybody else there is no service of this name. Default:
    /// all whom `accept` lets in.
    #[must_use]
    pub fn only(mut self, callers: impl IntoIterator<Item = Bare>) -> Self {
        self.callers = Some(callers.into_iter().collect());
        self
    }

    /// Only callers whose key people have compared. The call of anybody else is cut before it is answered.
    #[must_use]
    pub fn verified(mut self) -> Self {
        self.verified = true;
        self
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    pub(super) fn answer(&self, call: Call) -> Answering {
        (self.answer)(call)
    }

    /// Whether the key of this caller is known well enough.
    pub(super) fn trusts(&self, peer: &Peer) -> bool {
        !self.verified || matches!(peer.key.standing, Standing::Pinned(Level::Verified(_)))
    }

    pub(super) fn places(&self) -> Places {
        Places::new(self.most)
    }

    fn configure(&self, config: Config) -> Config {
        let (calls, per_caller) = self.most;
        let limits = ServiceLimits::default().tunnels(calls, per_caller);
        let config = config.service_limits(self.service.clone(), limits);
        match &self.callers {
            Some(callers) => config.service_callers(self.service.clone(), callers.iter().cloned()),
            None => config,
        }
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("service", &self.service)
            .field("most", &self.most)
            .field("callers", &self.callers)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}

/// Everything that a client serves.
#[derive(Debug, Clone)]
pub struct Services {
    offers: BTreeMap<Service, Offer>,
    /// Services whose tunnels the application takes itself.
    beside: Vec<Service>,
    grace: Duration,
    reports: Option<mpsc::Sender<Report>>,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            offers: BTreeMap::new(),
            beside: Vec::new(),
            grace: GRACE,
            reports: None,
        }
    }
}

impl Services {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers this one, in place of another one of its name.
    #[must_use]
    pub fn offer(mut self, offer: Offer) -> Self {
        self.offers.insert(offer.service.clone(), offer);
        self
    }

    /// Serves one whose tunnels come out at [`Incoming`], [`Service::stanzas`] say. Of several, the first is what
    /// [`Client::open`] opens.
    #[must_use]
    pub fn beside(mut self, service: Service) -> Self {
        self.beside.push(service);
        self
    }

    /// How long calls may take to end once the host was asked to stop. Then they are cut. Default 10 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Where reports of calls go. What is not taken in time is lost. Default: nowhere.
    #[must_use]
    pub fn reports(mut self, reports: mpsc::Sender<Report>) -> Self {
        self.reports = Some(reports);
        self
    }

    /// As [`Client::start`], for a client that serves this and nothing else, whatever services the configuration has. Who may
    /// call at all is what [`Config::accept`] says, by default nobody.
    ///
    /// Calls are answered by [`Host::run`], and wait until then. [`Incoming`] has the tunnels of the services
    /// [`beside`](Self::beside), questions about keys, and those whom a limit has turned away; who has no use for it drops it.
    ///
    /// # Errors
    /// The operating system supplies no random bytes.
    pub fn start<U: Uplink + 'static>(
        self,
        uplink: U,
        config: Config,
        pins: Pins,
    ) -> Result<(Client, Incoming, Host), LinkError> {
        let mut seed = [0; 32];
        crate::random(&mut seed)?;
        Ok(self.seeded(uplink, config, pins, seed))
    }

    /// Like [`start`](Self::start), with the seed of ids and sids given: for tests that repeat.
    pub fn seeded<U: Uplink + 'static>(
        self,
        uplink: U,
        config: Config,
        pins: Pins,
        seed: [u8; 32],
    ) -> (Client, Incoming, Host) {
        let config = self.configure(config);
        let (client, incoming, mut driver) =
            Client::build(uplink, config, pins, Sockets::default(), seed);
        let pauses = incoming.pauses();
        let desks = self.offers.into_values().filter_map(|offer| {
            // Each is served, and no one else has asked for it yet.
            let tunnels = driver.listen(offer.service.clone()).ok()?;
            Some(Desk::new(offer, tunnels))
        });
        let desks = desks.collect();
        let task = tokio::spawn(driver.run());
        let host = Host::new(
            client.clone(),
            pauses,
            self.grace,
            self.reports,
            desks,
            task,
        );
        (client, incoming, host)
    }

    fn configure(&self, config: Config) -> Config {
        let mut services = self.beside.iter().chain(self.offers.keys()).cloned();
        let config = match services.next() {
            Some(first) => config.service(first),
            None => config,
        };
        let config = config.also_serve(services);
        let offers = self.offers.values();
        offers.fold(config, |config, offer| offer.configure(config))
    }
}

/// The places of one service, each for a call that is being answered.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    per_caller: usize,
    of: Mutex<BTreeMap<Bare, Weak<Semaphore>>>,
}

/// Somebody has it until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    _of: OwnedSemaphorePermit,
}

impl Places {
    fn new((calls, per_caller): (usize, usize)) -> Self {
        Self {
            all: Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS))),
            per_caller: per_caller.min(Semaphore::MAX_PERMITS),
            of: Mutex::default(),
        }
    }

    /// Waits for a place; `None` never comes, as nobody closes it.
    pub(super) async fn enter(&self, bare: &Bare) -> Option<Place> {
        let of = self.of(bare).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Place { _all: all, _of: of })
    }

    fn of(&self, bare: &Bare) -> Arc<Semaphore> {
        // Nothing in here can be left half done.
        let mut callers = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = callers.get(bare).and_then(Weak::upgrade) {
            return places;
        }
        callers.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.per_caller));
        callers.insert(bare.clone(), Arc::downgrade(&places));
        places
    }
}

/// Calls of one service at a time.
const CALLS: usize = 32;

/// Those from one account.
const CALLS_PER_CALLER: usize = 4;

/// For calls to end in, when the host stops.
const GRACE: Duration = Duration::from_secs(10);
