//! Two byte streams over one tunnel.
//!
//! [`Pipe`] is the protocol without I/O: what one end reads goes out in frames, and what comes in frames goes to its writer. The
//! end of the input travels as a frame, so that one direction can end before the other and an end is told from a cut; and each
//! side says how many bytes its application has taken, so that the other one knows, and does not hope, that nothing is lost.
//!
//! [`run`] (feature `tokio`, on by default) does that between any `AsyncRead + AsyncWrite`, a reader and a writer. The stream below
//! must be ordered, reliable and authenticated, as a tunnel of bytes is: there is no encryption here.

mod error;
mod frame;
#[cfg(feature = "tokio")]
mod io;
mod pipe;

pub use error::{Broken, Fault, Missing, PipeError, Side};
pub use frame::{Exit, Stop};
#[cfg(feature = "tokio")]
pub use io::{Exiting, Options, run};
pub use pipe::{Event, NotOpen, Outcome, Pipe, Settings, Traffic};

#[cfg(feature = "tokio")]
pub use tokio;

/// The name of the service of a tunnel that carries a pipe.
pub const SERVICE: &str = "pipe";

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
