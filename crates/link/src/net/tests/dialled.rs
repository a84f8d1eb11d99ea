//! Connections that somebody else makes.

use std::io;
use std::sync::Mutex;

use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::{Dial, Dialling, Duplex, Security};

/// Where connections were asked for: "host port".
#[derive(Default)]
pub(super) struct Dialled(Mutex<Vec<String>>);

impl Dialled {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

struct Dialler<S> {
    dialled: Arc<Dialled>,
    script: S,
}

impl<F, S> Dial for Dialler<S>
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Script<DuplexStream>, usize) -> F + Send + Sync,
{
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        let mut dialled = self.dialled.0.lock().unwrap();
        let (near, far) = duplex(65_536);
        tokio::spawn((self.script)(Script::new(far), dialled.len()));
        dialled.push(format!("{host} {port}"));
        Box::pin(async { Ok(Box::new(near) as Box<dyn Duplex>) })
    }
}

/// Runs the script, in memory, once for each connection, with its number.
pub(super) fn dialler<F, S>(script: S) -> (Arc<dyn Dial>, Arc<Dialled>)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Script<DuplexStream>, usize) -> F + Send + Sync + 'static,
{
    let dialled = Arc::new(Dialled::default());
    let dialler = Dialler {
        dialled: Arc::clone(&dialled),
        script,
    };
    (Arc::new(dialler), dialled)
}

#[tokio::test]
async fn a_dialer_gets_the_domain_or_the_given_server_and_nothing_is_looked_up() {
    let authority = Authority::new();
    for (server, security, expected) in [
        (None, Security::Auto, "example.org 5222"),
        (None, Security::StartTls, "example.org 5222"),
        (None, Security::DirectTls, "example.org 5223"),
        (Some(("a.example", 443)), Security::Auto, "a.example 443"),
    ] {
        let (dialer, dialled) = dialler(|_, _| async {});
        let mut options = authority.through(dialer).security(security);
        if let Some((host, port)) = server {
            options = options.server(host, port);
        }
        let error = connect(options).await.unwrap_err();
        let is_hung_up = matches!(
            error,
            ConnectError::Broken { .. } | ConnectError::Tls { .. }
        );
        assert!(is_hung_up, "{error:?}");
        assert_eq!(dialled.all(), [expected]);
    }
}

/// A proxy that lets nobody through.
struct Closed;

impl Dial for Closed {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialling<'a> {
        Box::pin(async { Err(io::Error::other("the proxy wants a password")) })
    }
}

#[tokio::test]
async fn what_a_dialer_says_is_told() {
    let authority = Authority::new();
    let error = connect(authority.through(Arc::new(Closed)))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        ConnectError::Unreachable {
            server: "example.org:5222".to_owned(),
            why: "the proxy wants a password".into()
        }
    );
}

#[tokio::test]
async fn what_was_dialled_is_checked_as_any_other_server_is() {
    let authority = Authority::new();
    let tls = Authority::new().server("example.org");
    let (dialer, _) = dialler(move |mut script, _| {
        let tls = tls.clone();
        async move {
            script.greet(STARTTLS).await;
            script.hear("/>").await;
            script.say(PROCEED).await;
            assert!(tls.accept(script.io).await.is_err());
        }
    });
    let error = connect(authority.through(dialer)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Certificate { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_link_works_over_what_was_dialled() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (dialer, _) = dialler(move |script, _| {
        let tls = tls.clone();
        async move {
            let mut script = script.bound(&tls, "x").await;
            script.say("<message id='m1'/>").await;
            script.hear("</stream:stream>").await;
            script.say("</stream:stream>").await;
        }
    });
    let mut link = connect(authority.through(dialer)).await.unwrap();
    assert!(matches!(
        link.next().await.unwrap(),
        crate::LinkEvent::Envelope(envelope) if envelope.id == "m1"
    ));
    link.close().await.unwrap();
}
