//! Cuts a byte stream into whole top-level XMPP stanzas, however the bytes arrive.
//!
//! ```
//! use xtls_framer::{Framer, Limits};
//!
//! let mut framer = Framer::new(Limits::default());
//! let mut stanzas = Vec::new();
//! for piece in ["<message><bo", "dy>O Romeo</body></mess", "age>\n<presence", "/>"] {
//!     framer.push(piece.as_bytes());
//!     while let Some(frame) = framer.next()? {
//!         stanzas.push(frame.as_str().to_owned());
//!     }
//! }
//! framer.finish()?;
//! assert_eq!(stanzas, ["<message><body>O Romeo</body></message>", "<presence/>"]);
//! # Ok::<(), xtls_framer::FrameError>(())
//! ```
//!
//! Push bytes in pieces of any size; [`Frame`]s come out as slices of one buffer, each the whole
//! of one element. There are four interfaces to one scanner:
//!
//! | | for | buffer |
//! | --- | --- | --- |
//! | [`Framer`] | any caller | its own: one copy in, none out |
//! | [`Cutter`] | callers that have the bytes in a `BytesMut` already | the caller's: no copy |
//! | [`frames`] | a blocking `std::io::BufRead` | its own |
//! | `FrameDecoder` | `tokio_util::codec`, with the feature `codec` | tokio's: no copy |
//!
//! # What is refused
//! Between stanzas only space, tab, CR and LF may stand. XML declarations, DTDs, processing
//! instructions and comments are refused everywhere (RFC 6120 §11.1), CDATA sections between
//! stanzas only. A stanza must be UTF-8 and stay within the [`Limits`]. A [`FrameError`] names the
//! problem, its byte offset in the stream, and the rule; it is final.
//!
//! # What is not checked
//! Names, attributes, references, namespaces, and whether end tags match start tags. In a
//! well-formed stream, each frame is exactly one element. In any other, some frame is not
//! well-formed, or there is an error: a strict reader of every frame is a strict reader of the
//! stream.
//!
//! # Dependencies
//! [`bytes`] is part of the public interface and re-exported, and so is `tokio_util` with the feature `codec`.
//!
//! # Cost
//! Linear in the number of bytes, whatever they are and however they are cut. `memchr` finds the markup, and
//! one pass in the widest vectors of the processor both the end of a long text and that it is ASCII; a frame costs one reference
//! count. There is no unsafe code.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod cutter;
mod error;
mod frame;
mod framer;
mod frames;
mod limits;
mod plain;
mod scan;

#[cfg(feature = "codec")]
mod codec;
#[cfg(test)]
mod tests;

pub use bytes;
#[cfg(feature = "codec")]
pub use codec::FrameDecoder;
pub use cutter::{Cutter, is_one};
pub use error::{FrameError, Restricted};
pub use frame::Frame;
pub use framer::Framer;
pub use frames::{Frames, frames};
pub use limits::Limits;
#[cfg(feature = "codec")]
pub use tokio_util;

/// Runs the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
