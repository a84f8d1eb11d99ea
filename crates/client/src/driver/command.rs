//! What handles say to the driver.

use tokio::sync::oneshot;
use xtls_session::{Compare, Service, Verdict, VerifyError};
use xtls_stanza::verify::Reason;
use xtls_stanza::{Address, Stanza};
use zeroize::Zeroizing;

use crate::client::Tunnel;
use crate::pins::PinsError;
use crate::router::{OpenError, SendError, Stats, TunnelId};

/// What handles ask of the driver.
pub(crate) enum Command {
    Open {
        peer: Address,
        /// What it is for, if not for what the configuration says.
        service: Option<Service>,
        done: oneshot::Sender<Result<Tunnel, OpenError>>,
    },
    Send {
        id: TunnelId,
        stanza: Box<Stanza>,
        done: oneshot::Sender<Result<(), SendError>>,
    },
    Judge {
        id: TunnelId,
        verdict: Verdict,
        done: oneshot::Sender<Result<(), PinsError>>,
    },
    Admit(TunnelId, bool),
    Verify {
        id: TunnelId,
        compare: Compare,
        done: oneshot::Sender<Result<(), VerifyError>>,
    },
    /// The words are the same, or the verification ends for this reason.
    Compared(TunnelId, Option<Reason>),
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

/// What handles tell the driver without waiting for room: at most one a drop, and one for many events taken.
pub(crate) enum Note {
    /// The handle has taken events and has room again.
    Room(TunnelId),
    /// Bytes were written or read, or the last one was written: one until the driver has looked.
    Moved(TunnelId),
    /// Nobody reads this tunnel's events any more.
    Dropped(TunnelId),
}
