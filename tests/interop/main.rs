//! Bytestreams with other people's clients, through a real Prosody: slixmpp and aioxmpp at the other end. Some through
//! ejabberd as well.
//!
//! Each cell is a test of its own: who opens, iq or message, which block size. In each, both ends send at once, and
//! then the stream is closed from either side, directly after the closer's last bytes. The hashes of everything sent
//! and read must be equal. Where a peer can't do something, its test says so.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod cell;
mod ours;
mod peer;
mod relays;

use std::io::ErrorKind;

use tokio::io::AsyncReadExt as _;
use xtls_ibb::{Config, OpenOptions};
use xtls_stanza::ibb::{BlockSize, Carrier};
use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;

use cell::{Side, cell};
use ours::{Ours, hash};
use peer::{Library, Peer};

/// The twelve cells of one library.
macro_rules! cells {
    ($library:ident, $name:expr) => {
        mod $library {
            use super::*;

            cells!(we_open, $name, Side::We);
            cells!(they_open, $name, Side::They);
        }
    };
    ($opener:ident, $name:expr, $side:expr) => {
        mod $opener {
            use super::*;

            cells!(iq, $name, $side, Carrier::Iq);
            cells!(message, $name, $side, Carrier::Message);
        }
    };
    ($mode:ident, $name:expr, $side:expr, $carrier:expr) => {
        mod $mode {
            use super::*;

            #[tokio::test]
            async fn block_1() {
                cell(&Server::free(), $name, $side, $carrier, 1, 24).await;
            }

            #[tokio::test]
            async fn block_4096() {
                cell(&Server::free(), $name, $side, $carrier, 4096, 50_000).await;
            }

            #[tokio::test]
            async fn block_65535() {
                cell(&Server::free(), $name, $side, $carrier, 65_535, 300_000).await;
            }
        }
    };
}

cells!(slixmpp, Library::Slixmpp);
cells!(aioxmpp, Library::Aioxmpp);

/// Where another server may differ: each library, opening and being opened to, iq and message.
mod ejabberd {
    use super::*;

    #[tokio::test]
    async fn carries_iqs_to_slixmpp() {
        let server = Server::ejabberd();
        let (side, carrier) = (Side::We, Carrier::Iq);
        cell(&server, Library::Slixmpp, side, carrier, 4096, 50_000).await;
    }

    #[tokio::test]
    async fn carries_messages_from_slixmpp() {
        let server = Server::ejabberd();
        let (side, carrier) = (Side::They, Carrier::Message);
        cell(&server, Library::Slixmpp, side, carrier, 4096, 50_000).await;
    }

    #[tokio::test]
    async fn carries_messages_to_aioxmpp() {
        let server = Server::ejabberd();
        let (side, carrier) = (Side::We, Carrier::Message);
        cell(&server, Library::Aioxmpp, side, carrier, 4096, 50_000).await;
    }

    #[tokio::test]
    async fn carries_the_largest_blocks_from_aioxmpp() {
        let server = Server::ejabberd();
        let (side, carrier) = (Side::They, Carrier::Iq);
        cell(&server, Library::Aioxmpp, side, carrier, 65_535, 300_000).await;
    }
}

fn people() -> (Person, Person) {
    people_on(&Server::free())
}

fn people_on(server: &Server) -> (Person, Person) {
    (Person::new(server, "romeo"), Person::new(server, "juliet"))
}

/// An open that no one expects here.
async fn is_refused_here(library: Library) {
    let (we, they) = people();
    let mut ours = Ours::login(&we, Config::default()).await;
    ours.listen_no_more();
    let mut peer = Peer::start(library, &they, None).await;
    let why = peer.fail(&open(&ours, 4096, Carrier::Iq)).await;
    assert!(why.contains("service-unavailable"), "{why}");
}

fn open(ours: &Ours, block: u16, carrier: Carrier) -> serde_json::Value {
    let mode = match carrier {
        Carrier::Iq => "iq",
        Carrier::Message => "message",
    };
    serde_json::json!({ "do": "open", "to": ours.own().as_str(), "block": block, "mode": mode })
}

#[tokio::test]
async fn slixmpp_is_refused_by_an_end_that_does_not_listen() {
    is_refused_here(Library::Slixmpp).await;
}

#[tokio::test]
async fn aioxmpp_is_refused_by_an_end_that_does_not_listen() {
    is_refused_here(Library::Aioxmpp).await;
}

/// `Config::messages` is off by default.
#[tokio::test]
async fn slixmpp_learns_that_messages_are_not_accepted() {
    let (we, they) = people();
    let ours = Ours::login(&we, Config::default()).await;
    let mut peer = Peer::start(Library::Slixmpp, &they, None).await;
    let why = peer.fail(&open(&ours, 4096, Carrier::Message)).await;
    assert!(why.contains("feature-not-implemented"), "{why}");
}

/// An address where no one is online.
#[tokio::test]
async fn who_is_not_there_refuses() {
    let (we, they) = people();
    let ours = Ours::login(&we, Config::default()).await;
    let nobody = they.at("nobody");
    let refused = ours.streams().open(&nobody, OpenOptions::default()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// slixmpp takes blocks up to 8192 by default: we offer half until it agrees.
#[tokio::test]
async fn slixmpp_at_its_own_limit_gets_half_until_it_agrees() {
    let (we, they) = people();
    let ours = Ours::login(&we, Config::default()).await;
    let mut peer = Peer::start(Library::Slixmpp, &they, None).await;
    let options = OpenOptions::default().block_size(BlockSize::MAX);
    let stream = ours.streams().open(peer.address(), options).await.unwrap();
    assert_eq!(peer.ask(r#"{"do":"accept"}"#).await["block"], 8191);
    drop(stream);
}

/// slixmpp itself writes base64 in one line; `base64(1)` and MIME libraries break it into several.
async fn lines_are_read(block: u16, size: usize) {
    let (we, they) = people();
    let mut ours = Ours::login(&we, Config::default()).await;
    let mut peer = Peer::start(Library::Slixmpp, &they, Some(65_535)).await;
    let open = open(&ours, block, Carrier::Iq);
    let (opened, stream) = tokio::join!(peer.ask(&open), ours.accept());
    assert_eq!(opened["block"], block);
    let mut stream = stream;
    let wrap = serde_json::json!({ "do": "wrap", "size": size });
    let mut read = vec![0; size];
    let (sent, got) = tokio::join!(peer.ask(&wrap), stream.read_exact(&mut read));
    got.unwrap();
    assert_eq!(sent["sent"], hash(&read));
    assert_eq!(ours.seen().largest_in, usize::from(block));
}

#[tokio::test]
async fn base64_in_lines_is_read_at_4096() {
    lines_are_read(4096, 50_000).await;
}

#[tokio::test]
async fn base64_in_lines_is_read_at_65535() {
    lines_are_read(65_535, 200_000).await;
}

#[tokio::test]
async fn base64_in_lines_is_read_at_1() {
    lines_are_read(1, 20).await;
}
