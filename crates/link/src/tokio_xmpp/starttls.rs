//! STARTTLS (RFC 6120 §5).

use tokio::io::{AsyncRead, AsyncWrite};
use xtls_stanza::Element;

use super::error::ConnectError;
use super::login::LoginStream;

const NS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const DURING: &str = "before encryption";

/// Asks for encryption and gives the connection back at the byte where TLS begins.
///
/// Nothing that came before is believed afterwards, and nothing may have come already: what somebody on the way adds to
/// the server's answer would otherwise be read as if it had been encrypted.
pub(super) async fn negotiate<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    domain: &str,
) -> Result<T, ConnectError> {
    let mut stream = LoginStream::start(io, DURING, None, domain).await?;
    if stream.features().await?.child("starttls", NS).is_none() {
        return Err(ConnectError::NoStartTls {
            domain: domain.to_owned(),
        });
    }
    stream.write(&Element::new("starttls", NS)).await?;
    let answer = stream.next().await?;
    if answer.is("failure", NS) {
        return Err(ConnectError::Tls {
            domain: domain.to_owned(),
            why: "the server offers STARTTLS and then refuses it".to_owned(),
        });
    }
    if !answer.is("proceed", NS) {
        return Err(stream.unexpected(&answer));
    }
    let (io, early) = stream.finish();
    if early.is_empty() {
        Ok(io)
    } else {
        Err(ConnectError::Injected {
            domain: domain.to_owned(),
            bytes: early.len(),
        })
    }
}
