//! `-D`: clients of SOCKS5 say where they go to.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use xtls_forward::{NotSocks, Report, Rule, Serve};

use crate::support::{Answers, Pair, allowing, server};

fn dynamic() -> [Rule; 1] {
    [Rule::Dynamic("0".parse().unwrap())]
}

/// Asks for a place by its name; the code of the answer.
async fn ask(client: &mut TcpStream, host: &str, port: u16) -> u8 {
    client.write_all(&[5, 1, 0]).await.unwrap();
    client.read_exact(&mut [0; 2]).await.unwrap();
    let length = u8::try_from(host.len()).unwrap();
    let request = [&[5, 1, 0, 3, length], host.as_bytes(), &port.to_be_bytes()].concat();
    client.write_all(&request).await.unwrap();
    let mut answer = [0; 10];
    client.read_exact(&mut answer).await.unwrap();
    answer[1]
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_by_its_code() {
    let mut pair = Pair::new(&dynamic(), Serve::default());
    let here = pair.listening().await;
    let mut client = TcpStream::connect(here).await.unwrap();
    assert_eq!(ask(&mut client, "a.example", 80).await, 2);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_browser_that_takes_the_port_for_a_web_server_is_told_from_one_that_does_not() {
    let mut pair = Pair::new(&dynamic(), Serve::default());
    let mut client = TcpStream::connect(pair.listening().await).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let report = pair.last_of_near().await;
    let Report::NotSocks { why, .. } = report else {
        panic!("{report:?}");
    };
    assert_eq!(why, NotSocks::Version(b'G'));
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_hold_its_place_for_long() {
    let mut pair = Pair::new(&dynamic(), Serve::default());
    let mut client = TcpStream::connect(pair.listening().await).await.unwrap();
    tokio::time::pause();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn names_are_looked_up_at_the_other_end() {
    let (listener, at) = server().await;
    let answers = Answers::new(&[&["127.0.0.1"]]);
    let serve = Serve {
        resolver: answers,
        ..allowing(&[format!("web.internal:{}", at.port())])
    };
    let mut pair = Pair::new(&dynamic(), serve);
    let mut client = TcpStream::connect(pair.listening().await).await.unwrap();
    assert_eq!(ask(&mut client, "web.internal", at.port()).await, 0);
    let (mut served, _) = listener.accept().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    served.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}
