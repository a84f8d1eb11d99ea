//! The mux as tokio streams (feature `tokio`).
//!
//! [`endpoint`] puts a [`Mux`] between two channels of stanzas, whatever fills and empties them:
//! an XMPP library, a relay, a test. One small task, [`Driver::run`], moves them; [`Endpoint`]
//! opens streams, [`Listener`] accepts them, and a [`Stream`] is `AsyncRead + AsyncWrite`.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::sync::mpsc;
//! use xtls_ibb::{Allow, Config, Mux, OpenOptions, io};
//! use xtls_stanza::Address;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let romeo = Address::new("romeo@montague.example/orchard")?;
//! let juliet = Address::new("juliet@capulet.example/balcony")?;
//! // In production, the channels lead to your server, and the seeds are random.
//! let (to_juliet, from_romeo) = mpsc::channel(16);
//! let (to_romeo, from_juliet) = mpsc::channel(16);
//! let mux = Mux::new(romeo.clone(), Config::default(), [1; 32]);
//! let (endpoint, _, driver) = io::endpoint(mux, from_juliet, to_juliet);
//! tokio::spawn(driver.run());
//! let mut mux = Mux::new(juliet.clone(), Config::default(), [2; 32]);
//! mux.allow(Allow::Only([romeo.to_bare()].into()));
//! let (_endpoint, mut listener, driver) = io::endpoint(mux, from_romeo, to_romeo);
//! tokio::spawn(driver.run());
//!
//! tokio::spawn(async move {
//!     let mut stream = endpoint.open(&juliet, OpenOptions::default()).await?;
//!     stream.write_all(b"wherefore art thou?").await?;
//!     stream.shutdown().await
//! });
//! let incoming = listener.next().await.ok_or("the driver has ended")?;
//! let mut received = String::new();
//! incoming.accept(None)?.read_to_string(&mut received).await?;
//! assert_eq!(received, "wherefore art thou?");
//! # Ok(())
//! # }
//! ```

mod driver;
mod listener;
mod pause;
mod state;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::sync::mpsc;
use xtls_stanza::{Address, Envelope};

use crate::config::OpenOptions;
use crate::error::WriteError;
use crate::event::Close;
use crate::mux::Mux;

pub use driver::Driver;
pub use listener::{Incoming, Listener};
pub use pause::Pause;
use state::Handle;
pub use stream::Stream;

/// How long one direction of a [`Stream`] may be silent after the other one has ended, where the config sets no value.
pub const HALF_CLOSE: Duration = Duration::from_secs(600);

/// Puts a mux between the stanzas that come in and those that go out.
///
/// Streams close by halves, as sockets do, unless the mux's config sets [`half_close`](crate::Config::half_close) itself:
/// [`HALF_CLOSE`] is how long the direction that is left may be silent.
///
/// Nothing moves before [`Driver::run`] is spawned or awaited. A stanza has left when it is in
/// `outgoing`: the capacity of that channel is the back-pressure of the connection, and should be
/// small. When `incoming` ends, so do all streams.
#[must_use]
pub fn endpoint(
    mut mux: Mux,
    incoming: mpsc::Receiver<Envelope>,
    outgoing: mpsc::Sender<Envelope>,
) -> (Endpoint, Listener, Driver) {
    mux.half_close_by_default(HALF_CLOSE);
    let handle = Handle::new(mux);
    let driver = Driver::new(handle.shared(), incoming, outgoing);
    (
        Endpoint {
            handle: handle.clone(),
        },
        Listener::new(handle),
        driver,
    )
}

/// Opens streams. Clones share one mux.
#[derive(Clone, Debug)]
pub struct Endpoint {
    handle: Handle,
}

impl Endpoint {
    /// Opens a stream to a full address; done when the peer has accepted.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the open is withdrawn.
    ///
    /// # Errors
    ///
    /// What [`Mux::open`] refuses is `InvalidInput`. What the peer or a server refuses, or does not
    /// answer, has the kinds `ConnectionRefused` and `TimedOut`, with a [`Why`](crate::Why) inside.
    pub async fn open(&self, to: &Address, options: OpenOptions) -> std::io::Result<Stream> {
        let id = self.handle.lock().open(to, options)?;
        // From here on dropping the future withdraws the open.
        let mut stream = Stream::new(self.handle.clone(), id);
        self.handle.wake_driver();
        stream.opened().await?;
        Ok(stream)
    }

    /// A handle for the code that watches the connection to the server.
    #[must_use]
    pub fn pause(&self) -> Pause {
        Pause::new(self.handle.shared())
    }

    /// Calls the mux itself, for everything that has no method here.
    pub fn with_mux<T>(&self, call: impl FnOnce(&mut Mux) -> T) -> T {
        let result = call(&mut self.handle.lock().mux);
        self.handle.wake_driver();
        result
    }
}

/// The error for the end of a stream.
fn error_of(close: &Close) -> std::io::Error {
    use std::io::ErrorKind;

    use crate::event::Why;
    let kind = match close.why {
        // That the stream ended in order does not help a caller that had more to write.
        Why::Done => return std::io::Error::new(ErrorKind::BrokenPipe, WriteError::Closed),
        Why::Unfinished { .. } => ErrorKind::BrokenPipe,
        Why::CutShort(_) => ErrorKind::ConnectionReset,
        Why::Unread { .. } | Why::Aborted | Why::LinkLost => ErrorKind::ConnectionAborted,
        Why::Declined | Why::Expired | Why::Refused { .. } => ErrorKind::ConnectionRefused,
        Why::Rejected(_) | Why::Lost(_) => ErrorKind::ConnectionReset,
        Why::Violation(_) => ErrorKind::InvalidData,
        Why::TimedOut(_) => ErrorKind::TimedOut,
    };
    std::io::Error::new(kind, close.why.clone())
}
