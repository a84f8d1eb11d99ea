//! The connection itself, on tokio.

mod certificate;
#[cfg(feature = "component")]
mod component;
mod connect;
mod dial;
#[cfg(feature = "dns")]
mod dns;
mod link;
mod network;
mod online;
mod options;
mod pace;
#[cfg(any(feature = "component", feature = "serve"))]
mod plain;
mod race;
mod route;
#[cfg(feature = "serve")]
mod serve;
mod socket;
mod step;
mod tls;
mod verify;
mod waiting;
mod writer;
mod x509;

#[cfg(test)]
mod tests;

pub use certificate::CertificateFault;
#[cfg(feature = "component")]
pub use component::{ComponentLink, ComponentOptions};
pub use dial::{Dial, Dialling, Duplex};
pub use link::{Link, connect};
pub use options::Options;
pub use route::Security;
#[cfg(feature = "serve")]
pub use serve::{Accounts, Arrival, Listener, Served};
pub use step::{Encryption, Step};
