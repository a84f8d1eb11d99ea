//! The events of one tunnel on their way from the driver to the handle, weighed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;
use xtls_tunnel::router::TunnelEvent;

/// The two ends for one tunnel. The queue has no limit of its own: above [`HEAVY`] the driver has the tunnel stop reading.
pub(crate) fn channel() -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let counts = Arc::<Counts>::default();
    let sender = EventSender {
        events: sender,
        counts: Arc::clone(&counts),
    };
    let receiver = EventReceiver {
        events: receiver,
        counts,
    };
    (sender, receiver)
}

#[derive(Debug, Default)]
struct Counts {
    /// Weight of the events that were sent and not yet taken, in bytes.
    waiting: AtomicUsize,
    /// The application has been given [`TunnelEvent::PeerFinished`].
    peer_finished: AtomicBool,
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct EventSender {
    /// Boxed: a channel holds room for 32 of them, in use or not.
    events: mpsc::UnboundedSender<Box<TunnelEvent>>,
    counts: Arc<Counts>,
}

impl EventSender {
    /// Says whether so much waits now that the tunnel has to stop reading.
    pub(crate) fn send(&self, what: TunnelEvent) -> bool {
        let weight = what.weight();
        let before = self.counts.waiting.fetch_add(weight, Ordering::AcqRel);
        let taken = self.events.send(Box::new(what)).is_ok();
        taken && before.saturating_add(weight) >= HEAVY
    }

    /// Whether the handle has taken enough for the tunnel to read again.
    pub(crate) fn is_light(&self) -> bool {
        self.counts.waiting.load(Ordering::Acquire) <= HEAVY / 2
    }

    /// The application has been given [`TunnelEvent::PeerFinished`].
    pub(crate) fn has_peer_finished(&self) -> bool {
        self.counts.peer_finished.load(Ordering::Acquire)
    }
}

/// The handle's end.
#[derive(Debug)]
pub(crate) struct EventReceiver {
    events: mpsc::UnboundedReceiver<Box<TunnelEvent>>,
    counts: Arc<Counts>,
}

impl EventReceiver {
    /// The next event, and whether the driver waits to hear that there is room again. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<(TunnelEvent, bool)> {
        let what = *self.events.recv().await?;
        let weight = what.weight();
        let before = self.counts.waiting.fetch_sub(weight, Ordering::AcqRel);
        if matches!(what, TunnelEvent::PeerFinished) {
            self.counts.peer_finished.store(true, Ordering::Release);
        }
        let room = before > HEAVY / 2 && before.saturating_sub(weight) <= HEAVY / 2;
        Some((what, room))
    }

    /// The application has been given [`TunnelEvent::PeerFinished`].
    pub(crate) fn has_peer_finished(&self) -> bool {
        self.counts.peer_finished.load(Ordering::Acquire)
    }
}

/// Weight of one tunnel's events that wait for its handle before the tunnel stops reading, in bytes.
const HEAVY: usize = 131_072;
