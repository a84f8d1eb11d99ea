//! What handles say to the driver.

use tokio::sync::oneshot;
use xtls_session::{Compare, Run, Service, Verdict, VerifyError};
use xtls_stanza::verify::Reason;
use xtls_stanza::{Address, Stanza};
use xtls_tls::Fingerprint;
use zeroize::Zeroizing;

use crate::client::{JudgeError, Tunnel};
use xtls_tunnel::router::{OpenError, SendError, Stats, TunnelId};

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
    /// What the person says to one run.
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

/// What a person says to a run of a verification.
pub(crate) enum Answer {
    /// Yes, let us compare.
    Join(Compare),
    /// The words are the same.
    Agree,
    /// It ends for this reason.
    Cancel(Reason),
}

/// What handles tell the driver without waiting for room: at most one a drop, and one for many events taken.
pub(crate) enum Note {
    /// The handle has taken events and has room again.
    Room(TunnelId),
    /// The application asks for more after it was given [`What::PeerFinished`](xtls_tunnel::router::What::PeerFinished).
    Took(TunnelId),
    /// Bytes were written or read, or the last one was written: one until the driver has looked.
    Moved(TunnelId),
    /// Nobody reads this tunnel's events any more.
    Dropped(TunnelId),
}
