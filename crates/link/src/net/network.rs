//! What the network says, and where it leads.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::socket::Socket;
use crate::cause::Cause;

/// A service record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Srv {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    /// Without the dot at the end.
    pub(super) target: String,
}

/// What is known of a service. That nothing is known is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "dns"),
    allow(dead_code, reason = "only name servers, and tests, know of records")
)]
pub(super) enum SrvAnswer {
    Records(Vec<Srv>),
    /// A target of `.`: the service is decidedly not available here.
    NotOffered,
    /// There is no such record.
    NoRecords,
}

/// Look-ups, and connections to what they find.
pub(super) trait Network: Send + Sync {
    /// The records of `service`, like `_xmpp-client._tcp`, at this domain, which may be Unicode.
    fn srv(
        &self,
        service: &str,
        domain: &str,
    ) -> impl Future<Output = Result<SrvAnswer, Cause>> + Send;

    /// The addresses of a host, at least one.
    fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, Cause>> + Send;

    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Socket>> + Send;
}

/// The system's network, and with the feature `dns` its name servers' records.
#[derive(Debug, Clone, Default)]
pub(super) struct System;

impl Network for System {
    #[cfg(feature = "dns")]
    async fn srv(&self, service: &str, domain: &str) -> Result<SrvAnswer, Cause> {
        super::dns::srv(service, domain).await
    }

    /// Without it no record is known, and the domain itself is what is left.
    #[cfg(not(feature = "dns"))]
    async fn srv(&self, _service: &str, _domain: &str) -> Result<SrvAnswer, Cause> {
        Ok(SrvAnswer::NoRecords)
    }

    /// The system may know names that DNS does not, /etc/hosts and mDNS among them.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Cause> {
        let found: Vec<_> = tokio::net::lookup_host((ascii(host).as_str(), port))
            .await?
            .collect();
        match found.is_empty() {
            true => Err("it has no address".into()),
            false => Ok(found),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        Socket::new(TcpStream::connect(address).await?)
    }
}

/// A host as the DNS writes it, and an address without brackets.
pub(super) fn ascii(host: &str) -> String {
    let host = host.trim_matches(['[', ']']);
    idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned())
}
