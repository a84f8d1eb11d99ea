//! The stream before it carries stanzas: STARTTLS and login, element by element.

use bytes::BytesMut;
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use xtls_framer::{Framer, Limits};
use xtls_stanza::Element;

use super::error::ConnectError;
use super::header::{Header, condition, is_features, is_stream_error};

/// The longest element before login. Nobody is known yet, so little is believed.
const MAX_ELEMENT: usize = 65_536;
const MAX_DEPTH: u32 = 16;

/// An XML stream as the initiating entity sees it, until its first restart.
///
/// Bytes are taken from the network in pieces and from the pieces exactly: what follows the last element that was read
/// is still there to be looked at.
pub(super) struct LoginStream<T> {
    io: T,
    during: &'static str,
    unread: BytesMut,
    framer: Framer,
    header: Header,
}

impl<T: AsyncRead + AsyncWrite + Unpin> LoginStream<T> {
    /// Exchanges stream headers. `during` names the step in errors.
    pub(super) async fn start(
        mut io: T,
        during: &'static str,
        from: Option<&str>,
        to: &str,
    ) -> Result<Self, ConnectError> {
        let broken = |error: std::io::Error| ConnectError::broken(during, &error);
        io.write_all(header(from, to).as_bytes())
            .await
            .map_err(broken)?;
        io.flush().await.map_err(broken)?;
        let mut unread = BytesMut::new();
        loop {
            match Header::find(&unread).map_err(|error| ConnectError::protocol(during, error))? {
                Some((header, taken)) => {
                    drop(unread.split_to(taken));
                    let framer =
                        Framer::new(Limits::default().max_len(MAX_ELEMENT).max_depth(MAX_DEPTH));
                    return Ok(Self {
                        io,
                        during,
                        unread,
                        framer,
                        header,
                    });
                }
                None => read(&mut io, &mut unread, during).await?,
            }
        }
    }

    /// The stream's features, which a server sends first.
    pub(super) async fn features(&mut self) -> Result<Element, ConnectError> {
        let features = self.next().await?;
        if is_features(&features) {
            return Ok(features);
        }
        Err(self.unexpected(&features))
    }

    /// The next element; a stream error is an error.
    pub(super) async fn next(&mut self) -> Result<Element, ConnectError> {
        loop {
            // An element can only end at such a byte, so none of the next one is taken.
            while let Some(end) = memchr(b'>', &self.unread) {
                self.framer.push(&self.unread.split_to(end + 1));
                let frame = self.framer.next().map_err(|error| self.protocol(error))?;
                if let Some(frame) = frame {
                    let element = self
                        .header
                        .read(frame.as_bytes())
                        .map_err(|error| self.protocol(error))?;
                    if is_stream_error(&element) {
                        let (condition, text) = condition(&element);
                        return Err(ConnectError::Stream { condition, text });
                    }
                    return Ok(element);
                }
            }
            if self.unread.len() > MAX_ELEMENT {
                return Err(self.protocol("an element that does not end"));
            }
            read(&mut self.io, &mut self.unread, self.during).await?;
        }
    }

    pub(super) async fn write(&mut self, element: &Element) -> Result<(), ConnectError> {
        let mut xml = Vec::new();
        element.write("jabber:client", &mut xml);
        let during = self.during;
        self.io
            .write_all(&xml)
            .await
            .map_err(|error| ConnectError::broken(during, &error))?;
        self.io
            .flush()
            .await
            .map_err(|error| ConnectError::broken(during, &error))
    }

    /// Ends this stream without a word, as both ends do before they restart it. Also the bytes that came too early.
    pub(super) fn finish(self) -> (T, BytesMut) {
        (self.io, self.unread)
    }

    pub(super) fn unexpected(&self, element: &Element) -> ConnectError {
        self.protocol(format_args!(
            "<{}/> of {:?} was not expected",
            element.name, element.ns
        ))
    }

    fn protocol(&self, why: impl ToString) -> ConnectError {
        ConnectError::protocol(self.during, why)
    }
}

async fn read<T: AsyncRead + Unpin>(
    io: &mut T,
    into: &mut BytesMut,
    during: &'static str,
) -> Result<(), ConnectError> {
    match io.read_buf(into).await {
        Ok(0) => Err(ConnectError::Broken {
            during,
            why: "the server hung up".to_owned(),
        }),
        Ok(_) => Ok(()),
        Err(error) => Err(ConnectError::broken(during, &error)),
    }
}

fn header(from: Option<&str>, to: &str) -> String {
    let from = from
        .map(|from| format!(" from='{}'", escape(from)))
        .unwrap_or_default();
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'{from} to='{}' version='1.0'>",
        escape(to)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_break_out_of_the_header() {
        assert!(header(Some("a'&<@b"), "b").contains(" from='a&apos;&amp;&lt;@b' to='b' "));
    }
}
