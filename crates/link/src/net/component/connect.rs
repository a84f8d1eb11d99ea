//! The way of a component to its server, which nothing encrypts.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, timeout};
use xtls_stanza::Address;
use zeroize::Zeroizing;

use crate::component::{Component, ComponentEvent, SendError};
use crate::error::ConnectError;
use crate::net::dial::Dial;
use crate::net::network::{Network as _, System};
use crate::net::plain::{Machine, Plain};
use crate::net::socket::Socket;
use crate::retry::Retry;
use crate::session::normalised;

/// A component's domain, and the way to its server.
#[derive(Clone)]
pub struct ComponentOptions {
    domain: Address,
    secret: Zeroizing<String>,
    server: (String, u16),
    dialer: Option<Arc<dyn Dial>>,
    insecure_network: bool,
    timeout: Duration,
    pub(super) retry: Retry,
}

impl ComponentOptions {
    /// A domain, and the secret that the server has for it.
    #[must_use]
    pub fn new(domain: &Address, secret: Zeroizing<String>) -> Self {
        Self {
            domain: domain.clone(),
            secret,
            server: ("localhost".to_owned(), 5347),
            dialer: None,
            insecure_network: false,
            timeout: TIMEOUT,
            retry: Retry::default(),
        }
    }

    /// Connects to this host and port. Default: port 5347 of this machine. Addresses of other machines are refused, because the
    /// protocol encrypts nothing.
    #[must_use]
    pub fn server(mut self, host: impl Into<String>, port: u16) -> Self {
        self.server = (host.into(), port);
        self
    }

    /// Makes the connections, which have to be safe from others, by an encrypted tunnel or a Unix socket for example. Default:
    /// TCP on this machine.
    #[must_use]
    pub fn dialer(mut self, dialer: Arc<dyn Dial>) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// Connects to other machines as well, where everybody on the way reads and changes what is sent. Only for a network that is
    /// safe by itself. Default: no.
    #[must_use]
    pub fn insecure_network(mut self, allow: bool) -> Self {
        self.insecure_network = allow;
        self
    }

    /// How long one attempt may take. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What to do after a loss.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

impl fmt::Debug for ComponentOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentOptions")
            .field("domain", &self.domain)
            .field("server", &self.server)
            .field("dialer", &self.dialer.is_some())
            .field("insecure_network", &self.insecure_network)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// Everything that an attempt needs, so that the next one is like the first.
pub(super) struct Connector {
    options: ComponentOptions,
    /// Knows what may be sent while there is no connection.
    model: Component,
}

impl Connector {
    pub(super) fn new(mut options: ComponentOptions) -> Result<Self, ConnectError> {
        options.domain =
            normalised(options.domain.as_str()).map_err(|why| ConnectError::Address(why.into()))?;
        let now = Instant::now().into_std();
        let model = Component::new(&options.domain, Zeroizing::default(), now);
        let model = model.map_err(|address| {
            let why =
                format!("{address} is an address in a domain, and a component has a whole domain");
            ConnectError::Address(why.into())
        })?;
        Ok(Self { options, model })
    }

    pub(super) fn domain(&self) -> &Address {
        &self.options.domain
    }

    /// A stanza as it goes to the server.
    pub(super) fn checked(&self, octets: &[u8]) -> Result<Vec<u8>, SendError> {
        self.model.checked(octets)
    }

    pub(super) async fn connect(self: Arc<Self>) -> Result<Plain<Component>, ConnectError> {
        let limit = self.options.timeout;
        let opened = timeout(limit, async {
            let socket = self.reach().await?;
            let secret = self.options.secret.clone();
            let now = Instant::now().into_std();
            let component = Component::new(&self.options.domain, secret, now)
                .map_err(|address| ConnectError::Address(address.to_string().into()))?;
            let mut plain = Plain::new(socket, component);
            loop {
                match poll_fn(|cx| plain.poll_event(cx)).await? {
                    ComponentEvent::Opened => return Ok(plain),
                    ComponentEvent::Stanza(_) | ComponentEvent::Closed => {}
                }
            }
        });
        opened.await.unwrap_or(Err(ConnectError::Timeout { limit }))
    }

    async fn reach(&self) -> Result<Socket, ConnectError> {
        let (host, port) = (&*self.options.server.0, self.options.server.1);
        let server = format!("{host}:{port}");
        let mut failed = ConnectError::Unreachable {
            server: server.clone(),
            why: "it has no address".into(),
        };
        let unreachable = |why| ConnectError::Unreachable {
            server: server.clone(),
            why,
        };
        if let Some(dialer) = &self.options.dialer {
            let dialled = dialer.dial(host, port).await;
            return Ok(Socket::Dialled(
                dialled.map_err(|why| unreachable(why.into()))?,
            ));
        }
        let addresses = System.addresses(host, port).await.map_err(unreachable)?;
        for address in addresses {
            // Also if only some of them are elsewhere: a name may not decide whether others listen.
            if !address.ip().to_canonical().is_loopback() && !self.options.insecure_network {
                let server = address.to_string();
                return Err(ConnectError::Unencrypted { server });
            }
            match System.connect(address).await {
                Ok(socket) => return Ok(socket),
                Err(why) => failed = unreachable(why.into()),
            }
        }
        Err(failed)
    }
}

impl Machine for Component {
    type Event = ComponentEvent;
    type Error = ConnectError;

    fn buffer(&mut self) -> &mut BytesMut {
        Self::buffer(self)
    }

    fn heard(&mut self, now: std::time::Instant) {
        Self::heard(self, now);
    }

    fn poll_event(
        &mut self,
        _: std::time::Instant,
    ) -> Result<Option<ComponentEvent>, ConnectError> {
        Self::poll_event(self)
    }

    fn poll_transmit(&mut self, now: std::time::Instant) -> Option<&[u8]> {
        Self::poll_transmit(self, now)
    }

    /// Only silence ever is due, and a ping that cannot leave is none.
    fn poll_timeout(&self, _: bool) -> Option<std::time::Instant> {
        Self::poll_timeout(self)
    }

    fn handle_timeout(&mut self, now: std::time::Instant) -> Result<(), ConnectError> {
        Self::handle_timeout(self, now)
    }

    fn shrink(&mut self) {
        Self::shrink(self);
    }

    fn close(&mut self, now: std::time::Instant) {
        Self::close(self, now);
    }

    fn is_closed(event: &ComponentEvent) -> bool {
        matches!(event, ComponentEvent::Closed)
    }

    fn broken(why: std::io::Error) -> ConnectError {
        ConnectError::broken_io(DURING, why)
    }
}

/// What cuts a wait. That it cannot be had makes the wait as long as it may be.
pub(super) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(30);

const DURING: &str = "on the stream";
