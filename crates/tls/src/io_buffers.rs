//! Buffers in place of a socket, for rustls.

use std::io;

use bytes::{BufMut as _, BytesMut};

/// A writer that takes all there is at once.
pub(crate) struct Queue<'a>(pub(crate) &'a mut BytesMut);

impl io::Write for Queue<'_> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.put_slice(record);
        Ok(record.len())
    }

    fn write_vectored(&mut self, records: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let len = records.iter().map(|record| record.len()).sum();
        self.0.reserve(len);
        for record in records {
            self.0.put_slice(record);
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that has nothing yet.
pub(crate) struct Waiting;

impl io::Read for Waiting {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
