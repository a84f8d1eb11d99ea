//! Four transports for bytes in order.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;

use bytes::Bytes;
use xtls_client::transport::{Bytestreams, Event, Open, StartFlow, StreamKey, Transport};
use xtls_stanza::ibb::Carrier;
use xtls_stanza::{Address, Envelope};
use xtls_tests::keys::{self, JULIET, ROMEO};

const NAMES: [&str; 2] = [ROMEO, JULIET];

/// A transport between two ends, 0 and 1.
pub(crate) trait Line {
    /// How many bytes an end may write.
    fn room(&self, end: usize) -> usize;
    fn write(&mut self, end: usize, bytes: Bytes);
    fn read(&mut self, end: usize) -> Option<Bytes>;
    /// Moves what is under way; false if nothing is.
    fn step(&mut self) -> bool;
    /// Ends it abruptly.
    fn cut(&mut self);
}

#[derive(Default)]
pub(crate) struct Pipe {
    /// What each end has yet to read.
    bytes: [VecDeque<Bytes>; 2],
}

impl Line for Pipe {
    fn room(&self, _: usize) -> usize {
        1000
    }

    fn write(&mut self, end: usize, bytes: Bytes) {
        self.bytes[1 - end].push_back(bytes);
    }

    fn read(&mut self, end: usize) -> Option<Bytes> {
        self.bytes[end].pop_front()
    }

    fn step(&mut self) -> bool {
        false
    }

    fn cut(&mut self) {
        *self = Self::default();
    }
}

pub(crate) struct Socket {
    ends: [TcpStream; 2],
    /// Bytes on the way to each end.
    under_way: [usize; 2],
}

impl Socket {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (other, _) = listener.accept().unwrap();
        for end in [&one, &other] {
            end.set_nodelay(true).unwrap();
        }
        Self {
            ends: [one, other],
            under_way: [0; 2],
        }
    }
}

impl Line for Socket {
    fn room(&self, end: usize) -> usize {
        // Less than any socket buffer, so that a write never waits for a read of the same thread.
        16_384_usize.saturating_sub(self.under_way[1 - end])
    }

    fn write(&mut self, end: usize, bytes: Bytes) {
        self.ends[end].write_all(&bytes).unwrap();
        self.under_way[1 - end] += bytes.len();
    }

    fn read(&mut self, end: usize) -> Option<Bytes> {
        if self.under_way[end] == 0 {
            return None;
        }
        // It is on its way, so waiting for it ends.
        let mut buffer = vec![0; 4096];
        loop {
            match self.ends[end].read(&mut buffer) {
                Ok(0) => panic!("the socket has ended"),
                Ok(read) => {
                    self.under_way[end] -= read;
                    buffer.truncate(read);
                    return Some(buffer.into());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn step(&mut self) -> bool {
        false
    }

    fn cut(&mut self) {
        self.ends[0].shutdown(Shutdown::Both).unwrap();
        self.under_way = [0; 2];
    }
}

/// Serialised and parsed again, as servers carry it.
fn carried(envelope: &Envelope, from: usize) -> Envelope {
    let mut envelope = envelope.clone();
    envelope.from = Some(keys::address(NAMES[from]));
    let mut xml = Vec::new();
    envelope.write(&mut xml);
    Envelope::read(&xml.into()).unwrap()
}

/// Two ends of a transport that tunnels use, and the stream between them.
pub(crate) struct Carried<T> {
    ends: [T; 2],
    streams: [Option<StreamKey>; 2],
    now: Instant,
}

pub(crate) fn bytestream() -> Carried<Bytestreams> {
    Carried::new(|own, seed| {
        let config = xtls_ibb::Config::default();
        Bytestreams::new(own, config, Carrier::Iq, seed)
    })
}

pub(crate) fn start_flow() -> Carried<StartFlow> {
    Carried::new(StartFlow::new)
}

impl<T: Transport> Carried<T> {
    fn new(make: impl Fn(Address, [u8; 32]) -> T) -> Self {
        let end = |end: usize| {
            let seed = [u8::try_from(end).unwrap(); 32];
            make(keys::address(NAMES[end]), seed)
        };
        let now = Instant::now();
        let mut line = Self {
            ends: [end(0), end(1)],
            streams: [None; 2],
            now,
        };
        let to = keys::address(JULIET);
        let open = Open {
            peer: &to,
            sid: line.ends[0].fresh_sid(&to).unwrap(),
            hello: None,
        };
        line.streams[0] = Some(line.ends[0].open(now, open).unwrap());
        while line.step() {}
        assert!(line.streams[1].is_some());
        line
    }
}

impl<T: Transport> Line for Carried<T> {
    fn room(&self, end: usize) -> usize {
        self.streams[end].map_or(0, |stream| self.ends[end].room(stream))
    }

    fn write(&mut self, end: usize, bytes: Bytes) {
        assert!(bytes.len() <= self.room(end));
        self.ends[end].write(self.now, self.streams[end].unwrap(), bytes);
    }

    fn read(&mut self, end: usize) -> Option<Bytes> {
        self.ends[end].read(self.now, self.streams[end]?, 4096)
    }

    fn step(&mut self) -> bool {
        let mut moved = false;
        for end in [0, 1] {
            while let Some(envelope) = self.ends[end].poll_transmit(self.now) {
                moved = true;
                let envelope = carried(&envelope, end);
                // The `<close/>` of an aborted start flow is for whoever owns both.
                let _ = self.ends[1 - end].handle(self.now, envelope, &|_| false);
            }
            while let Some(event) = self.ends[end].poll_event() {
                moved = true;
                if let Event::Incoming { key, .. } = event {
                    self.ends[end].answer(self.now, key, Ok(None)).unwrap();
                    self.streams[end] = Some(key);
                }
            }
        }
        moved
    }

    fn cut(&mut self) {
        if let Some(stream) = self.streams[0] {
            self.ends[0].abort(self.now, stream);
        }
        while self.step() {}
    }
}
