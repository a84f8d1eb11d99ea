//! The driver's side of each tunnel.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot};
use xtls_stanza::{Address, Stanza};

use super::{Driver, TunnelId, Uplink};
use crate::client::Tunnel;
use crate::pipe::Pipe;
use xtls_tunnel::router::{SendError, What};

/// The driver's side of one tunnel.
pub(super) struct Handle {
    pub(super) peer: Address,
    pub(super) events: mpsc::UnboundedSender<What>,
    /// What events weigh that were sent and not yet taken, in bytes.
    pub(super) backlog: Arc<AtomicUsize>,
    /// The application has been given [`What::PeerFinished`].
    pub(super) heard_out: Arc<AtomicBool>,
    /// Stanzas whose senders wait for room, oldest first: one for each waiting call.
    pub(super) waiting: VecDeque<(Stanza, oneshot::Sender<Result<(), SendError>>)>,
    /// Stanzas may be sent.
    pub(super) open: bool,
    /// The owner has said everything; our direction ends when that has been sent.
    pub(super) finishing: bool,
    /// What a byte tunnel carries; a responder's that may become one has it too, until it is known.
    pub(super) pipe: Option<Arc<Pipe>>,
    /// Written, taken from there, and not yet taken by the session.
    pub(super) rest: BytesMut,
}

impl Handle {
    /// The owner has said its last word.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
        if let Some(pipe) = &self.pipe {
            pipe.finish();
        }
    }
}

/// The handles by tunnel.
#[derive(Default)]
pub(crate) struct Handles(pub(super) BTreeMap<TunnelId, Handle>);

impl<U: Uplink> Driver<U> {
    pub(super) fn handle(&mut self, id: TunnelId, peer: Address) -> Option<Tunnel> {
        let commands = self.shared.upgrade()?;
        let (events, receiver) = mpsc::unbounded_channel();
        let pipe = self.router.may_carry_bytes(id).then(Arc::default);
        let backlog = Arc::new(AtomicUsize::new(0));
        let heard_out = Arc::new(AtomicBool::new(false));
        let handle = Handle {
            peer: peer.clone(),
            events,
            backlog: Arc::clone(&backlog),
            heard_out: Arc::clone(&heard_out),
            waiting: VecDeque::new(),
            open: false,
            finishing: false,
            pipe: pipe.clone(),
            rest: BytesMut::new(),
        };
        self.handles.0.insert(id, handle);
        let notes = self.notes_end.clone();
        Some(Tunnel::new(
            id, peer, receiver, backlog, heard_out, notes, commands, pipe,
        ))
    }
}
