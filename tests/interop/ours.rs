//! Our end: bytestreams over the client's real link, and a count of what passes through it.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use xtls_client::bytestreams;
use xtls_client::uplink::{LinkError, LinkEvent, Uplink};
use xtls_client::xmpp::Link;
use xtls_ibb::io::{Endpoint, Listener, Stream};
use xtls_ibb::{Allow, Config};
use xtls_stanza::{Address, Content, Envelope, Payload};
use xtls_tests::live::person::Person;
use xtls_tests::live::soon;

pub(crate) struct Ours {
    own: Address,
    streams: Endpoint,
    listener: Option<Listener>,
    seen: Arc<Mutex<Seen>>,
}

/// Chunks that passed on the link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) iqs_out: usize,
    pub(crate) messages_out: usize,
    pub(crate) largest_out: usize,
    pub(crate) iqs_in: usize,
    pub(crate) messages_in: usize,
    pub(crate) largest_in: usize,
}

impl Ours {
    pub(crate) async fn login(person: &Person, config: Config) -> Self {
        let link = person.link("ours").await;
        let own = link.bound().clone();
        let seen = Arc::<Mutex<Seen>>::default();
        let watched = Watched {
            link,
            seen: Arc::clone(&seen),
        };
        let (streams, listener, _task) = bytestreams::start(watched, config).expect("random bytes");
        streams.with_mux(|mux| mux.allow(Allow::Anyone));
        Self {
            own,
            streams,
            listener: Some(listener),
            seen,
        }
    }

    pub(crate) fn own(&self) -> &Address {
        &self.own
    }

    pub(crate) fn streams(&self) -> &Endpoint {
        &self.streams
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.seen.lock().expect("nobody has panicked")
    }

    pub(crate) fn listen_no_more(&mut self) {
        self.listener = None;
    }

    pub(crate) async fn accept(&mut self) -> Stream {
        let listener = self.listener.as_mut().expect("a listener");
        let incoming = soon("an open", listener.next())
            .await
            .expect("the link holds");
        incoming.accept(None).expect("an open stream")
    }
}

/// The link, with a counter for what passes.
struct Watched {
    link: Link,
    seen: Arc<Mutex<Seen>>,
}

impl Uplink for Watched {
    fn bound(&self) -> &Address {
        self.link.bound()
    }

    fn stanza_limit(&self) -> Option<usize> {
        self.link.stanza_limit()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        let event = ready!(self.link.poll_next(cx))?;
        if let LinkEvent::Envelope(envelope) = &event {
            let mut seen = self.seen.lock().expect("nobody has panicked");
            match chunk(envelope) {
                Some((true, len)) => {
                    seen.messages_in += 1;
                    seen.largest_in = seen.largest_in.max(len);
                }
                Some((false, len)) => {
                    seen.iqs_in += 1;
                    seen.largest_in = seen.largest_in.max(len);
                }
                None => {}
            }
        }
        Poll::Ready(Ok(event))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_ready(cx)
    }

    fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        let chunk = chunk(&envelope);
        self.link.start_send(envelope)?;
        let mut seen = self.seen.lock().expect("nobody has panicked");
        match chunk {
            Some((true, len)) => {
                seen.messages_out += 1;
                seen.largest_out = seen.largest_out.max(len);
            }
            Some((false, len)) => {
                seen.iqs_out += 1;
                seen.largest_out = seen.largest_out.max(len);
            }
            None => {}
        }
        Ok(())
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_close(cx)
    }
}

/// Whether the chunk in this stanza travels in a message, and how long it is.
fn chunk(envelope: &Envelope) -> Option<(bool, usize)> {
    let data = |payload: &Payload| match payload {
        Payload::Data(data) => Some(data.bytes.len()),
        _ => None,
    };
    match &envelope.content {
        Content::Set(payload) => Some((false, data(payload)?)),
        Content::Message { payloads, .. } => Some((true, payloads.iter().find_map(data)?)),
        _ => None,
    }
}

/// Bytes without a pattern; the same for the same seed.
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// SHA-256 in the peers' notation.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
