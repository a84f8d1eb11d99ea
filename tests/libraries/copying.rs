//! `tokio::io::copy_bidirectional`: a proxy at each end of the stream, and a program behind each.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional, duplex, split};

use super::{Duplex, pattern};

/// Writes everything, shuts down, and returns what it read.
async fn program(stream: impl Duplex, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = split(stream);
    let write = async {
        writer.write_all(bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (read, ()) = tokio::join!(reader.read_to_end(&mut got), write);
    read.unwrap();
    got
}

/// So many bytes go from the near end to the far one, and back.
pub(crate) async fn between_proxies(
    mut near: impl Duplex,
    mut far: impl Duplex,
    there: usize,
    back: usize,
) {
    let (near_program, mut near_proxy) = duplex(8192);
    let (far_program, mut far_proxy) = duplex(8192);
    let (asked, answered) = (pattern(there, 1), pattern(back, 2));
    let (at_near, at_far, near_got, far_got) = tokio::join!(
        copy_bidirectional(&mut near_proxy, &mut near),
        copy_bidirectional(&mut far_proxy, &mut far),
        program(near_program, &asked),
        program(far_program, &answered),
    );
    let (there, back) = (there as u64, back as u64);
    assert_eq!(at_near.unwrap(), (there, back));
    assert_eq!(at_far.unwrap(), (back, there));
    assert!(near_got == answered && far_got == asked);
}
