//! The contenders: our stack, and tokio-rustls.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use xtls_ibb::{Allow, Event as Stream, Mux, OpenOptions, StreamId};
use xtls_session::{Config, Event, Mode, Session};
use xtls_stanza::ibb::BlockSize;
use xtls_stanza::{Address, Content, Envelope, Payload, Stanza, base64};
use xtls_tls::{Role, Tls};

use crate::keys::{JULIET, ROMEO, address, context};

/// Bytes that are transferred in one turn.
pub(crate) const TURN: usize = 1 << 20;
/// Bytes per write.
pub(crate) const WRITE: usize = 16_384;

/// Two sessions on a bytestream, whose stanzas are serialised and parsed again.
pub(crate) struct Stack {
    sessions: [Session; 2],
    muxes: [Mux; 2],
    streams: [Option<StreamId>; 2],
    names: [Address; 2],
    stanzas: usize,
    addresses: [xtls_stanza::AddressCache; 2],
}

impl Stack {
    pub(crate) fn connected(mode: Mode, block: u16) -> Self {
        let begun = Instant::now();
        let session = |role| {
            let (binding, tls, expect) = context(role, mode);
            let tls = Tls::new(role, &tls, expect).expect("TLS");
            Session::new(binding, tls, Config::default(), begun)
        };
        let block = BlockSize::new(block).expect("a block");
        let mux = |own: &str, seed| {
            let config = xtls_ibb::Config::default()
                .block_size(block)
                .max_block(block);
            let mut mux = Mux::new(address(own), config, [seed; 32]);
            mux.allow(Allow::Anyone);
            mux
        };
        let mut stack = Self {
            sessions: [session(Role::Client), session(Role::Server)],
            muxes: [mux(ROMEO, 1), mux(JULIET, 2)],
            streams: [None; 2],
            names: [address(ROMEO), address(JULIET)],
            stanzas: 0,
            addresses: Default::default(),
        };
        let stream = stack.muxes[0].open(begun, &address(JULIET), OpenOptions::default());
        stack.streams[0] = Some(stream.expect("a stream"));
        stack.run();
        stack
    }

    /// Runs until nothing moves; returns how many plaintext bytes came out at the second end.
    fn run(&mut self) -> usize {
        let mut out = 0;
        loop {
            let mut moved = false;
            for end in [0, 1] {
                let now = Instant::now();
                if let Some(stream) = self.streams[end] {
                    while let room @ 1.. = self.muxes[end].room(stream)
                        && let Some(wire) = self.sessions[end].poll_wire(room)
                    {
                        moved = true;
                        self.muxes[end]
                            .stream(now, stream)
                            .write(wire)
                            .expect("room");
                    }
                }
                while let Some(mut envelope) = self.muxes[end].poll_transmit(now) {
                    moved = true;
                    // What a server adds to stanzas, and what it passes on.
                    envelope.from = Some(self.names[end].clone());
                    let mut text = Vec::with_capacity(room_for(&envelope));
                    envelope.write(&mut text);
                    let carried =
                        Envelope::read_cached(&Bytes::from(text), &mut self.addresses[end])
                            .expect("a stanza");
                    self.muxes[1 - end].handle(now, carried);
                }
                while let Some(event) = self.muxes[end].poll_event() {
                    moved = true;
                    match event {
                        Stream::Incoming { id, .. } => {
                            self.muxes[end]
                                .stream(now, id)
                                .accept(None)
                                .expect("an open");
                            self.streams[end] = Some(id);
                        }
                        Stream::Closed { close, .. } => panic!("{close}"),
                        _ => {}
                    }
                }
                if let Some(stream) = self.streams[end] {
                    while self.sessions[end].wants_wire()
                        && let Some(wire) = self.muxes[end].stream(now, stream).read(WRITE)
                    {
                        moved = true;
                        self.sessions[end].handle_wire(now, &wire);
                    }
                }
                while let Some(event) = self.sessions[end].poll_event() {
                    moved = true;
                    match event {
                        Event::Stanza(stanza) => {
                            self.stanzas += 1;
                            out += stanza.children.len();
                        }
                        Event::Closed(close) => panic!("{:?}", close.why),
                        _ => {}
                    }
                }
                while let Some(plain) = self.sessions[end].read(WRITE) {
                    moved = true;
                    out += plain.len();
                }
            }
            if !moved {
                return out;
            }
        }
    }

    pub(crate) fn carry_bytes(&mut self, block: &[u8]) -> usize {
        let mut out = 0;
        for _ in 0..TURN / WRITE {
            let mut rest = block;
            while !rest.is_empty() {
                match self.sessions[0].write(rest) {
                    Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
                    Err(xtls_session::SendError::Full) => out += self.run(),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        out += self.run();
        assert_eq!(out, TURN);
        out
    }

    pub(crate) fn carry_stanzas(&mut self, stanza: &Stanza, count: usize) -> usize {
        let before = self.stanzas;
        let mut out = 0;
        for _ in 0..count {
            while let Err(error) = self.sessions[0].send(stanza) {
                assert_eq!(error, xtls_session::SendError::Full);
                out += self.run();
            }
        }
        out += self.run();
        assert_eq!(self.stanzas - before, count);
        out
    }
}

/// Enough for the stanza as text.
fn room_for(envelope: &Envelope) -> usize {
    let chunk = match &envelope.content {
        Content::Set(Payload::Data(data)) => base64::encoded_len(data.bytes.len()),
        _ => 0,
    };
    chunk + 300
}

/// tokio-rustls over a pipe of tokio's.
pub(crate) struct Tokio {
    runtime: tokio::runtime::Runtime,
    client: client::TlsStream<DuplexStream>,
    server: server::TlsStream<DuplexStream>,
}

impl Tokio {
    pub(crate) fn connected() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let (_, tls, expect) = context(Role::Client, Mode::Bytes);
        let (client, _) = tls.client(&expect).expect("a client");
        let (_, tls, expect) = context(Role::Server, Mode::Bytes);
        let (server, _) = tls.server(&expect).expect("a server");
        let (one, other) = tokio::io::duplex(65_536);
        let (client, server) = runtime.block_on(async {
            let name = ServerName::try_from("xtls.invalid").expect("a name");
            let client = TlsConnector::from(Arc::new(client)).connect(name, one);
            let server = TlsAcceptor::from(Arc::new(server)).accept(other);
            tokio::try_join!(client, server).expect("a handshake")
        });
        Self {
            runtime,
            client,
            server,
        }
    }

    pub(crate) fn carry(&mut self, block: &[u8]) -> usize {
        let (client, server) = (&mut self.client, &mut self.server);
        self.runtime.block_on(async {
            let write = async {
                for _ in 0..TURN / WRITE {
                    client.write_all(block).await?;
                }
                client.flush().await
            };
            let read = async {
                let mut buffer = vec![0; WRITE];
                let mut out = 0;
                while out < TURN {
                    out += server.read(&mut buffer).await?;
                }
                Ok(out)
            };
            let ((), out) = tokio::try_join!(write, read).expect("a stream");
            out
        })
    }
}
