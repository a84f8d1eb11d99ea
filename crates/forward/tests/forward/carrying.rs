//! Bytes, ends and resets are carried as they are.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use xtls_forward::{How, Report};

use crate::support::{Pair, allowing, connected, is_reset, local, pattern, server};

fn how(report: &Report) -> &How {
    match report {
        Report::Closed { how, .. } => how,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reset_there_is_a_reset_here_and_no_end() {
    let (mut pair, mut client, mut served) = connected().await;
    client.write_all(b"x").await.unwrap();
    served.read_exact(&mut [0]).await.unwrap();
    served.set_zero_linger().unwrap();
    drop(served);
    assert!(is_reset(&mut client).await);
    assert_eq!(how(&pair.last_of_near().await), &How::BrokenThere);
    assert!(matches!(how(&pair.last_of_far().await), How::BrokenHere(_)));
}

#[tokio::test]
async fn a_reset_here_is_a_reset_there_and_no_end() {
    let (mut pair, mut client, mut served) = connected().await;
    client.write_all(b"x").await.unwrap();
    served.read_exact(&mut [0]).await.unwrap();
    client.set_zero_linger().unwrap();
    drop(client);
    assert!(is_reset(&mut served).await);
    assert_eq!(how(&pair.last_of_far().await), &How::BrokenThere);
}

#[tokio::test]
async fn a_tunnel_that_is_cut_resets_its_connections() {
    let (mut pair, mut client, mut served) = connected().await;
    client.write_all(b"x").await.unwrap();
    served.read_exact(&mut [0]).await.unwrap();
    pair.tunnels.lock().unwrap()[0].abort();
    assert!(is_reset(&mut client).await);
    assert_eq!(how(&pair.last_of_near().await), &How::Cut);
}

#[tokio::test]
async fn an_end_travels_while_the_other_direction_goes_on() {
    let (mut pair, mut client, mut served) = connected().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    served.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    // Only the end of the question brings the answer.
    let answer = pattern(300_000);
    let (said, read) = tokio::join!(
        async {
            served.write_all(&answer).await.unwrap();
            served.shutdown().await
        },
        async {
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.map(|_| read)
        },
    );
    said.unwrap();
    assert!(read.unwrap() == answer);
    let report = pair.last_of_near().await;
    let Report::Closed {
        sent,
        received,
        how,
        ..
    } = report
    else {
        panic!("{report:?}");
    };
    assert_eq!((sent, received, how), (8, 300_000, How::Ended));
}

#[tokio::test]
async fn many_connections_through_one_tunnel_get_what_is_theirs() {
    let (listener, at) = server().await;
    let mut pair = Pair::new(&[local(at)], allowing(&[at.to_string()]));
    let here = pair.listening().await;
    pair.spawn(async move {
        loop {
            let (mut served, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = served.split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..40 {
        clients.spawn(async move {
            let mut client = TcpStream::connect(here).await.unwrap();
            let bytes = pattern(50_000 + 1_000 * number)[number..].to_vec();
            let (mut reader, mut writer) = client.split();
            let mut echoed = Vec::new();
            let (sent, read) = tokio::join!(
                async {
                    writer.write_all(&bytes).await?;
                    writer.shutdown().await
                },
                reader.read_to_end(&mut echoed),
            );
            sent.unwrap();
            read.unwrap();
            assert!(echoed == bytes, "connection {number}");
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    assert_eq!(pair.tunnels.lock().unwrap().len(), 1);
}
