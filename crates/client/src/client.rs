//! A client: tunnels over one link, driven by one task.

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use xtls_keys::Pins;
use xtls_session::Service;
use xtls_stanza::Address;
use xtls_tunnel::router::{Config, OpenError};

use crate::command::Command;
use crate::driver::{Driver, Ends};
use crate::error::ListenError;
use crate::handle::Tunnel;
use crate::incoming::{Incoming, Listener};
use crate::link_state::LinkStates;
use crate::sockets::Sockets;
use crate::uplink::{LinkError, Uplink};

/// The task that [`Client::start`] starts. Its result says how the link ended.
pub type Task = JoinHandle<Result<(), LinkError>>;

/// A connection to your server with the tunnels on it. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    own: Address,
    link_states: LinkStates,
}

impl Client {
    /// Starts the one task that owns link, router and pins. It ends when the link is lost for good, or after
    /// [`stop`](Self::stop); its result says which.
    ///
    /// # Errors
    /// The operating system supplies no random bytes.
    pub fn start<U: Uplink + 'static>(
        uplink: U,
        config: Config,
        pins: Pins,
    ) -> Result<(Self, Incoming, Task), LinkError> {
        let mut seed = [0_u8; 32];
        crate::random(&mut seed)?;
        Ok(Self::seeded(uplink, config, pins, seed))
    }

    /// Like [`start`](Self::start), with sockets that were made before: peers may connect to them, as far as
    /// [`Config::paths`] allows.
    ///
    /// # Errors
    /// The operating system supplies no random bytes.
    pub fn start_with<U: Uplink + 'static>(
        uplink: U,
        config: Config,
        pins: Pins,
        sockets: Sockets,
    ) -> Result<(Self, Incoming, Task), LinkError> {
        let mut seed = [0_u8; 32];
        crate::random(&mut seed)?;
        let (client, incoming, driver) = Self::build(uplink, config, pins, sockets, seed);
        Ok((client, incoming, tokio::spawn(driver.run())))
    }

    /// Like [`start`](Self::start), with the seed of ids and sids given: for tests that repeat. In production, use random
    /// seeds.
    pub fn seeded<U: Uplink + 'static>(
        uplink: U,
        config: Config,
        pins: Pins,
        seed: [u8; 32],
    ) -> (Self, Incoming, Task) {
        let (client, incoming, driver) =
            Self::build(uplink, config, pins, Sockets::default(), seed);
        (client, incoming, tokio::spawn(driver.run()))
    }

    /// The handles, and what is to be run for them.
    pub(crate) fn build<U: Uplink + 'static>(
        uplink: U,
        config: Config,
        pins: Pins,
        sockets: Sockets,
        seed: [u8; 32],
    ) -> (Self, Incoming, Driver<U>) {
        let own = uplink.bound().clone();
        let (driver, ends) = Driver::new(uplink, config, pins, sockets, seed);
        let Ends {
            commands,
            incoming,
            pauses,
            turned_away,
            link_states,
        } = ends;
        let incoming = Incoming::new(incoming, turned_away, pauses);
        let client = Self {
            commands,
            own,
            link_states,
        };
        (client, incoming, driver)
    }

    /// Our own address as the server bound it first.
    #[must_use]
    pub fn own(&self) -> &Address {
        &self.own
    }

    /// How the link to the server is, and will be.
    #[must_use]
    pub fn link_states(&self) -> LinkStates {
        self.link_states.clone()
    }

    /// Opens a tunnel to a full address, for the service that [`Config::service`] names. The handle comes at once;
    /// [`Tunnel::next`] reports what becomes of it. There may be many tunnels of bytes to one address, and one of stanzas. Only
    /// if another one stands in the way of that and is ending, because its handle was closed or dropped, the open waits for
    /// its end.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, a tunnel that was opened meanwhile is closed.
    ///
    /// # Errors
    /// The caller's faults: see [`OpenError`].
    pub async fn open(&self, peer: &Address) -> Result<Tunnel, OpenError> {
        self.request(peer, None).await
    }

    /// Takes the tunnels of one service that peers open, apart from those of others: from now on they come out here, once
    /// both ends have accepted each other, and no longer at [`Incoming`]. Where the policy is to ask, a tunnel with a question
    /// still comes out at `Incoming`, for its owner to answer.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, there is no listener.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn listen(&self, service: Service) -> Result<Listener, ListenError> {
        let (done, tunnels) = oneshot::channel();
        let command = Command::Listen {
            service: service.clone(),
            done,
        };
        if self.commands.send(command).await.is_err() {
            return Err(ListenError::Stopped);
        }
        let tunnels = tunnels.await.unwrap_or(Err(ListenError::Stopped))?;
        Ok(Listener::new(service, self.own.clone(), tunnels))
    }

    /// Like [`open`](Self::open), for another service than [`Config::service`]: one of bytes, say, in a client that
    /// carries stanzas otherwise. The peer must serve the same.
    ///
    /// Cancel-safe, as [`open`](Self::open).
    ///
    /// # Errors
    /// The caller's faults: see [`OpenError`].
    pub async fn open_for(&self, peer: &Address, service: Service) -> Result<Tunnel, OpenError> {
        self.request(peer, Some(service)).await
    }

    async fn request(&self, peer: &Address, service: Option<Service>) -> Result<Tunnel, OpenError> {
        let (done, opened) = oneshot::channel();
        let command = Command::Open {
            peer: peer.clone(),
            service,
            done,
        };
        if self.commands.send(command).await.is_err() {
            return Err(OpenError::Stopped);
        }
        let port = opened.await.unwrap_or(Err(OpenError::Stopped))?;
        Ok(Tunnel::new(port))
    }

    /// Closes every tunnel in order, then the link. Byte tunnels whose writer has not shut down are cut instead, so that
    /// the peer does not take what it has for everything.
    ///
    /// Returns as soon as the task has been asked; await the [`Task`] for the end.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing stops.
    pub async fn stop(&self) {
        // A client that has ended has stopped.
        let _ = self.commands.send(Command::Stop).await;
    }
}
