//! What leaves at once, and in records of which size.
//!
//! Prosody reads 4,096 bytes of a client at a time (`network_default_read_size`). When a read ends within a TLS record, it
//! takes the connection out of its loop until its timers run: a millisecond, or much longer while other connections are busy.
//! The rest is then out of step for as long as more is there, at every read: a tenth of the speed. So records to it hold
//! [`SMALL`] bytes, of which whole numbers make a read, and as long as much is sent, all that leaves is filled up to a
//! multiple of that, a request for an acknowledgement in front of a chunk as well. White space between stanzas means nothing
//! (RFC 6120 §4.6.1). Other servers read whole records, and small ones cost them a third of their speed.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::AsyncWrite;
use tokio_rustls::client::TlsStream;

use super::pace::Pace;

/// How what is sent becomes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// Small ones, filled up while much is sent.
    Filled,
    /// Small ones as they come.
    Small,
    /// As large as TLS has them.
    Large,
}

/// The writing side of an encrypted connection. Size and filling may change between batches.
#[derive(Debug)]
pub(super) struct Writer {
    records: Records,
    pace: Pace,
    /// TLS holds something that has not left.
    unflushed: bool,
}

impl Writer {
    pub(super) fn new(records: Records) -> Self {
        Self {
            records,
            pace: Pace::default(),
            unflushed: false,
        }
    }

    pub(super) fn set_records(&mut self, records: Records) {
        self.records = records;
    }

    /// How many spaces follow `len` bytes that leave at once.
    fn fill(&mut self, now: Instant, len: usize) -> usize {
        if self.records != Records::Filled {
            return 0;
        }
        match self.pace.fills(now, len) {
            true => len.next_multiple_of(SMALL) - len,
            false => 0,
        }
    }

    /// Encrypts a batch of whole elements, for which all that went before has to have left. It is taken whole.
    ///
    /// # Errors
    /// TLS takes nothing more.
    pub(super) fn start<T>(
        &mut self,
        now: Instant,
        batch: &[u8],
        tls: &mut TlsStream<T>,
    ) -> io::Result<()> {
        let fill = self.fill(now, batch.len());
        let record = match self.records {
            Records::Filled | Records::Small => SMALL,
            Records::Large => LARGE,
        };
        let session = tls.get_mut().1;
        // Each write to the session is a record of its own.
        let mut rest = batch;
        while let Some((piece, after)) = rest.split_at_checked(record) {
            session.writer().write_all(piece)?;
            rest = after;
        }
        let mut last = [b' '; LARGE];
        if let Some(beginning) = last.get_mut(..rest.len()) {
            beginning.copy_from_slice(rest);
        }
        let last = last.get(..rest.len() + fill).unwrap_or_default();
        if !last.is_empty() {
            session.writer().write_all(last)?;
        }
        self.unflushed = true;
        Ok(())
    }

    /// Whether all that was given has left for the socket.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed
    }

    /// Until all that was given has left for the socket.
    pub(super) fn poll_flush<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        tls: &mut TlsStream<T>,
    ) -> Poll<io::Result<()>>
    where
        TlsStream<T>: AsyncWrite,
    {
        if self.unflushed {
            ready!(Pin::new(tls).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Plaintext bytes in a small record; 8,192 is a multiple of it.
const SMALL: usize = 1_024;

/// Plaintext bytes in a large record: all that TLS allows.
const LARGE: usize = 16_384;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    #[test]
    fn small_talk_is_sent_as_it_is() {
        let (mut writer, now) = (Writer::new(Records::Filled), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(writer.fill(now, 26), 0);
        }
    }

    #[test]
    fn large_batches_are_whole_records_and_once_much_is_sent_everything_is() {
        let (mut writer, now) = (Writer::new(Records::Filled), Instant::now());
        for _ in 0..12 {
            assert_eq!((5690 + writer.fill(now, 5690)) % SMALL, 0);
        }
        for len in [26, 9000, 5690, 1024, 8192, 1] {
            let filled = len + writer.fill(now, len);
            assert!(filled % SMALL == 0 && filled < len + SMALL, "{len}");
        }
    }

    #[test]
    fn a_server_that_reads_whole_records_gets_no_white_space() {
        for records in [Records::Small, Records::Large] {
            let (mut writer, now) = (Writer::new(records), Instant::now());
            for len in [9000, 26, 5690] {
                assert_eq!(writer.fill(now, len), 0);
            }
        }
    }
}
