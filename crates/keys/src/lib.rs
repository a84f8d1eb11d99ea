//! The key of an XMPP account and the pinned keys of its peers, on disk.
//!
//! * [`Home`]: a folder with one folder for each account: `key.pem` and `pins`.
//! * [`Pins`]: the pin store, checked whole when it is read, and changed by adding to it.
//!
//! Files are private as ssh's are, locked against other processes, and the old or the new ones whatever happens while they are
//! written. It knows no network. The rules of trust are [`xtls_tls::trust::Store`]'s.

mod home;
mod pins;
mod private;

pub use home::{Home, HomeError};
pub use pins::{Meeting, Pins, PinsError};
pub use private::{Exposed, LockError};

/// The layers beneath, as this crate was built with them.
pub use {xtls_stanza as stanza, xtls_tls as tls};

/// Seconds since 1970, as pins and certificates count time; a clock before that counts as 0.
#[must_use]
pub fn unix_now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
