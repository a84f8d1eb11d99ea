//! Answers the calls of every service that a client offers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use xtls_session::Peer;

use super::call::Call;
use super::offer::{Failed, Offer, Place, Places};
use crate::client::{Client, Task};
use crate::command::Port;
use crate::driver::Pauses;
use crate::handle::Tunnel;
use crate::uplink::LinkError;

/// What happened to a call.
#[derive(Debug)]
pub struct Report {
    /// Who calls, and which service.
    pub peer: Peer,
    /// What happened.
    pub what: What,
}

/// What happened to a call.
#[derive(Debug)]
#[non_exhaustive]
pub enum What {
    /// It is being answered.
    Begun,
    /// It has ended.
    Ended(Outcome),
}

/// How a call has ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The function that answers it has returned without an error.
    Done,
    /// It has returned an error.
    Failed(Failed),
    /// It has panicked.
    Panicked,
    /// The caller left before there was a place for its call.
    Left,
    /// The service is for callers whose key people have compared, and this one's is not.
    Unverified,
    /// The host has stopped.
    Stopped,
}

/// A client that answers calls: from [`Services::start`](super::Services::start).
///
/// Dropping it cuts every call. The client goes on as long as there are handles to it.
#[derive(Debug)]
pub struct Host {
    client: Client,
    pauses: Arc<Pauses>,
    grace: Duration,
    reports: Reports,
    desks: Vec<Desk>,
    task: Task,
    /// Calls that are being answered, or wait for a place.
    calls: JoinSet<Outcome>,
    callers: BTreeMap<Id, Peer>,
    stopping: CancellationToken,
}

/// Where the calls of one service come in.
#[derive(Debug)]
pub(super) struct Desk {
    offer: Arc<Offer>,
    places: Arc<Places>,
    tunnels: mpsc::Receiver<Port>,
}

impl Desk {
    pub(super) fn new(offer: Offer, tunnels: mpsc::Receiver<Port>) -> Self {
        Self {
            places: Arc::new(offer.places()),
            offer: Arc::new(offer),
            tunnels,
        }
    }
}

#[derive(Debug, Clone)]
struct Reports(Option<mpsc::Sender<Report>>);

impl Reports {
    fn tell(&self, peer: Peer, what: What) {
        if let Some(reports) = &self.0 {
            // What is not taken in time is lost.
            let _ = reports.try_send(Report { peer, what });
        }
    }
}

impl Host {
    pub(super) fn new(
        client: Client,
        pauses: Arc<Pauses>,
        grace: Duration,
        reports: Option<mpsc::Sender<Report>>,
        desks: Vec<Desk>,
        task: Task,
    ) -> Self {
        Self {
            client,
            pauses,
            grace,
            reports: Reports(reports),
            desks,
            task,
            calls: JoinSet::new(),
            callers: BTreeMap::new(),
            stopping: CancellationToken::new(),
        }
    }

    /// Answers calls until `stop` is ready, or the link is lost for good.
    ///
    /// Then it takes no more calls: who calls is told to call later. Each [`Call`] is told by [`Call::stopping`], and has the
    /// [grace](super::Services::grace) to end; what is left is cut. At last the client closes its other tunnels in order, and
    /// its link.
    ///
    /// Not cancel-safe: calls of a future that is dropped are cut.
    ///
    /// # Errors
    /// How the link was lost. Calls that fail are no errors here, but are [reported](super::Services::reports).
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), LinkError> {
        tokio::pin!(stop);
        let ended = loop {
            tokio::select! {
                () = &mut stop => break None,
                ended = &mut self.task => break Some(ended),
                (desk, tunnel) = poll_fn(|cx| poll_desks(&mut self.desks, cx)) => self.take(desk, tunnel),
                Some(ended) = self.calls.join_next_with_id() => self.report(ended),
            }
        };
        self.pauses.all.store(true, Ordering::Release);
        self.stopping.cancel();
        let _ = timeout(self.grace, async {
            while let Some(ended) = self.calls.join_next_with_id().await {
                self.report(ended);
            }
        })
        .await;
        self.calls.abort_all();
        while let Some(ended) = self.calls.join_next_with_id().await {
            self.report(ended);
        }
        // Those that came meanwhile are cut.
        self.desks.clear();
        let ended = match ended {
            Some(ended) => ended,
            None => {
                self.client.stop().await;
                self.task.await
            }
        };
        ended.unwrap_or_else(|error| Err(LinkError::lost(format!("the client's task: {error}"))))
    }

    fn take(&mut self, desk: usize, tunnel: Tunnel) {
        // A listener gives only tunnels whose peer is known.
        let (Some(desk), Some(peer)) = (self.desks.get(desk), tunnel.proven()) else {
            return;
        };
        let answering = Answering {
            offer: Arc::clone(&desk.offer),
            places: Arc::clone(&desk.places),
            reports: self.reports.clone(),
            stopping: self.stopping.clone(),
        };
        let task = self.calls.spawn(answering.run(tunnel, peer.clone()));
        self.callers.insert(task.id(), peer);
    }

    fn report(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => (error.id(), Outcome::Panicked),
            Err(error) => (error.id(), Outcome::Stopped),
        };
        if let Some(peer) = self.callers.remove(&id) {
            self.reports.tell(peer, What::Ended(outcome));
        }
    }
}

/// The next tunnel, and the number of the desk where it came in.
fn poll_desks(desks: &mut [Desk], cx: &mut Context<'_>) -> Poll<(usize, Tunnel)> {
    for (number, desk) in desks.iter_mut().enumerate() {
        // One that has ended has the client's end, which the task tells.
        if let Poll::Ready(Some(port)) = desk.tunnels.poll_recv(cx) {
            return Poll::Ready((number, Tunnel::new(port)));
        }
    }
    Poll::Pending
}

/// What one call needs to be answered.
struct Answering {
    offer: Arc<Offer>,
    places: Arc<Places>,
    reports: Reports,
    stopping: CancellationToken,
}

impl Answering {
    async fn run(self, tunnel: Tunnel, peer: Peer) -> Outcome {
        if !self.offer.trusts(&peer) {
            return Outcome::Unverified;
        }
        // Held to the end.
        let _place = match self.place(&tunnel, &peer).await {
            Ok(place) => place,
            Err(outcome) => return outcome,
        };
        self.reports.tell(peer.clone(), What::Begun);
        let call = Call::until(tunnel, peer, self.stopping);
        match self.offer.answer(call).await {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error),
        }
    }

    async fn place(&self, tunnel: &Tunnel, peer: &Peer) -> Result<Place, Outcome> {
        let bare = peer.address.to_bare();
        tokio::select! {
            biased;
            Some(place) = self.places.enter(&bare) => Ok(place),
            _ = tunnel.closed() => Err(Outcome::Left),
            () = self.stopping.cancelled() => Err(Outcome::Stopped),
        }
    }
}
