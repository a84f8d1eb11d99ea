//! What a ClientHello says before anything is proven.

use rustls::server::Acceptor;

/// The application protocols (ALPN, RFC 7301) that a ClientHello offers, in its order; none if it has no such extension.
///
/// `None`: these bytes do not begin with a whole ClientHello. Nothing is computed and nothing is answered, so this is cheap
/// enough for bytes of strangers. Nothing is authenticated either: whatever follows from an offer has to be harmless if it
/// was forged.
#[must_use]
pub fn offered_protocols(wire: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut acceptor, mut rest) = (Acceptor::default(), wire);
    while !rest.is_empty() {
        acceptor.read_tls(&mut rest).ok()?;
        if let Some(accepted) = acceptor.accept().ok()? {
            let hello = accepted.client_hello();
            let names = hello.alpn().into_iter().flatten();
            return Some(names.map(<[u8]>::to_vec).collect());
        }
    }
    None
}
