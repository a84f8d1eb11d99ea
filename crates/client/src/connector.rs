//! Tunnels of bytes as a `tower_service::Service` opens them.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use xtls_session::Service;
use xtls_stanza::Address;

use crate::client::Client;
use crate::connect::{self, ConnectError};
use crate::handle::Tunnel;
use crate::service::Call;

/// Opens tunnels of one service, to whatever address is asked for (feature `tower`). Clones share the client.
///
/// A tunnel is there when both ends have accepted each other, so a peer that cannot be reached, or that is not who it should be, is
/// an error of the connector and not of the first read. That takes one leg more than [`Client::open_for`], whose caller may write
/// at once.
///
/// Nobody is asked about keys: with [`Policy::Ask`](xtls_tls::trust::Policy::Ask), a peer without a pin is
/// refused, and is [`ConnectError::Unknown`]. The connector is always ready; the limits of both ends are errors.
#[derive(Debug, Clone)]
pub struct Connector {
    client: Client,
    service: Service,
}

impl Connector {
    /// A connector for this service.
    #[must_use]
    pub fn new(client: Client, service: Service) -> Self {
        Self { client, service }
    }

    /// Opens a tunnel to a full address.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the tunnel is cut.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, peer: &Address) -> Result<Tunnel, ConnectError> {
        let call = connect::connect(&self.client, peer, self.service.clone()).await;
        call.map(Call::into_tunnel)
    }
}

impl tower_service::Service<Address> for Connector {
    type Response = Tunnel;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Tunnel, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, peer: Address) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&peer).await })
    }
}
