//! The bytes that the benchmarks share, generated here and always the same, and the contenders that are measured on
//! them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_debug_implementations,
    reason = "a benchmark that cannot go on says so by failing"
)]

pub mod bars;
#[cfg(feature = "stanza")]
pub mod chunk;
#[cfg(feature = "tls")]
pub mod contenders;
pub mod expat;
pub mod framing;
#[cfg(feature = "stanza")]
pub mod strict;

/// A stream of chat messages of about 245 bytes each, `total` bytes or slightly more.
#[must_use]
pub fn chat(total: usize) -> Vec<u8> {
    let mut stream = Vec::with_capacity(total + 512);
    let mut at = 0_u32;
    while stream.len() < total {
        let stanza = format!(
            "<message xmlns='jabber:client' type='chat' id='m{at:08}' \
             from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony'>\
             <body>Call me but love, and I&apos;ll be new baptized; henceforth {at:05}</body>\
             <active xmlns='http://jabber.org/protocol/chatstates'/></message>"
        );
        stream.extend_from_slice(stanza.as_bytes());
        at += 1;
    }
    stream
}

/// A stream of In-Band Bytestream chunks of `block` bytes, `total` bytes or slightly more.
#[must_use]
pub fn ibb(block: usize, total: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = block / 3 * 4;
    let tail = match block % 3 {
        0 => "",
        1 => "AA==",
        _ => "AAA=",
    };
    // Chunks carry ciphertext: repetitive data would spare parsers the branches that they mispredict.
    let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
    let mut letter = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        let [first, ..] = noise.to_be_bytes();
        let letter = LETTERS.get(usize::from(first >> 2)).copied();
        char::from(letter.unwrap_or(b'A'))
    };
    let mut stream = Vec::with_capacity(total + 2 * block);
    let mut seq = 0_u16;
    while stream.len() < total {
        let text: String = (0..whole).map(|_| letter()).collect();
        let stanza = format!(
            "<iq xmlns='jabber:client' type='set' id='x0123456789abcdef{seq:05}' \
             from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony'>\
             <data xmlns='http://jabber.org/protocol/ibb' seq='{seq}' sid='sQm3Zk8vT1xR5bNw0Yc7HdJ2p'>\
             {text}{tail}</data></iq>"
        );
        stream.extend_from_slice(stanza.as_bytes());
        seq = seq.wrapping_add(1);
    }
    stream
}

/// Every workload by name, in the order in which [`expat::Expat`] numbers them.
#[must_use]
pub fn workloads() -> [(&'static str, Vec<u8>); 3] {
    const TOTAL: usize = 440_000;
    [
        ("chat", chat(TOTAL)),
        ("ibb-4096", ibb(4096, TOTAL)),
        ("ibb-65535", ibb(65_535, TOTAL)),
    ]
}
