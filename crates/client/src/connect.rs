//! Tunnels of bytes, opened until both ends have accepted each other.

use std::io;
use std::time::Duration;

use xtls_session::{Introduction, Service, Verdict, Why as Inner};
use xtls_stanza::Address;
use xtls_tls::TlsError;
use xtls_tunnel::router::{Closed, OpenError, TunnelEvent, Why};

use crate::client::Client;
use crate::service::Call;

/// Opens a tunnel to a full address, and waits until it is there. Nobody is asked about keys.
pub(crate) async fn connect(
    client: &Client,
    peer: &Address,
    service: Service,
) -> Result<Call, ConnectError> {
    let mut tunnel = client.open_for(peer, service).await?;
    while let Some(event) = tunnel.next().await {
        if let TunnelEvent::Judge(peer) = event {
            // It may have ended meanwhile; it is refused either way.
            let _ = tunnel.judge(peer.fingerprint, Verdict::Refuse).await;
            return Err(ConnectError::Unknown(Box::new(peer)));
        } else if let TunnelEvent::Established(peer) = event {
            return Ok(Call::new(tunnel, peer));
        }
    }
    // It has ended, and this says why.
    let peer = tunnel.established().await?;
    Ok(Call::new(tunnel, peer))
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The peer's key is not pinned, and there is nobody to ask about it.
    #[error("the key of {} is not pinned, and nobody is asked about it here", .0.peer)]
    Unknown(Box<Introduction>),
    /// It ended before both ends had accepted each other. The error holds a [`router::Why`](xtls_tunnel::router::Why).
    #[error(transparent)]
    Ended(#[from] io::Error),
}

impl ConnectError {
    /// Why the tunnel ended, if there was one.
    #[must_use]
    pub fn why(&self) -> Option<&Why> {
        match self {
            Self::Ended(error) => error.get_ref()?.downcast_ref(),
            Self::Open(_) | Self::Unknown(_) => None,
        }
    }

    /// Whether calling again later may help: the peer is not there, say, or has no room.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Open(error) => matches!(error, OpenError::Already(_)),
            Self::Unknown(_) => false,
            Self::Ended(_) => self.why().is_some_and(may_pass),
        }
    }

    /// How long the peer asks callers to wait.
    pub(crate) fn wait(&self) -> Duration {
        let busy = self.why().and_then(Why::busy);
        busy.map_or(Duration::ZERO, |busy| Duration::from_secs(busy.wait.into()))
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Ended(error) => error,
            ConnectError::Open(_) | ConnectError::Unknown(_) => Self::other(error),
        }
    }
}

/// Whether a tunnel that was there has ended for a reason that a new one may not meet.
pub(crate) fn is_lost(closed: &Closed) -> bool {
    !closed.clean && may_pass(&closed.why)
}

fn may_pass(why: &Why) -> bool {
    match why {
        // A server answers for an address that is not online as one that knows no XTLS does.
        Why::Unavailable(_)
        | Why::Unreachable(_)
        | Why::NoAnswer
        | Why::Stream(_)
        | Why::HandshakeAborted
        | Why::Superseded
        | Why::Replaced
        | Why::Second
        | Why::Busy(_) => true,
        Why::Session(why) | Why::Cut { session: why, .. } => matches!(
            why,
            Inner::Truncated
                | Inner::Unfinished
                | Inner::Silent
                | Inner::HandshakeTimeout
                | Inner::CloseTimeout
                | Inner::Tls(TlsError::Truncated)
        ),
        // Somebody has decided, or would decide the same again.
        Why::Declined(_)
        | Why::LongFlight { .. }
        | Why::Unasked
        | Why::Impostor
        | Why::Setup(_)
        | _ => false,
    }
}
