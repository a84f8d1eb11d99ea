//! What a handle asks of the client's task, and the handle's ends of the channels between the two.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use xtls_session::{Compare, Run, Service, Verdict, VerifyError};
use xtls_stanza::verify::Reason;
use xtls_stanza::{Address, Stanza};
use xtls_tls::Fingerprint;
use xtls_tunnel::router::{OpenError, SendError, Stats, TunnelEvent, TunnelId};
use zeroize::Zeroizing;

use crate::byte_channel::ByteChannel;
use crate::error::{JudgeError, ListenError};
use crate::events::EventReceiver;
use crate::progress::Progress;

/// A request, most of them with a place for the answer.
pub(crate) enum Command {
    Open {
        peer: Address,
        /// The service to open; `None`: the configured one.
        service: Option<Service>,
        done: oneshot::Sender<Result<Port, OpenError>>,
    },
    /// Tunnels of this service come out there.
    Listen {
        service: Service,
        done: oneshot::Sender<Result<mpsc::Receiver<Port>, ListenError>>,
    },
    Send {
        id: TunnelId,
        stanza: Box<Stanza>,
        done: oneshot::Sender<Result<(), SendError>>,
    },
    Judge {
        id: TunnelId,
        key: Fingerprint,
        verdict: Verdict,
        done: oneshot::Sender<Result<(), JudgeError>>,
    },
    Admit(TunnelId, bool),
    Verify {
        id: TunnelId,
        compare: Compare,
        done: oneshot::Sender<Result<Run, VerifyError>>,
    },
    /// A person's answer in one run of a verification.
    Answer {
        id: TunnelId,
        run: Run,
        answer: Answer,
        done: oneshot::Sender<Result<(), VerifyError>>,
    },
    Finish(TunnelId),
    Close(TunnelId),
    Abort(TunnelId),
    Export {
        id: TunnelId,
        label: String,
        context: Vec<u8>,
        out: Zeroizing<Vec<u8>>,
        done: oneshot::Sender<Result<Zeroizing<Vec<u8>>, SendError>>,
    },
    Stats {
        id: TunnelId,
        done: oneshot::Sender<Option<Stats>>,
    },
    Stop,
}

/// What a person answers in a run of a verification.
pub(crate) enum Answer {
    /// Yes, let us compare.
    Join(Compare),
    /// The words are the same.
    Agree,
    /// The run ends for this reason.
    Cancel(Reason),
}

/// What handles signal without waiting for room: at most one for each drop, and one for many events taken.
pub(crate) enum Signal {
    /// The handle has taken events and has room again.
    Room(TunnelId),
    /// The application asks for more after it was given [`TunnelEvent::PeerFinished`].
    Took(TunnelId),
    /// Bytes were written or read, or the last one was written: one until the driver has looked.
    Moved(TunnelId),
    /// The handle is gone.
    Dropped(TunnelId),
}

/// The handle's ends of the channels of one tunnel. Dropping it signals the driver, unless the tunnel has ended.
#[derive(Debug)]
pub(crate) struct Port {
    id: TunnelId,
    peer: Address,
    commands: mpsc::Sender<Command>,
    signals: mpsc::UnboundedSender<Signal>,
    events: EventReceiver,
    progress: Progress,
    bytes: Option<Arc<ByteChannel>>,
    /// The application has asked for more after [`TunnelEvent::PeerFinished`].
    took: bool,
    ended: bool,
}

impl Port {
    pub(crate) fn new(
        id: TunnelId,
        peer: Address,
        commands: mpsc::Sender<Command>,
        signals: mpsc::UnboundedSender<Signal>,
        events: EventReceiver,
        progress: Progress,
        bytes: Option<Arc<ByteChannel>>,
    ) -> Self {
        Self {
            id,
            peer,
            commands,
            signals,
            events,
            progress,
            bytes,
            took: false,
            ended: false,
        }
    }

    pub(crate) fn id(&self) -> TunnelId {
        self.id
    }

    pub(crate) fn peer(&self) -> &Address {
        &self.peer
    }

    pub(crate) fn commands(&self) -> &mpsc::Sender<Command> {
        &self.commands
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The bytes of a byte tunnel, or of one that may turn out to be one.
    pub(crate) fn bytes(&self) -> Option<&Arc<ByteChannel>> {
        self.bytes.as_ref()
    }

    /// The next event; `None` after the last one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<TunnelEvent> {
        if !self.took && self.events.has_peer_finished() {
            self.took = true;
            self.signal(Signal::Took(self.id));
        }
        // Nothing may wait after this, or an event that was taken would be lost with the future.
        let (what, room) = self.events.next().await?;
        if room {
            self.signal(Signal::Room(self.id));
        }
        self.ended |= matches!(what, TunnelEvent::Closed(_));
        Some(what)
    }

    /// Bytes were written or read, or the last one was written.
    pub(crate) fn signal_moved(&self) {
        self.signal(Signal::Moved(self.id));
    }

    fn signal(&self, signal: Signal) {
        // A client that has ended holds nothing back, and has closed everything.
        let _ = self.signals.send(signal);
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::Dropped(self.id));
        }
    }
}
