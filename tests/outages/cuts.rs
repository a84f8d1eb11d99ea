//! Connections to the server that are cut at random moments, again and again, under a tunnel of bytes.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::sleep;
use xtls_client::xmpp::Retry;
use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;
use xtls_tests::live::way::Way;

use crate::many;
use crate::party::{Party, Who};
use crate::pattern::{Lots, seed};
use crate::transfer::Transfer;

/// Both directions at once, over connections of which now one is cut, now the other, and now both: also while they log in.
///
/// A server that forgets a session although it could resume it, or lets stanzas overtake each other, ends the tunnel; then the
/// next one goes on.
async fn nothing_is_lost(server: &Server) {
    let cuts = many(20, 200);
    let seed = seed();
    let (romeo, juliet) = Person::strangers(server);
    let ways = [
        Way::to(server.starttls()).await,
        Way::to(server.starttls()).await,
    ];
    let quickly = Retry {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(50),
        ..Retry::default()
    };
    let options = |person: &Person, way: &Way| {
        let options = person.options("cut").server("127.0.0.1", way.port());
        options.retry(quickly)
    };
    let here = Party::start(Who::Romeo, &romeo, options(&romeo, &ways[0])).await;
    let mut there = Party::start(Who::Juliet, &juliet, options(&juliet, &ways[1])).await;
    let mut lots = Lots::new(seed);
    let made = || ways.iter().map(Way::cuts).sum::<usize>();
    let mut tunnels = 0;
    while made() < cuts {
        tunnels += 1;
        let seed = seed + tunnels as u64;
        let ends = here.connect(&mut there).await;
        let senders = ends.each_ref().map(|end| end.sender());
        let transfer = Transfer::start(ends, seed);
        let over = || {
            senders
                .iter()
                .any(|end| end.closed().now_or_never().is_some())
        };
        while made() < cuts && !over() {
            sleep(Duration::from_millis(lots.below(60))).await;
            match lots.below(5) {
                0 | 1 => ways[0].cut(),
                2 | 3 => ways[1].cut(),
                _ => ways.iter().for_each(Way::cut),
            }
            // It is counted by the time that another one is due.
            tokio::task::yield_now().await;
        }
        for sender in senders.iter().filter(|_| over()) {
            println!("{:?}", sender.closed().await.map(|closed| closed.why));
        }
        for (direction, [written, read]) in transfer.end().await.into_iter().enumerate() {
            println!(
                "tunnel {tunnels}, direction {direction}, {} cuts: {written:?}, {read:?}",
                made()
            );
            match (written, read) {
                (Ok(written), Ok(read)) => assert_eq!(read, written),
                // All that was read is what was written there.
                (Ok(written) | Err(written), Err(read)) => assert!(read.length <= written.length),
                (Err(written), Ok(read)) => panic!("{read:?} is no end of {written:?}"),
            }
        }
    }
    here.stop().await;
    there.stop().await;
}

/// Prosody 0.12 forgets a session if the connection was cut in the middle of a stanza: what comes on the next one is read as if
/// it belonged to that stanza.
#[tokio::test(flavor = "multi_thread")]
async fn cuts_lose_no_byte_of_a_tunnel_and_double_none_through_prosody() {
    nothing_is_lost(&Server::quiet()).await;
}

/// ejabberd 23.01 sends what had reached the old connection's process again behind what has reached the new one's. A bytestream
/// in which chunks overtake each other ends (XEP-0047 §2.2).
#[tokio::test(flavor = "multi_thread")]
async fn cuts_lose_no_byte_of_a_tunnel_and_double_none_through_ejabberd() {
    nothing_is_lost(&Server::ejabberd()).await;
}
