//! Where tunnels that peers open come out: at the listener of their service, or at `Incoming`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use xtls_session::Service;
use xtls_tunnel::router::TunnelId;

use crate::command::Port;
use crate::error::ListenError;

pub(super) struct Reception {
    incoming: mpsc::Sender<Port>,
    /// What the application does not take for now.
    pauses: Arc<Pauses>,
    /// Places in each channel.
    places: usize,
    /// What the configuration serves.
    served: Vec<Service>,
    listeners: BTreeMap<Service, mpsc::Sender<Port>>,
    /// Tunnels whose service is not known yet, while there are listeners.
    unclaimed: BTreeMap<TunnelId, Port>,
}

/// What an application does not take for now.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// Any further tunnel.
    pub(crate) all: AtomicBool,
    /// Tunnels of peers with whom none is established.
    pub(crate) newcomers: AtomicBool,
}

impl Reception {
    /// With room for so many tunnels that the application has not taken yet; and the application's ends.
    pub(super) fn new(
        served: Vec<Service>,
        room: usize,
    ) -> (Self, mpsc::Receiver<Port>, Arc<Pauses>) {
        let places = room.min(MOST_INCOMING).saturating_add(SPARE);
        let (incoming, tunnels) = mpsc::channel(places);
        let pauses = Arc::new(Pauses::default());
        let reception = Self {
            incoming,
            pauses: Arc::clone(&pauses),
            places,
            served,
            listeners: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
        };
        (reception, tunnels, pauses)
    }

    /// How many further tunnels there is room for, whatever their service.
    pub(super) fn room(&mut self) -> usize {
        self.listeners.retain(|_, listener| !listener.is_closed());
        if self.pauses.all.load(Ordering::Acquire) {
            return 0;
        }
        let channels = std::iter::once(&self.incoming).chain(self.listeners.values());
        let open = channels.filter(|channel| !channel.is_closed());
        let free = open.map(mpsc::Sender::capacity).min().unwrap_or(0);
        free.saturating_sub(SPARE.saturating_add(self.unclaimed.len()))
    }

    /// Whether there is room only for peers with whom a tunnel is established.
    pub(super) fn is_closed_to_newcomers(&self) -> bool {
        self.pauses.newcomers.load(Ordering::Acquire)
    }

    /// From now on tunnels of this service come out here.
    pub(super) fn listen(&mut self, service: Service) -> Result<mpsc::Receiver<Port>, ListenError> {
        if !self.served.contains(&service) {
            return Err(ListenError::NotServed(service));
        }
        let listener = self.listeners.get(&service);
        if listener.is_some_and(|listener| !listener.is_closed()) {
            return Err(ListenError::Taken(service));
        }
        let (listener, tunnels) = mpsc::channel(self.places);
        self.listeners.insert(service, listener);
        Ok(tunnels)
    }

    /// A tunnel has come; false if no one takes it. Without listeners it comes out at once.
    pub(super) fn arrive(&mut self, id: TunnelId, port: Port) -> bool {
        if self.listeners.is_empty() {
            return self.incoming.try_send(port).is_ok();
        }
        self.unclaimed.insert(id, port);
        true
    }

    /// Somebody has to answer a question before the service is known; false if no one takes the tunnel.
    pub(super) fn ask(&mut self, id: TunnelId) -> bool {
        match self.unclaimed.remove(&id) {
            Some(port) => self.incoming.try_send(port).is_ok(),
            None => true,
        }
    }

    /// The service is known; false if no one takes the tunnel.
    pub(super) fn claim(&mut self, id: TunnelId, service: &Service) -> bool {
        let Some(port) = self.unclaimed.remove(&id) else {
            return true;
        };
        let listener = self.listeners.get(service);
        let listener = listener.filter(|listener| !listener.is_closed());
        listener.unwrap_or(&self.incoming).try_send(port).is_ok()
    }

    /// The tunnel has ended before its service was known.
    pub(super) fn forget(&mut self, id: TunnelId) {
        self.unclaimed.remove(&id);
    }
}

/// Room beside `Config::incoming`, for tunnels that were to replace another one and come to stand for themselves.
const SPARE: usize = 32;

/// The most that `Config::incoming` may be.
const MOST_INCOMING: usize = 1 << 20;
