//! What everything in the process logs, at the highest level.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::util::SubscriberInitExt as _;
use xtls_client::relay::Limits;
use xtls_client::router::TunnelEvent;
use xtls_tests::live::canary::Canary;
use xtls_tests::pair::message;

use crate::world::*;

/// Collects all lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Stanzas in both directions and both ends, with rustls logging as well: the log contains nothing that was sent, and
/// no key.
#[tokio::test(start_paused = true)]
async fn nothing_that_is_sent_is_logged_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let all = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _all = all.set_default();
    let canary = Canary::new(20_081_215);
    let said = |id: &str| message(id, canary.word());

    let (relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
    own.send(said("one")).await.unwrap();
    assert_eq!(stanza(&mut theirs).await, "one");
    theirs.send(said("two")).await.unwrap();
    assert_eq!(stanza(&mut own).await, "two");
    // What is sent into a tunnel that is ending is not logged either.
    own.send(said("three")).await.unwrap();
    own.close().await;
    let heard = rest(&mut theirs).await.0;
    assert!(
        heard
            .iter()
            .any(|what| matches!(what, TunnelEvent::Stanza(_)))
    );
    rest(&mut own).await;
    drop((relay, romeo, juliet));

    let log = log.0.lock().unwrap().clone();
    let text = String::from_utf8(log).unwrap();
    let lines = |target: &str| text.lines().filter(|line| line.contains(target)).count();
    assert!(lines("TRACE") > 0 && lines("DEBUG") > 0, "{text}");
    assert!(lines(" rustls::") > 10, "rustls logs as well: {text}");
    assert!(lines(" xtls_") > 0, "and so are we: {text}");
    assert_eq!(canary.found_in(text.as_bytes()), [""; 0]);
    // Keys 1 and 2 are 32 times that byte.
    for key in [
        "1, 1, 1, 1, 1, 1",
        "2, 2, 2, 2, 2, 2",
        "0101010101",
        "0202020202",
    ] {
        assert!(!text.contains(key), "{key}");
    }
    assert!(!text.contains("PRIVATE KEY"));
}
