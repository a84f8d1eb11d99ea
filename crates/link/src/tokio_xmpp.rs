//! The connection on tokio-xmpp.

mod align;
mod bridge;
mod connector;
mod dial;
mod error;
mod header;
mod hold;
mod limits;
mod link;
mod link_task;
mod login;
mod options;
mod pending;
mod pipe;
mod sasl;
mod screen;
mod socket;
mod starttls;
mod tls;

#[cfg(test)]
mod tests;

pub use {
    error::ConnectError,
    link::{XmppLink, connect},
    options::{Options, Retry, Security},
};
