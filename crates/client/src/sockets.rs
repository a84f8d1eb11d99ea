//! The sockets of a client, where it was built with any.

#[cfg(feature = "paths")]
mod with;
#[cfg(not(feature = "paths"))]
mod without;

#[cfg(feature = "paths")]
pub use with::{BindError, SocketOptions, Sockets};
#[cfg(not(feature = "paths"))]
pub use without::Sockets;
