//! From a domain to a TCP connection.

use tokio::net::TcpStream;
use tokio_xmpp::connect::DnsConfig;

use super::error::ConnectError;
use super::options::Security;

/// Where the server is.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) domain: String,
    pub(super) server: Option<(String, u16)>,
    pub(super) security: Security,
}

/// How the connection goes on once it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    StartTls,
    DirectTls,
}

impl Route {
    pub(super) async fn dial(&self) -> Result<(TcpStream, Start), ConnectError> {
        if let Some((host, port)) = &self.server {
            let tcp = TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(|error| ConnectError::Unreachable {
                    server: format!("{host}:{port}"),
                    why: error.to_string(),
                })?;
            return Ok((tcp, start_on(self.security, *port)));
        }
        match self.security {
            Security::StartTls => self.look_up(Start::StartTls).await,
            Security::DirectTls => self.look_up(Start::DirectTls).await,
            Security::Auto => match self.look_up(Start::StartTls).await {
                Ok(found) => Ok(found),
                // Both ways are encrypted and checked alike: going on is no downgrade.
                Err(first) => self.look_up(Start::DirectTls).await.map_err(|_| first),
            },
        }
    }

    /// Looks up the service record (RFC 6120 §3.2, XEP-0368); without one, the domain and the usual port.
    async fn look_up(&self, start: Start) -> Result<(TcpStream, Start), ConnectError> {
        let (records, port) = match start {
            Start::StartTls => (DnsConfig::srv_default_client(&self.domain), 5222),
            Start::DirectTls => (DnsConfig::srv_xmpps(&self.domain), 5223),
        };
        match records.resolve().await {
            Ok(tcp) => return Ok((tcp, start)),
            Err(error) => tracing::debug!(%error, "no connection by the service record"),
        }
        // The system may know names that DNS does not, /etc/hosts and mDNS among them.
        match TcpStream::connect((self.domain.as_str(), port)).await {
            Ok(tcp) => Ok((tcp, start)),
            Err(error) => Err(ConnectError::Unreachable {
                server: self.domain.clone(),
                why: format!(
                    "no service record leads to it, nor does port {port} of that name: {error}"
                ),
            }),
        }
    }
}

fn start_on(security: Security, port: u16) -> Start {
    match (security, port) {
        (Security::DirectTls, _) | (Security::Auto, 5223 | 443) => Start::DirectTls,
        (Security::StartTls | Security::Auto, _) => Start::StartTls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_tells_how_to_start_only_if_nobody_said_it() {
        assert_eq!(start_on(Security::Auto, 5222), Start::StartTls);
        assert_eq!(start_on(Security::Auto, 5223), Start::DirectTls);
        assert_eq!(start_on(Security::Auto, 443), Start::DirectTls);
        assert_eq!(start_on(Security::StartTls, 5223), Start::StartTls);
        assert_eq!(start_on(Security::DirectTls, 5222), Start::DirectTls);
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let route = Route {
            domain: "example.org".to_owned(),
            server: Some(("127.0.0.1".to_owned(), port)),
            security: Security::Auto,
        };
        let error = route.dial().await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Unreachable { server, .. } if *server == format!("127.0.0.1:{port}"))
        );
        assert!(!error.is_final());
    }
}
