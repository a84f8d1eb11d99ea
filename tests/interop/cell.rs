//! One cell of the table.

use std::time::Instant;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use xtls_ibb::io::Stream;
use xtls_ibb::{By, Config, OpenOptions, Why, Window};
use xtls_stanza::ibb::{BlockSize, Carrier};
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;

use super::ours::{Ours, hash, noise};
use super::peer::{Library, Peer};
use super::{open, people_on};

/// Blocks under way at a time.
const WINDOW: u32 = 4;
/// Bytes that the closing side sends directly before it closes.
const TAIL: usize = 33;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    We,
    They,
}

/// Both ends send `size` bytes; then the stream is closed, in one round from our side and in one from theirs.
pub(crate) async fn cell(
    server: &Server,
    library: Library,
    opener: Side,
    carrier: Carrier,
    block: u16,
    size: usize,
) {
    let (we, they) = people_on(server);
    let config = Config::default()
        .messages(true)
        .opens_per_minute(1000)
        .window(Window::Fixed {
            bytes: WINDOW * u32::from(block),
            chunk: block,
        });
    let mut ours = Ours::login(&we, config).await;
    let max_block = match library {
        Library::Slixmpp => Some(u16::MAX),
        Library::Aioxmpp => None,
    };
    let mut peer = Peer::start(library, &they, max_block).await;
    for closer in [Side::We, Side::They] {
        let start = Instant::now();
        let mut stream = opened(&mut ours, &mut peer, opener, carrier, block).await;
        exchange(&mut stream, &mut peer, size).await;
        match closer {
            Side::We => we_close(stream, &mut peer).await,
            Side::They => they_close(stream, &mut peer).await,
        }
        println!(
            "{library:?}: {opener:?} open, {carrier:?}, block {block}: {size} bytes each way at once, {closer:?} close, \
             hashes equal ({:.1} s)",
            start.elapsed().as_secs_f64()
        );
    }

    let seen = ours.seen();
    match carrier {
        Carrier::Iq => assert_eq!(seen.messages_out, 0, "{seen:?}"),
        Carrier::Message => assert_eq!(seen.iqs_out, 0, "{seen:?}"),
    }
    // slixmpp ignores `stanza` in other clients' opens: it answers in iqs, which we accept as well.
    let theirs = match (library, opener) {
        (Library::Slixmpp, Side::We) => Carrier::Iq,
        (Library::Slixmpp, Side::They) | (Library::Aioxmpp, _) => carrier,
    };
    match theirs {
        Carrier::Iq => assert_eq!(seen.messages_in, 0, "{seen:?}"),
        Carrier::Message => assert_eq!(seen.iqs_in, 0, "{seen:?}"),
    }
    assert_eq!(seen.largest_out, usize::from(block));
    assert_eq!(seen.largest_in, usize::from(block));
}

async fn opened(
    ours: &mut Ours,
    peer: &mut Peer,
    opener: Side,
    carrier: Carrier,
    block: u16,
) -> Stream {
    let (answer, stream) = match opener {
        Side::We => {
            let offered = BlockSize::new(block).expect("a block size");
            let options = OpenOptions::default().block_size(offered).carrier(carrier);
            let to = peer.address().clone();
            let (answer, stream) = tokio::join!(
                peer.ask(json!({ "do": "accept" })),
                soon("our open", ours.streams().open(&to, options))
            );
            (answer, stream.expect("the peer accepts"))
        }
        Side::They => {
            let order = open(ours, block, carrier);
            tokio::join!(peer.ask(order), ours.accept())
        }
    };
    assert_eq!(answer["block"], block);
    assert_eq!(answer["sid"], stream.sid().expect("a sid").as_str());
    stream
}

async fn exchange(stream: &mut Stream, peer: &mut Peer, size: usize) {
    let sent = noise(1, size);
    let mut read = vec![0; size];
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (written, got, answer) = tokio::join!(
        writer.write_all(&sent),
        soon("the peer's bytes", reader.read_exact(&mut read)),
        peer.ask(json!({ "do": "exchange", "size": size })),
    );
    written.expect("our bytes go");
    got.expect("the peer's bytes come");
    assert_eq!(answer["read"], hash(&sent));
    assert_eq!(answer["sent"], hash(&read));
}

async fn we_close(mut stream: Stream, peer: &mut Peer) {
    let tail = noise(2, TAIL);
    stream.write_all(&tail).await.expect("room");
    let mut rest = Vec::new();
    let ours = async {
        soon("the close", stream.shutdown()).await?;
        // A library ends both directions when one ends, and says so by its answer.
        soon("the answer", stream.read_to_end(&mut rest)).await
    };
    let (closed, answer) = tokio::join!(ours, peer.ask(json!({ "do": "drain" })));
    closed.expect("the peer answers our close");
    assert_eq!(answer["read"], hash(&tail));
    assert!(rest.is_empty(), "{} bytes", rest.len());
    is_done(&stream, By::Us);
}

async fn they_close(mut stream: Stream, peer: &mut Peer) {
    let mut tail = Vec::new();
    let ours = async {
        soon("the peer's close", stream.read_to_end(&mut tail)).await?;
        // Our direction is ours to end, and the peer's close is answered then.
        soon("our close", stream.shutdown()).await
    };
    let (closed, answer) = tokio::join!(ours, peer.ask(json!({ "do": "close", "size": TAIL })));
    closed.expect("the peer closes");
    assert_eq!(tail.len(), TAIL);
    assert_eq!(answer["sent"], hash(&tail));
    is_done(&stream, By::Peer);
}

fn is_done(stream: &Stream, by: By) {
    let close = stream.close_reason().expect("an end");
    assert_eq!((close.by, &close.why), (by, &Why::Done), "{close}");
}
