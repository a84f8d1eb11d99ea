//! A transport as a third party would write it: packets that bypass the server, and arrive in order or not at all.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use xtls_client::transport::*;
use xtls_stanza::Address;

/// Bytes that one end may have sent and the other has not read.
const WINDOW: usize = 8192;

/// The other end, and the name of the stream.
pub(crate) type Name = (Address, Sid);

#[derive(Debug)]
pub(crate) enum Frame {
    Open(Option<Bytes>),
    Answer(Answer),
    /// Bytes, how many of the other end's bytes were read, and whether these are the last.
    Data(Bytes, usize, bool),
    Reset,
}

#[derive(Debug, Default)]
struct Stream {
    room: usize,
    inbox: BytesMut,
    ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Beside {
    streams: BTreeMap<StreamKey, (Name, Stream)>,
    begun: u64,
    events: VecDeque<Event>,
    /// To be carried to the other end, and passed to its `receive` with the sender's address.
    pub(crate) packets: VecDeque<(Name, Frame)>,
}

impl Beside {
    pub(crate) fn receive(&mut self, name: Name, frame: Frame) {
        let mut all = self.streams.iter_mut();
        let found = all.find(|(_, (named, _))| *named == name);
        let event = match (found.map(|(key, (_, own))| (*key, own)), frame) {
            (None, Frame::Open(hello)) => {
                let (from, hello) = (name.0.clone(), Ok(hello));
                let key = self.begin(name);
                Event::Incoming { key, from, hello }
            }
            (Some((key, own)), Frame::Answer(Ok(flight))) => {
                own.room = WINDOW;
                Event::Opened { key, flight }
            }
            (Some((key, own)), Frame::Data(bytes, read, last)) if own.inbox.len() < WINDOW => {
                own.inbox.extend_from_slice(&bytes);
                own.room += read;
                own.ended |= last;
                Event::Ready(key)
            }
            (Some((key, _)), Frame::Answer(Err(error))) => {
                return self.end(key, StreamEnd::Refused(error));
            }
            (Some((key, _)), _) => return self.end(key, StreamEnd::Reset),
            (None, _) => return,
        };
        self.events.push_back(event);
    }

    fn begin(&mut self, name: Name) -> StreamKey {
        self.begun += 1;
        let key = StreamKey(self.begun);
        self.streams.insert(key, (name, Stream::default()));
        key
    }

    fn send(&mut self, key: StreamKey, frame: Frame) -> Option<&mut Stream> {
        let (name, own) = self.streams.get_mut(&key)?;
        self.packets.push_back((name.clone(), frame));
        Some(own)
    }

    fn end(&mut self, key: StreamKey, end: StreamEnd) {
        if self.streams.remove(&key).is_some() {
            self.events.push_back(Event::Closed { key, end });
        }
    }
}

impl Transport for Beside {
    fn open(&mut self, _: Instant, open: Open<'_>) -> Result<StreamKey, OpenError> {
        let key = self.begin((open.peer.clone(), open.sid));
        self.send(key, Frame::Open(open.hello));
        Ok(key)
    }

    fn answer(&mut self, _: Instant, key: StreamKey, answer: Answer) -> Result<(), Gone> {
        let refused = answer.is_err();
        self.send(key, Frame::Answer(answer)).ok_or(Gone)?.room = WINDOW;
        if refused {
            self.end(key, StreamEnd::Declined);
        }
        Ok(())
    }

    fn sid(&self, key: StreamKey) -> Option<&Sid> {
        Some(&self.streams.get(&key)?.0.1)
    }

    fn room(&self, key: StreamKey) -> usize {
        self.streams.get(&key).map_or(0, |(_, own)| own.room)
    }

    fn write(&mut self, _: Instant, key: StreamKey, bytes: Bytes) {
        let taken = bytes.len();
        if let Some(own) = self.send(key, Frame::Data(bytes, 0, false)) {
            own.room -= taken;
        }
    }

    fn read(&mut self, _: Instant, key: StreamKey, max: usize) -> Option<Bytes> {
        let (_, own) = self.streams.get_mut(&key)?;
        let bytes = own.inbox.split_to(own.inbox.len().min(max)).freeze();
        match bytes.len() {
            0 if own.ended => self.end(key, StreamEnd::Done),
            0 => {}
            read => _ = self.send(key, Frame::Data(Bytes::new(), read, false)),
        }
        Some(bytes).filter(|bytes| !bytes.is_empty())
    }

    fn is_flushed(&self, key: StreamKey) -> bool {
        let stream = self.streams.get(&key);
        stream.is_none_or(|(_, own)| own.room == WINDOW)
    }

    fn close(&mut self, _: Instant, key: StreamKey) {
        self.send(key, Frame::Data(Bytes::new(), 0, true));
        self.end(key, StreamEnd::Done);
    }

    fn abort(&mut self, _: Instant, key: StreamKey) {
        self.send(key, Frame::Reset);
        self.end(key, StreamEnd::Aborted);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
