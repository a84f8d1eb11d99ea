//! HTTP over tunnels of bytes: axum serves it (feature `axum`), hyper's client asks (feature `hyper`).
//!
//! `examples/service.rs` is a service at an XMPP address, `examples/ask.rs` a client for it.

#[cfg(feature = "hyper")]
mod ask;
#[cfg(feature = "axum")]
mod serve;

#[cfg(feature = "hyper")]
pub use ::{http, hyper_util};
#[cfg(feature = "hyper")]
pub use ask::HttpConnector;
#[cfg(feature = "axum")]
pub use axum;
#[cfg(feature = "axum")]
pub use serve::Caller;
