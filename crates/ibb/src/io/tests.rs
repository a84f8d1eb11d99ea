//! The tokio face, in stopped time.

// A test looks for one case.
#![allow(clippy::wildcard_enum_match_arm)]

mod opening;
mod streaming;

use std::time::Duration;

use tokio::sync::mpsc;
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use super::{Endpoint, Incoming, Listener, Stream, endpoint};
use crate::{Allow, By, Close, Config, Mux, OpenOptions, Violation, Why, Window};

const ROMEO: &str = "romeo@montague.example/orchard";
const JULIET: &str = "juliet@capulet.example/balcony";

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

struct Ends {
    romeo: Endpoint,
    juliet: Endpoint,
    listener: Listener,
    drivers: [tokio::task::JoinHandle<()>; 2],
}

fn ends(config: Config) -> Ends {
    let (to_juliet, from_romeo) = mpsc::channel(4);
    let (to_romeo, from_juliet) = mpsc::channel(4);
    let mux = Mux::new(address(ROMEO), config.clone(), [1; 32]);
    let (romeo, _, driver) = endpoint(mux, from_juliet, to_juliet);
    let first = tokio::spawn(driver.run());
    let mut mux = Mux::new(address(JULIET), config, [2; 32]);
    mux.allow(Allow::Anyone);
    let (juliet, listener, driver) = endpoint(mux, from_romeo, to_romeo);
    let drivers = [first, tokio::spawn(driver.run())];
    Ends {
        romeo,
        juliet,
        listener,
        drivers,
    }
}

impl Ends {
    async fn stream(&mut self) -> (Stream, Stream) {
        let juliet = address(JULIET);
        let open = self.romeo.open(&juliet, OpenOptions::default());
        let accept = async { self.listener.next().await.unwrap().accept(None).unwrap() };
        let (ours, theirs) = tokio::join!(open, accept);
        (ours.unwrap(), theirs)
    }
}

/// One end whose network is this test.
struct Hand {
    endpoint: Endpoint,
    listener: Listener,
    to: mpsc::Sender<Envelope>,
    from: mpsc::Receiver<Envelope>,
}

fn hand() -> Hand {
    let (to, incoming) = mpsc::channel(4);
    let (outgoing, from) = mpsc::channel(1);
    let config = Config::default().window(Window::OneChunk);
    let mut mux = Mux::new(address(JULIET), config, [2; 32]);
    mux.allow(Allow::Anyone);
    let (endpoint, listener, driver) = endpoint(mux, incoming, outgoing);
    tokio::spawn(driver.run());
    Hand {
        endpoint,
        listener,
        to,
        from,
    }
}

impl Hand {
    async fn send(&self, id: &str, content: Content) {
        let (from, to) = (Some(address(ROMEO)), Some(address(JULIET)));
        self.to
            .send(Envelope {
                from,
                to,
                id: id.into(),
                content,
            })
            .await
            .unwrap();
    }

    async fn open(&mut self) -> Incoming {
        let open = xtls_stanza::ibb::Open {
            sid: xtls_stanza::ibb::Sid::new("s").unwrap(),
            block_size: xtls_stanza::ibb::BlockSize::new(4096).unwrap(),
            carrier: xtls_stanza::ibb::Carrier::Iq,
            extensions: Vec::new(),
        };
        self.send("open", Content::Set(Payload::Open(open))).await;
        self.listener.next().await.unwrap()
    }

    async fn data(&self, seq: u16, bytes: &'static [u8]) {
        let data = xtls_stanza::ibb::Data {
            sid: xtls_stanza::ibb::Sid::new("s").unwrap(),
            seq: xtls_stanza::ibb::Seq(seq),
            bytes: bytes.into(),
        };
        self.send("data", Content::Set(Payload::Data(data))).await;
    }

    /// Answers the next request with success.
    async fn agree(&mut self) -> Envelope {
        let request = self.from.recv().await.unwrap();
        let answer = request.result(None);
        self.to.send(answer).await.unwrap();
        request
    }
}

fn condition(envelope: &Envelope) -> Condition {
    match &envelope.content {
        Content::Error(error) => error.condition,
        other => panic!("{other:?}"),
    }
}

/// Lets all other tasks run until they wait.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
