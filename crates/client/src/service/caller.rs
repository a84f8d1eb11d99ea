//! Calls a service: once, until somebody answers, or again whenever the call is lost.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use xtls_session::{Mode, Service};
use xtls_stanza::Address;

use super::call::Call;
use crate::client::Client;
use crate::connect::{self, ConnectError};

/// How a call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Before the first repetition. Each later one waits twice as long.
    pub first: Duration,
    /// Between two calls at most, unless the peer asks for more.
    pub longest: Duration,
    /// After so long without a call it is given up.
    pub give_up: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: FIRST,
            longest: LONGEST,
            give_up: GIVE_UP,
        }
    }
}

/// Calls one service of one peer. Clones share the client.
///
/// Nobody is asked about keys: with [`Policy::Ask`](xtls_tls::trust::Policy::Ask), a peer without a pin is refused, and is
/// [`ConnectError::Unknown`].
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    peer: Address,
    service: Service,
    retry: Retry,
}

impl Caller {
    /// Calls the service of this name at a full address.
    #[must_use]
    pub fn new(client: &Client, peer: &Address, name: &str) -> Self {
        Self {
            client: client.clone(),
            peer: peer.clone(),
            service: Service::new(name, Mode::Bytes),
            retry: Retry::default(),
        }
    }

    /// How [`reach`](Self::reach) and [`keep`](Self::keep) repeat a call. Default: after 1 s, twice as long each time, every
    /// 30 s at last; given up after 5 minutes.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Calls once. The call is there when both ends have accepted each other.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the call is cut.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn call(&self) -> Result<Call, ConnectError> {
        connect::connect(&self.client, &self.peer, self.service.clone()).await
    }

    /// Calls until there is an answer, as long as calling again may help: while the peer is not there, or has no room.
    ///
    /// Cancel-safe, as [`call`](Self::call).
    ///
    /// # Errors
    /// Calling again would not help, or has not helped for too long. See [`ConnectError`].
    pub async fn reach(&self) -> Result<Call, ConnectError> {
        self.reach_at(&mut Pace::new(self.retry)).await
    }

    /// Calls until there is an answer, gives the call to `job`, and calls again whenever the call is lost before `job` is done:
    /// because a connection was, or the peer was started anew. Each time `job` begins anew, and picks up what is left itself.
    ///
    /// `job` has to drop its call when it fails. An error of a call that was not lost is `job`'s own, and the end.
    ///
    /// Cancel-safe as far as `job` is: if the future is dropped before it is ready, the call is cut.
    ///
    /// # Errors
    /// The error of `job`, or that of a call that could not be made.
    pub async fn keep<J, F, T, E>(&self, mut job: J) -> Result<T, E>
    where
        J: FnMut(Call) -> F,
        F: Future<Output = Result<T, E>>,
        E: From<ConnectError>,
    {
        let mut pace = Pace::new(self.retry);
        loop {
            let call = self.reach_at(&mut pace).await?;
            let (sender, stood) = (call.tunnel().sender(), Instant::now());
            let error = match job(call).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let closed = timeout(ENDING, sender.closed()).await;
            let lost =
                closed.is_ok_and(|closed| closed.is_ok_and(|closed| connect::is_lost(&closed)));
            if stood.elapsed() >= self.retry.longest {
                pace = Pace::new(self.retry);
            }
            if !lost || !pace.wait(Duration::ZERO).await {
                return Err(error);
            }
        }
    }

    async fn reach_at(&self, pace: &mut Pace) -> Result<Call, ConnectError> {
        loop {
            let error = match self.call().await {
                Ok(call) => return Ok(call),
                Err(error) => error,
            };
            if !error.may_pass() || !pace.wait(error.wait()).await {
                return Err(error);
            }
        }
    }
}

/// When to call again.
struct Pace {
    retry: Retry,
    next: Duration,
    since: Instant,
}

impl Pace {
    fn new(retry: Retry) -> Self {
        Self {
            retry,
            next: retry.first,
            since: Instant::now(),
        }
    }

    /// Waits for its time, and at least so long; false at once if that would be too late.
    async fn wait(&mut self, least: Duration) -> bool {
        let wait = self.next.max(least);
        let waited = self.since.elapsed();
        if waited.saturating_add(wait) > self.retry.give_up {
            return false;
        }
        sleep(wait).await;
        self.next = self.next.saturating_mul(2).min(self.retry.longest);
        true
    }
}

/// How long the reason for an end may take to come after the end.
const ENDING: Duration = Duration::from_secs(12);

/// Before a call is repeated for the first time.
const FIRST: Duration = Duration::from_secs(1);

/// Between two calls.
const LONGEST: Duration = Duration::from_secs(30);

/// Without a call.
const GIVE_UP: Duration = Duration::from_secs(300);
