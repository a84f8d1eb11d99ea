//! Where clients of this machine connect, on tokio.

mod served;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use tokio::net::TcpListener;
use tokio::time::Instant;
use xtls_stanza::{Address, Condition};

pub use self::served::Served;
use super::dial::Duplex;
use super::plain::{Machine, Plain};
use super::socket::Socket;
use crate::cause::Cause;
use crate::serve::{Login, ServeError, Serving, ServingEvent};

/// Where clients of this machine connect as if it was their server. Nothing is encrypted, so it has an address of the loopback
/// interface, and any user of this machine can connect: what protects an account is its password.
///
/// ```no_run
/// use xtls_link::stanza::{Address, Condition};
/// use xtls_link::{Accounts, Listener, Login};
///
/// struct Romeo;
///
/// impl Accounts for Romeo {
///     async fn let_in(&self, login: &Login) -> bool {
///         login.account().as_str() == "romeo@montague.example" && login.is_password("wherefore")
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let domain = Address::new("montague.example")?;
/// let listener = Listener::bind(([127, 0, 0, 1], 5222).into(), &[domain]).await?;
/// let mut client = listener.accept().await?.log_in(&Romeo).await?;
/// while let Some(stanza) = client.next().await? {
///     println!("{} says {}", client.address(), stanza.escape_ascii());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    domains: Arc<[Address]>,
}

/// Who may log in, which the owner of a [`Listener`] says.
pub trait Accounts: Sync {
    /// Whether a client is let in, which it may ask three times. Compare passwords by [`Login::is_password`], whose time says
    /// nothing.
    fn let_in(&self, login: &Login) -> impl Future<Output = bool> + Send;

    /// The full address that a client gets, which has asked for this one, or had it made up: of the same account. Where another
    /// client has it, it is for you to end that one ([`Served::end`]), to give another address, or to refuse with
    /// [`Condition::Conflict`]. Default: what was asked for.
    fn bind(&self, wanted: Address) -> impl Future<Output = Result<Address, Condition>> + Send {
        async { Ok(wanted) }
    }
}

impl Listener {
    /// Listens at this address, for clients of accounts at these domains. Port 0: one that is free.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing listens.
    ///
    /// # Errors
    /// The address is not one of the loopback interface, or it cannot be had.
    pub async fn bind(address: SocketAddr, domains: &[Address]) -> Result<Self, ServeError> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(ServeError::NotLoopback { address });
        }
        let tcp = TcpListener::bind(address).await.map_err(broken)?;
        let domains = domains.into();
        Ok(Self { tcp, domains })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.tcp.local_addr().map_err(broken)
    }

    /// Waits for the next client.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, no client is lost.
    ///
    /// # Errors
    /// The system has no room for another connection, say. It may be called again.
    pub async fn accept(&self) -> Result<Arrival, ServeError> {
        loop {
            let (tcp, from) = self.tcp.accept().await.map_err(broken)?;
            // Routes and port mappings may lead here from elsewhere.
            if !from.ip().to_canonical().is_loopback() {
                tracing::warn!(%from, "refused a client of another machine");
                continue;
            }
            let socket = Socket::new(tcp).map_err(broken)?;
            return Arrival::new(socket, &self.domains);
        }
    }
}

/// A client that has connected, and not logged in.
pub struct Arrival {
    plain: Plain<Serving>,
}

impl Arrival {
    /// A client that has come by another way than TCP, which has to be safe from others: a Unix socket, for example.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn over(stream: Box<dyn Duplex>, domains: &[Address]) -> Result<Self, ServeError> {
        Self::new(Socket::Dialled(stream), domains)
    }

    fn new(socket: Socket, domains: &[Address]) -> Result<Self, ServeError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|why| ServeError::Broken(Cause::new(why)))?;
        let serving = Serving::new(domains, seed, Instant::now().into_std());
        let plain = Plain::new(socket, serving);
        Ok(Self { plain })
    }

    /// Lets the client log in and have a resource, for which it has 30 s.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the connection is dropped with it.
    ///
    /// # Errors
    /// It did not, and was told why.
    pub async fn log_in(mut self, accounts: &impl Accounts) -> Result<Served, ServeError> {
        let logged_in = log_in(&mut self.plain, accounts).await;
        match logged_in {
            Ok(address) => Ok(Served::new(self.plain, address)),
            Err(why) => {
                self.plain.take_leave().await;
                Err(why)
            }
        }
    }
}

async fn log_in(
    plain: &mut Plain<Serving>,
    accounts: &impl Accounts,
) -> Result<Address, ServeError> {
    loop {
        match poll_fn(|cx| plain.poll_event(cx)).await? {
            ServingEvent::Login(login) => {
                let until = plain.machine().log_in_timeout();
                let accept = in_time(until, accounts.let_in(&login)).await;
                match accept {
                    Some(accept) => plain.machine_mut().log_in(accept)?,
                    None => plain
                        .machine_mut()
                        .handle_timeout(Instant::now().into_std())?,
                }
            }
            ServingEvent::Bind(wanted) => {
                let until = plain.machine().log_in_timeout();
                match in_time(until, accounts.bind(wanted)).await {
                    Some(Ok(address)) => {
                        plain.machine_mut().bind(&address);
                        // What does not leave now goes with the next call.
                        let _ = poll_fn(|cx| Poll::Ready(plain.poll_write(cx))).await;
                        return Ok(address);
                    }
                    Some(Err(condition)) => plain.machine_mut().refuse(condition),
                    None => plain
                        .machine_mut()
                        .handle_timeout(Instant::now().into_std())?,
                }
            }
            ServingEvent::Closed => return Err(ServeError::NotLoggedIn),
            ServingEvent::Stanza(_) => {}
        }
    }
}

/// What the owner says, unless the client's time is over.
async fn in_time<T>(
    until: Option<std::time::Instant>,
    answer: impl Future<Output = T>,
) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(until.into(), answer).await.ok(),
        None => Some(answer.await),
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").finish_non_exhaustive()
    }
}

impl Machine for Serving {
    type Event = ServingEvent;
    type Error = ServeError;

    fn buffer(&mut self) -> &mut BytesMut {
        Self::buffer(self)
    }

    fn heard(&mut self, _: std::time::Instant) {}

    fn poll_event(&mut self, now: std::time::Instant) -> Result<Option<ServingEvent>, ServeError> {
        Self::poll_event(self, now)
    }

    fn poll_transmit(&mut self, now: std::time::Instant) -> Option<&[u8]> {
        Self::poll_transmit(self, now)
    }

    fn poll_timeout(&self, blocked: bool) -> Option<std::time::Instant> {
        match blocked {
            false => Self::poll_timeout(self),
            true => self.log_in_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: std::time::Instant) -> Result<(), ServeError> {
        Self::handle_timeout(self, now)
    }

    fn shrink(&mut self) {
        Self::shrink(self);
    }

    fn close(&mut self, now: std::time::Instant) {
        Self::close(self, now);
    }

    fn is_closed(event: &ServingEvent) -> bool {
        matches!(event, ServingEvent::Closed)
    }

    fn broken(why: io::Error) -> ServeError {
        broken(why)
    }
}

fn broken(why: io::Error) -> ServeError {
    if why.kind() == io::ErrorKind::UnexpectedEof {
        return ServeError::Broken("the client hung up".into());
    }
    ServeError::Broken(Cause::new(why))
}
