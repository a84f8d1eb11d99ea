//! XTLS for applications: end-to-end encrypted conversations over a connection to one's own XMPP server.
//!
//! * [`Router`]: every tunnel of one address, without I/O.
//! * [`Uplink`]: a connection to one's own server; [`relay`] is one in the process, `xmpp` (feature) a real one.
//! * [`Client`], [`Incoming`], [`Tunnel`]: handles on the one task that drives both.
//! * [`plain`]: bytestreams without any of this, for peers that know no XTLS.
//! * [`Home`], [`Pins`]: the account's key and the keys of its peers on disk.

#[macro_use]
mod planted;

mod client;
mod driver;
mod home;
pub mod original;
mod pins;
pub mod plain;
mod private;
pub mod relay;
pub mod router;
pub mod uplink;
#[cfg(feature = "xmpp")]
pub mod xmpp;

/// The layers beneath, as this crate was built with them.
pub use {xtls_ibb as ibb, xtls_session as session, xtls_stanza as stanza, xtls_tls as tls};

pub use client::{Client, Incoming, Sender, Task, Tunnel};
pub use home::{Home, HomeError};
pub use pins::{Pins, PinsError};
pub use private::Exposed;
pub use relay::Relay;
pub use router::{Accept, Config, Router};
pub use uplink::{Inbound, LinkError, Uplink};

/// Fills a buffer with the operating system's random bytes.
///
/// # Errors
/// [`LinkError::Lost`] when there are none to be had.
pub fn random(buffer: &mut [u8]) -> Result<(), LinkError> {
    getrandom::fill(buffer).map_err(|error| LinkError::Lost(format!("no random bytes: {error}")))
}

/// Seconds since 1970, as pins and certificates count time; a clock before that counts as 0.
#[must_use]
pub fn unix_now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
