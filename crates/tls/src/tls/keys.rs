//! New keys for a connection that goes on.

use super::Tls;

impl Tls {
    /// Renews the keys of both directions (KeyUpdate, RFC 8446 §4.6.3) with the next non-empty write.
    ///
    /// It waits for data on purpose: rustls ends a connection on which more than 32 updates came without data in between.
    /// The peer's keys are renewed when it writes next. Seldom is enough: GnuTLS ends a connection on more than 8 updates
    /// a second, those that it asked for included.
    pub fn refresh_keys(&mut self) {
        self.seal();
        self.rekey = true;
    }

    /// Renews them at once, as a sign of life that is no data: a peer on rustls takes 32 such in a row.
    pub fn show_life(&mut self) {
        self.seal();
        let ready = self.peer.is_some() && !self.closed && self.failure.is_none();
        if let Some(connection) = self.connection.as_mut().filter(|_| ready) {
            // Of a connection that is over it is no news.
            let _ = connection.refresh_traffic_keys();
        }
        self.collect();
    }
}
