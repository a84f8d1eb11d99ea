use std::io;

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::cutter::Cutter;
use crate::frame::Frame;
use crate::limits::Limits;

/// A [`Decoder`] for `tokio_util::codec::FramedRead`: stanzas are cut out of its own buffer,
/// without a copy.
///
/// An error is an [`io::Error`] that holds a [`FrameError`](crate::FrameError): of kind
/// `UnexpectedEof` if the stream ended inside a stanza, else `InvalidData`.
///
/// ```
/// use tokio_util::codec::FramedRead;
/// use xtls_framer::{FrameDecoder, Limits};
///
/// # fn read<S>(socket: S) {
/// let stanzas = FramedRead::new(socket, FrameDecoder::new(Limits::default()));
/// # }
/// ```
#[derive(Debug)]
pub struct FrameDecoder(Cutter);

impl FrameDecoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self(Cutter::new(limits))
    }
}

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
        Ok(self.0.cut(buffer)?)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
        let frame = self.decode(buffer)?;
        if frame.is_none() {
            self.0.finish(buffer)?;
        }
        Ok(frame)
    }
}
