//! Which service a tunnel is for, and whose key it uses.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use xtls_client::relay::Limits;
use xtls_client::router::{SendError, TunnelEvent};
use xtls_session::{Mode, SendError as Session, Service, Verdict};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;
use xtls_tls::trust::Policy;

use crate::bytes::{all, closed, pipe};
use crate::world::{Maker, juliet, next, rest, romeo, stanza, until_established};

#[tokio::test(start_paused = true)]
async fn a_listener_serves_the_service_that_is_named_and_no_other() {
    let files = Service::new("files", Mode::Bytes);
    let relay = xtls_client::Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let services = [Service::stanzas(), pipe(), files.clone()];
    let mut juliet = juliet().serving(&services).on(&relay).await;
    for service in [pipe(), files, Service::stanzas()] {
        let to = keys::address(JULIET);
        let mut own = romeo.client.open_for(&to, service.clone()).await.unwrap();
        let mut theirs = juliet.incoming.next().await.unwrap();
        assert_eq!(until_established(&mut theirs).await.service, service);
        match service.mode() {
            Mode::Bytes => {
                let error = own.send(message("m1", "word")).await.unwrap_err();
                assert!(
                    matches!(error, SendError::Session(Session::Mode(_))),
                    "{error}"
                );
                own.write_all(b"x").await.unwrap();
                assert_eq!(theirs.read_u8().await.unwrap(), b'x');
                own.shutdown().await.unwrap();
                theirs.shutdown().await.unwrap();
            }
            Mode::Stanzas => {
                own.send(message("m1", "word")).await.unwrap();
                assert_eq!(stanza(&mut theirs).await, "m1");
                for tunnel in [&mut own, &mut theirs] {
                    let error = tunnel.read_u8().await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Unsupported);
                    let error = tunnel.write_all(b"x").await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Unsupported);
                }
                own.finish().await;
                theirs.finish().await;
            }
        }
        tokio::join!(closed(&mut own), closed(&mut theirs));
    }
    let other = Service::new("shell", Mode::Bytes);
    let to = keys::address(JULIET);
    let mut own = romeo.client.open_for(&to, other).await.unwrap();
    // It may already have been refused.
    let _ = own.write_all(b"rm").await;
    let mut theirs = juliet.incoming.next().await.unwrap();
    assert_eq!(all(&mut own).await.1, Err(ErrorKind::InvalidData));
    assert!(all(&mut theirs).await.1.is_err());
    assert_eq!(theirs.proven(), None);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_asked_about_and_nothing_passes_before() {
    let relay = xtls_client::Relay::start(Limits::default());
    let make = |own, peer, key| {
        let maker = Maker::new(own, peer, key).serving(&[pipe()]);
        maker.policy(Policy::Ask)
    };
    for verdict in [Verdict::Accept, Verdict::Refuse] {
        let romeo = make(ROMEO, JULIET, 1).on(&relay).await;
        let mut juliet = make(JULIET, ROMEO, 2).on(&relay).await;
        let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
        own.write_all(b"word").await.unwrap();
        let mut theirs = juliet.incoming.next().await.unwrap();
        assert!(matches!(next(&mut own).await, TunnelEvent::Judge(_)));
        own.judge(keys::fingerprint(JULIET, 2), Verdict::Accept)
            .await
            .unwrap();
        assert!(matches!(next(&mut theirs).await, TunnelEvent::Judge(_)));
        let early = timeout(Duration::from_secs(60), theirs.read_u8()).await;
        assert!(early.is_err(), "nothing before the verdict");
        theirs
            .judge(keys::fingerprint(ROMEO, 1), verdict)
            .await
            .unwrap();
        match verdict {
            Verdict::Accept => {
                let mut heard = [0; 4];
                theirs.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"word");
                own.established().await.unwrap();
            }
            Verdict::Refuse => {
                assert_eq!(
                    all(&mut theirs).await,
                    (Vec::new(), Err(ErrorKind::PermissionDenied))
                );
                assert!(own.established().await.is_err());
                let (_, closed) = rest(&mut own).await;
                assert_eq!(closed.unconfirmed, 4);
            }
        }
        drop((own, theirs));
        romeo.client.stop().await;
        juliet.client.stop().await;
        romeo.task.await.unwrap().unwrap();
        juliet.task.await.unwrap().unwrap();
    }
}
