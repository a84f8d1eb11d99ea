//! Which of a domain's servers it becomes, in a network of the test's own where time passes only when nothing else can
//! happen.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "each step of a script is about some servers only"
)]

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::cause::Cause;
use crate::net::connect::{Connector, Goal};
use crate::net::network::{Network, Srv, SrvAnswer};
use crate::net::socket::Socket;

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Drop,
    Refuse,
    /// Accepts, and never says a word.
    Nothing,
    HangUp,
    HangUpAfterTheHeader,
    HangUpInsideTls,
    HangUpWhileLoggingIn,
    OfferNoTls,
    HaveAnotherName,
    ShutDown,
    ShutDownInsideTls,
    NotKnowTheDomain,
    Inject,
    RefuseThePassword,
    Work,
}

/// A domain whose service records name these, best first.
struct Servers {
    all: Vec<Does>,
    own: TlsAcceptor,
    other: TlsAcceptor,
    tried: Arc<Mutex<Vec<usize>>>,
}

impl Network for Servers {
    async fn srv(&self, service: &str, domain: &str) -> Result<SrvAnswer, Cause> {
        assert_eq!(domain, "example.org");
        if service != "_xmpp-client._tcp" {
            return Ok(SrvAnswer::NoRecords);
        }
        let record = |number: usize| Srv {
            priority: u16::try_from(number).unwrap(),
            weight: 0,
            port: 5222,
            target: number.to_string(),
        };
        Ok(SrvAnswer::Records(
            (0..self.all.len()).map(record).collect(),
        ))
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Cause> {
        let number = host.parse().unwrap();
        Ok(vec![SocketAddr::from(([192, 0, 2, number], port))])
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        let SocketAddr::V4(address) = address else {
            panic!()
        };
        let number = usize::from(address.ip().octets()[3]);
        self.tried.lock().unwrap().push(number);
        let does = self.all[number];
        match does {
            Does::Drop => return std::future::pending().await,
            Does::Refuse => return Err(io::ErrorKind::ConnectionRefused.into()),
            _ => {}
        }
        let (near, far) = duplex(65_536);
        tokio::spawn(serve(does, far, self.own.clone(), self.other.clone()));
        Ok(Socket::Dialled(Box::new(near)))
    }
}

fn stream_error(condition: &str) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    )
}

async fn serve(does: Does, io: DuplexStream, own: TlsAcceptor, other: TlsAcceptor) {
    let mut script = Script::new(io);
    match does {
        Does::HangUp => return,
        Does::Nothing => {
            script.rest().await;
            return;
        }
        Does::HangUpAfterTheHeader => return script.greet("").await,
        Does::OfferNoTls => return script.greet(&mechanisms(&["PLAIN"])).await,
        Does::ShutDown => return script.greet(&stream_error("system-shutdown")).await,
        Does::NotKnowTheDomain => return script.greet(&stream_error("host-unknown")).await,
        Does::Inject => {
            script.greet(STARTTLS).await;
            script.hear("/>").await;
            return script.say(&format!("{PROCEED} ")).await;
        }
        Does::HaveAnotherName => {
            script.greet(STARTTLS).await;
            script.hear("/>").await;
            script.say(PROCEED).await;
            let _ = other.accept(script.io).await;
            return;
        }
        _ => {}
    }
    let mut script = script.starttls(&own).await;
    match does {
        Does::HangUpInsideTls => return,
        Does::ShutDownInsideTls => return script.greet(&stream_error("system-shutdown")).await,
        _ => {}
    }
    script.greet(&mechanisms(&["PLAIN"])).await;
    script.hear("</auth>").await;
    match does {
        Does::HangUpWhileLoggingIn => return,
        Does::RefuseThePassword => {
            let refusal =
                "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
            return script.say(refusal).await;
        }
        _ => {}
    }
    script.say(SUCCESS).await;
    script.greet(BIND).await;
    script.bind("x").await;
    script.rest().await;
}

