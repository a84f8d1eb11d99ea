//! Files and folders over any ordered, reliable and authenticated stream of bytes.
//!
//! One end offers, the other accepts or refuses, asks for the files in the offer from wherever it has not got them yet, and says of
//! each when it is on its disk. The protocol is in docs/PROTOCOL.md ("Files").
//!
//! [`Sender`] and [`Receiver`] are machines without I/O; [`name`] has the rules for names that a peer chose. With the feature `tokio`,
//! `send` and `receive` are the face with a stream and a disk.

#[cfg(all(feature = "tokio", unix))]
mod disk;
#[cfg(all(feature = "tokio", unix))]
mod io;
#[cfg(all(feature = "tokio", unix))]
mod pace;
#[cfg(all(feature = "tokio", unix))]
mod source;

mod content;
mod entry;
mod fault;
mod flight;
pub mod name;
mod rate;
mod reason;
mod receiver;
mod sender;
mod text;
mod turn;
mod wire;

pub use content::{Block, Hash, Hasher, MAX_UNPACKED, PIECE, Packer, Unpacker};
pub use entry::{Date, Entry, Kind, MAX_ENTRIES, MAX_NAMES, Totals};
pub use fault::Fault;
pub use rate::Rate;
pub use reason::{MAX_TEXT, Reason, Told};
pub use receiver::{Receiver, ReceiverEvent};
pub use sender::{NotOffered, Sender, SenderEvent};
pub use turn::{MAX_WANTS, OutOfTurn, Outcome};

#[cfg(all(feature = "tokio", unix))]
pub use {
    disk::settle::Existing,
    io::Ended,
    io::destination::{
        Decision, Destination, MAX_LISTED, Offer, ReceiveError, Received, Receiving,
    },
    io::receive::receive,
    io::send::{SendError, Sending, send},
    source::{LeftOut, SourceError, Sources, WhyNot},
};

/// The name of the service of a tunnel that carries files.
pub const SERVICE: &str = "files";

/// What the signatures of this crate name of others, as it was built with it.
pub use bytes;

#[cfg(feature = "tokio")]
pub use tokio;

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
