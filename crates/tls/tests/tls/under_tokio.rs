//! The same configuration under tokio-rustls, over any `AsyncRead + AsyncWrite`, meets the adapter.

use std::{io, sync::Arc};

use bytes::BytesMut;
use rustls::{CommonState, pki_types::ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use xtls_tls::{Fingerprint, Role, Tls, TlsError, TrustError, trust::Policy};

use super::support::{ALICE, ALPN, BOB, config, expect, identity};

const LEN: usize = 1_000_000;

/// Drives the adapter until the peer has closed: sends back everything, then closes.
async fn echo(mut tls: Tls, mut wire: DuplexStream) -> Tls {
    let (mut plain, mut buffer) = (BytesMut::new(), [0; 5000]);
    loop {
        while let Some(bytes) = tls.poll_wire(4096) {
            if wire.write_all(&bytes).await.is_err() {
                tls.handle_wire_end();
                return tls;
            }
        }
        if tls.is_closed() || tls.failure().is_some() {
            wire.shutdown().await.unwrap();
            return tls;
        }
        match wire.read(&mut buffer).await.unwrap() {
            0 => tls.handle_wire_end(),
            len => tls.handle_wire(&buffer[..len], &mut plain),
        }
        if !plain.is_empty() {
            tls.write(&plain.split()).unwrap();
        }
        if tls.peer_closed() {
            tls.close();
        }
    }
}

/// Sends a megabyte and its own end, and reads what comes back, to the end.
async fn converse<S>(mut stream: S) -> io::Result<Vec<u8>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut back = vec![0; LEN];
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let sent = async {
        for piece in [7; LEN].chunks(10_000) {
            write.write_all(piece).await?;
        }
        write.flush().await
    };
    let (sent, received) = tokio::join!(sent, read.read_exact(&mut back));
    sent?;
    received?;
    stream.shutdown().await?;
    stream.read_to_end(&mut back).await?;
    Ok(back)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn key(jid: &str, seed: u8) -> Fingerprint {
    identity(jid, seed).fingerprint()
}

#[test]
fn tokio_rustls_as_client() {
    run(async {
        let (near, far) = tokio::io::duplex(3000);
        let bob = Tls::new(Role::Server, &config(BOB, 2), expect(BOB, ALICE)).unwrap();
        let (client, checks) = config(ALICE, 1).client(&expect(ALICE, BOB)).unwrap();
        let here = async {
            let name = ServerName::try_from("any.invalid").unwrap();
            let stream = TlsConnector::from(Arc::new(client))
                .connect(name, near)
                .await
                .unwrap();
            let peer = checks.peer(stream.get_ref().1).unwrap();
            assert_eq!(peer.fingerprint, key(BOB, 2));
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN));
            assert_eq!(converse(stream).await.unwrap(), [7; LEN]);
        };
        let ((), bob) = tokio::join!(here, echo(bob, far));
        assert_eq!(bob.failure(), None);
        assert_eq!(bob.peer().unwrap().fingerprint, key(ALICE, 1));
    });
}

#[test]
fn tokio_rustls_as_server() {
    run(async {
        let (near, far) = tokio::io::duplex(3000);
        let alice = Tls::new(Role::Client, &config(ALICE, 1), expect(ALICE, BOB)).unwrap();
        let (server, checks) = config(BOB, 2).server(&expect(BOB, ALICE)).unwrap();
        let here = async {
            let stream = TlsAcceptor::from(Arc::new(server))
                .accept(near)
                .await
                .unwrap();
            assert_eq!(
                checks.peer(stream.get_ref().1).unwrap().fingerprint,
                key(ALICE, 1)
            );
            assert_eq!(converse(stream).await.unwrap(), [7; LEN]);
        };
        let ((), alice) = tokio::join!(here, echo(alice, far));
        assert_eq!(alice.failure(), None);
        assert!(alice.peer_closed());
    });
}

#[test]
fn a_refusal_is_explained_under_tokio_rustls_too() {
    run(async {
        let (near, far) = tokio::io::duplex(3000);
        let alice = Tls::new(Role::Client, &config(ALICE, 1), expect(ALICE, BOB)).unwrap();
        let pinned = {
            let mut expect = expect(BOB, ALICE);
            expect.policy = Policy::Pinned;
            expect
        };
        let (server, checks) = config(BOB, 2).server(&pinned).unwrap();
        let here = async {
            let error = TlsAcceptor::from(Arc::new(server))
                .accept(near)
                .await
                .unwrap_err();
            let error = error
                .get_ref()
                .unwrap()
                .downcast_ref::<rustls::Error>()
                .unwrap();
            let why = TrustError::NotPinned {
                peer: ALICE.to_owned(),
                presented: key(ALICE, 1),
            };
            assert_eq!(checks.explain(error), TlsError::Trust(why));
        };
        let ((), alice) = tokio::join!(here, echo(alice, far));
        assert!(matches!(alice.failure(), Some(TlsError::Alert(alert)) if alert.refuses_us()));
    });
}

/// rustls by itself accepts a server without ALPN; the checks do not.
#[test]
fn what_rustls_leaves_open_is_checked() {
    run(async {
        let (near, far) = tokio::io::duplex(3000);
        let (client, checks) = config(ALICE, 1).client(&expect(ALICE, BOB)).unwrap();
        let nameless = {
            let mut expect = expect(BOB, ALICE);
            expect.alpn = Vec::new();
            expect.alpn_required = false;
            expect
        };
        let bob = Tls::new(Role::Server, &config(BOB, 2), nameless).unwrap();
        let here = async {
            let name = ServerName::try_from("any.invalid").unwrap();
            let mut stream = TlsConnector::from(Arc::new(client))
                .connect(name, near)
                .await
                .unwrap();
            let state: &CommonState = stream.get_ref().1;
            assert_eq!(checks.peer(state), Err(TlsError::Alpn));
            stream.shutdown().await.unwrap();
        };
        tokio::join!(here, echo(bob, far));
    });
}

#[test]
fn a_configuration_serves_one_connection() {
    run(async {
        let (client, checks) = config(ALICE, 1).client(&expect(ALICE, BOB)).unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        for round in 0..2 {
            let (near, far) = tokio::io::duplex(3000);
            let bob = Tls::new(Role::Server, &config(BOB, 2), expect(BOB, ALICE)).unwrap();
            let here = async {
                let name = ServerName::try_from("any.invalid").unwrap();
                match connector.connect(name, near).await {
                    Ok(mut stream) => {
                        checks.peer(stream.get_ref().1).unwrap();
                        stream.shutdown().await.unwrap();
                        true
                    }
                    Err(_) => false,
                }
            };
            let (connected, _) = tokio::join!(here, echo(bob, far));
            assert_eq!(connected, round == 0);
        }
    });
}
