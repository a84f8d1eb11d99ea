//! What `axum::serve` wants of a listener, and who calls.

use std::io;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use xtls_session::Peer;
use xtls_stanza::Address;

use crate::incoming::Listener;
use crate::service::Call;

/// Tunnels for `axum::serve` (feature `axum`).
///
/// axum knows no end of a listener: when the client has ended, nothing more comes. Give `with_graceful_shutdown` the client's
/// [`Task`](crate::Task), and the server ends with it.
impl axum::serve::Listener for Listener {
    type Io = Call;
    type Addr = Address;

    async fn accept(&mut self) -> (Call, Address) {
        while let Some(tunnel) = self.next().await {
            // A listener gives only tunnels whose peer is known.
            if let Some(peer) = tunnel.proven() {
                let address = peer.address.clone();
                return (Call::new(tunnel, peer), address);
            }
        }
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.own().clone())
    }
}

/// Who sends a request, proven by its key: for `into_make_service_with_connect_info::<Caller>()`, after which handlers take
/// `ConnectInfo<Caller>` (feature `axum`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(Peer);

impl Caller {
    /// The full address, the key, and what is known of that key.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.0
    }
}

impl Connected<IncomingStream<'_, Listener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(stream.io().peer().clone())
    }
}