/// What comes of an attempt: the result, who was tried, and after how many seconds it ended.
async fn attempt(all: &[Does]) -> (Result<(), ConnectError>, Vec<usize>, u64) {
    let authority = Authority::new();
    let tried = Arc::default();
    let servers = Servers {
        all: all.to_vec(),
        own: authority.server("example.org"),
        other: authority.server("a.example"),
        tried: Arc::clone(&tried),
    };
    let account = normalise("juliet@example.org").unwrap();
    let options = Options::new(&account, Zeroizing::new("pencil".to_owned()))
        .ca_file(authority.file.path())
        .allow_plain(true)
        .timeout(LIMIT);
    let (connector, session) = Connector::over(servers, &options).unwrap();
    let began = Instant::now();
    let attempted = Arc::new(connector).connect(session, Goal::Home).await;
    let tried = tried.lock().unwrap().clone();
    let result = attempted.map(|_| ()).map_err(|failed| failed.0);
    (result, tried, began.elapsed().as_secs())
}

const LIMIT: Duration = Duration::from_secs(20);

fn is_about_the_certificate(result: &Result<(), ConnectError>) -> bool {
    matches!(result, Err(ConnectError::Certificate { .. }))
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_of_the_domain_the_account_or_an_attack_goes_for_all() {
    for does in [
        Does::NotKnowTheDomain,
        Does::Inject,
        Does::RefuseThePassword,
    ] {
        let (result, tried, seconds) = attempt(&[does, Does::Work]).await;
        let error = result.unwrap_err();
        let expected = match does {
            Does::Inject => matches!(error, ConnectError::Injected { .. }),
            Does::RefuseThePassword => matches!(error, ConnectError::Authentication { .. }),
            _ => matches!(error, ConnectError::Stream(_)),
        };
        assert!(expected, "{error:?}");
        assert_eq!((tried, seconds), (vec![0], 0), "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_up_gives_way_to_the_next() {
    for does in [
        Does::Refuse,
        Does::HangUp,
        Does::HangUpAfterTheHeader,
        Does::HangUpInsideTls,
        Does::HangUpWhileLoggingIn,
    ] {
        let (result, tried, seconds) = attempt(&[does, Does::Work]).await;
        assert_eq!(result, Ok(()), "{does:?}");
        assert_eq!((tried, seconds), (vec![0, 1], 0), "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_serve_gives_way_to_the_next() {
    for does in [
        Does::OfferNoTls,
        Does::HaveAnotherName,
        Does::ShutDown,
        Does::ShutDownInsideTls,
    ] {
        let (result, tried, seconds) = attempt(&[does, Does::Work]).await;
        assert_eq!(result, Ok(()), "{does:?}");
        assert_eq!((tried, seconds), (vec![0, 1], 0), "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_says_nothing_gives_way_to_the_next_within_seconds() {
    for (does, after) in [(Does::Drop, 3), (Does::Nothing, 8)] {
        let (result, tried, seconds) = attempt(&[does, Does::Work]).await;
        assert_eq!(result, Ok(()));
        assert_eq!((tried, seconds), (vec![0, 1], after), "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_its_limit() {
    let limit = || Err(ConnectError::Timeout { limit: LIMIT });
    for all in [&[Does::Drop; 3][..], &[Does::Nothing], &[Does::Drop]] {
        let (result, tried, seconds) = attempt(all).await;
        assert_eq!(result, limit());
        assert_eq!((tried.len(), seconds), (all.len(), 20));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_said_is_told_before_what_another_one_did_not_say() {
    for others in [
        [Does::Drop, Does::Drop],
        [Does::Nothing, Does::Drop],
        [Does::HangUp, Does::HangUp],
        [Does::HangUpInsideTls, Does::HangUp],
        [Does::Refuse, Does::Refuse],
    ] {
        let [first, last] = others;
        for all in [
            [Does::HaveAnotherName, first, last],
            [first, Does::HaveAnotherName, last],
            [first, last, Does::HaveAnotherName],
        ] {
            let (result, tried, _) = attempt(&all).await;
            assert!(is_about_the_certificate(&result), "{all:?}: {result:?}");
            assert_eq!(tried, [0, 1, 2]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn that_one_hung_up_is_told_before_that_the_other_could_not_be_reached() {
    for all in [[Does::HangUp, Does::Refuse], [Does::Refuse, Does::HangUp]] {
        let (result, _, seconds) = attempt(&all).await;
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "the connection broke before encryption");
        assert_eq!(seconds, 0);
    }
}
