//! What hyper-util's client wants of a connection, and of what makes one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use xtls_session::Service;
use xtls_stanza::Address;

use crate::client::Client;
use crate::connect::ConnectError;
use crate::connector::Connector;
use crate::handle::Tunnel;

/// Connections to one full address, for `hyper_util::client::legacy::Client` and whatever else takes a
/// `tower_service::Service<Uri>` (feature `hyper`).
///
/// All requests go to that address. The authority of their URIs is for the service (it becomes `Host`), and for hyper's pool: every
/// connection of the pool is a tunnel of its own. The extensions of each response hold the
/// [`Peer`](xtls_session::Peer) that has answered. For errors and keys that are not pinned see [`Connector`].
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Empty;
/// use hyper_util::client::legacy::Client as HttpClient;
/// use hyper_util::rt::TokioExecutor;
/// use xtls_client::http::HttpConnector;
/// use xtls_client::session::{Mode, Service};
/// use xtls_client::stanza::Address;
/// use xtls_client::Client;
///
/// fn http(client: Client, peer: Address) -> HttpClient<HttpConnector, Empty<Bytes>> {
///     let connector = HttpConnector::new(client, Service::new("http", Mode::Bytes), peer);
///     HttpClient::builder(TokioExecutor::new()).build(connector)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct HttpConnector {
    connector: Connector,
    peer: Address,
}

impl HttpConnector {
    /// A connector to this address, for this service.
    #[must_use]
    pub fn new(client: Client, service: Service, peer: Address) -> Self {
        let connector = Connector::new(client, service);
        Self { connector, peer }
    }
}

impl tower_service::Service<Uri> for HttpConnector {
    type Response = TokioIo<Tunnel>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Tunnel>, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { connector, peer } = self.clone();
        Box::pin(async move { connector.connect(&peer).await.map(TokioIo::new) })
    }
}

/// The extensions of each response hold the [`Peer`](xtls_session::Peer), once it is known (feature `hyper`).
impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        match self.proven() {
            Some(peer) => Connected::new().extra(peer),
            None => Connected::new(),
        }
    }
}
