//! The boundaries of chunks, records and stanzas are independent.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

use proptest::prelude::*;
use xtls_ibb::Window;
use xtls_stanza::Stanza;
use xtls_stanza::ibb::BlockSize;
use xtls_tests::pair::{Settings, Who, message};

/// Stanzas of many sizes, the same for the same numbers.
fn stanzas(sizes: &[usize]) -> Vec<Stanza> {
    let body = |at: usize, size: usize| -> String {
        // Letters of one to four octets, and everything that needs escaping.
        "aé漢🂡<&>'\"\t"
            .chars()
            .cycle()
            .skip(at)
            .take(size)
            .collect()
    };
    sizes
        .iter()
        .enumerate()
        .map(|(at, &size)| message(&format!("m{at}"), &body(at, size)))
        .collect()
}

/// Sends stanzas in both directions in chunks of `chunk` bytes; they must arrive whole and in order, and the end must
/// be clean.
fn check(seed: u64, chunk: u16, bytes: u32, sizes: &[usize]) {
    let window = Window::Fixed { bytes, chunk };
    let ibb = xtls_ibb::Config::default()
        .block_size(BlockSize::MAX)
        .window(window);
    let mut pair = Settings::seeded(seed).ibb(ibb).build();
    let (romeo, juliet) = pair.establish(Who::Romeo);
    let sent = stanzas(sizes);
    pair.send_all(Who::Romeo, romeo, &sent);
    pair.send_all(Who::Juliet, juliet, &sent);
    pair.drive();
    let now = pair.now;
    pair.end(Who::Romeo)
        .router
        .tunnel(now, romeo)
        .unwrap()
        .finish();
    pair.end(Who::Juliet)
        .router
        .tunnel(now, juliet)
        .unwrap()
        .finish();
    pair.drive();
    for who in [Who::Romeo, Who::Juliet] {
        let received = pair.received(who);
        assert_eq!(received.len(), sent.len(), "{who:?}");
        for (received, sent) in received.iter().zip(&sent) {
            assert_eq!(received.id, sent.id);
            assert_eq!(received.children, sent.children);
            assert_eq!(received.from, Some(who.other().address()));
        }
        let closed = pair.closed(who);
        assert!(closed.len() == 1 && closed[0].clean, "{who:?}: {closed:?}");
    }
}

#[test]
fn one_byte_a_chunk() {
    check(1, 1, 64, &[0, 1, 40]);
}

#[test]
fn the_largest_chunks() {
    check(2, u16::MAX, 1 << 20, &[0, 100_000, 1, 60_000]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_cutting_gives_the_same_stanzas(
        seed in any::<u64>(),
        // Log-uniform: as many tries between 1 and 2 as between 32 768 and 65 535.
        exponent in 0_u32..16,
        fraction in 0_u32..=u32::from(u16::MAX),
        chunks in 1_u32..32,
        sizes in prop::collection::vec((0_u32..13, 0_usize..8192), 1..12),
    ) {
        let low = 1_u32 << exponent;
        let chunk = u16::try_from((low + fraction % low).min(u32::from(u16::MAX))).unwrap();
        let sizes: Vec<_> = sizes
            .iter()
            .map(|&(exponent, fraction)| fraction % (1 << exponent))
            // One byte per chunk means 10 000 stanzas for a stanza of that length: keep the worst case short.
            .map(|size| size.min(usize::from(chunk) * 200))
            .collect();
        check(seed, chunk, chunks * u32::from(chunk), &sizes);
    }
}
