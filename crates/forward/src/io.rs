//! The two ends of a tunnel of forwards (feature `tokio`).

mod forward;
mod gather;
mod linger;
mod listen;
mod mux;
mod relay;
mod serve;
mod talk;
mod tunnel;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use forward::{Options, Retry, Rule, forward};
pub use serve::{Serve, serve};

use crate::socks::NotSocks;
use crate::spec::Spec;
use crate::wire::{Place, Refusal, Violation};

/// What is found for a name.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks names up. A name is looked up once for each connection, and nothing else is connected to than what is found here.
pub trait Resolve: Send + Sync {
    /// The addresses of a name.
    fn resolve(&self, name: &str) -> Found;
}

/// As this system does it.
#[derive(Debug, Clone, Copy)]
struct System;

impl Resolve for System {
    fn resolve(&self, name: &str) -> Found {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

fn system() -> Arc<dyn Resolve> {
    Arc::new(System)
}

/// How a connection has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Both sides have ended, and everything was passed on.
    Ended,
    /// The connection on this side broke.
    BrokenHere(String),
    /// The connection on the other side broke. The one on this side was reset.
    BrokenThere,
    /// The tunnel ended under it. The connection on this side was reset.
    Cut,
    /// The peer broke the protocol. The connection on this side was reset.
    Violation(Violation),
}

/// One of the two ends of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// This one.
    Here,
    /// The peer.
    There,
}

/// What happens, for people and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
    /// Connections are taken at this address of this machine.
    Listening {
        /// What for: a forward, or the peer's request.
        what: String,
        /// Where.
        at: SocketAddr,
    },
    /// The peer takes connections for this forward, at this place of its own.
    ListeningThere {
        /// The forward.
        what: Spec,
        /// Where.
        at: Place,
    },
    /// The tunnel stands.
    Up,
    /// The tunnel is gone. Connections through it are cut, new ones wait.
    Down {
        /// Why.
        why: String,
        /// When the next attempt is made.
        again: Duration,
    },
    /// A connection begins.
    Opened {
        /// Where it comes from.
        from: String,
        /// Where it goes to.
        to: Place,
    },
    /// A connection is refused, by this end or the other.
    Refused {
        /// Where it comes from.
        from: String,
        /// Where it would have gone to.
        to: Place,
        /// Why.
        refusal: Refusal,
        /// Which end has refused it.
        by: End,
    },
    /// The peer's request to listen is refused.
    NotListening {
        /// Where it would have been.
        at: Place,
        /// Why.
        refusal: Refusal,
    },
    /// What connected to a dynamic forward does not speak its protocol.
    NotSocks {
        /// Where it comes from.
        from: String,
        /// Why.
        why: NotSocks,
    },
    /// A connection has ended.
    Closed {
        /// Where it came from.
        from: String,
        /// Where it went to.
        to: Place,
        /// Bytes from this side into the tunnel.
        sent: u64,
        /// Bytes from the tunnel to this side.
        received: u64,
        /// How.
        how: How,
    },
}

/// Where reports go. One that is not taken in time is dropped: nothing waits for it.
#[derive(Debug, Clone)]
struct Reports(Option<mpsc::Sender<Report>>);

impl Reports {
    fn tell(&self, report: Report) {
        if let Some(reports) = &self.0 {
            // A full channel loses a report, and a closed one wants none.
            let _ = reports.try_send(report);
        }
    }
}

/// Why forwarding has ended, or never began.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// A port of this machine cannot be listened on.
    #[error("{what}: cannot listen there")]
    Listen {
        /// The forward.
        what: String,
        /// What the system says.
        #[source]
        why: io::Error,
    },
    /// There is no tunnel.
    #[error("there is no tunnel to the peer")]
    Connect(#[source] io::Error),
    /// The tunnel has failed.
    #[error("the tunnel was cut")]
    Tunnel(#[source] io::Error),
    /// The peer has ended the tunnel.
    #[error("the peer has left")]
    Left,
    /// The peer did not greet in time.
    #[error("the peer did not greet within {} s", GREETING.as_secs())]
    Silent,
    /// The peer does not listen for a forward.
    #[error("{what}: {refusal}")]
    Refused {
        /// The forward.
        what: Spec,
        /// The peer's answer.
        refusal: Refusal,
    },
    /// The peer has stopped listening for a forward.
    #[error("{0}: the other end has stopped listening")]
    StoppedListening(Spec),
    /// The peer broke the protocol.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// For the peer's greeting.
const GREETING: Duration = Duration::from_secs(30);

/// For the last frames of a tunnel that is ended in order.
const GOODBYE: Duration = Duration::from_secs(5);
