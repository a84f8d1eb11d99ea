//! How a socket is let go: with a reset, unless its connection has come to its end.

use tokio::net::TcpStream;

/// From now on the connection is reset when its socket is let go, be it by a task that is aborted or a process that is killed.
pub(super) fn cut_on_drop(socket: &TcpStream) {
    // Only a socket that is no connection any more refuses.
    let _ = socket.set_zero_linger();
}

/// From now on the connection ends when its socket is let go, and the rest of what was written is delivered all the same.
#[allow(
    deprecated,
    reason = "to linger for a time is deprecated, because it blocks; this takes the zero back"
)]
pub(super) fn end_on_drop(socket: &TcpStream) {
    // As above.
    let _ = socket.set_linger(None);
}
