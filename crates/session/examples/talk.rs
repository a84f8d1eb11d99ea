//! Lines between two terminals, over TCP: `head -c 32 /dev/urandom > key` at both ends, and then
//! `cargo run -p xtls-session --features tokio --example talk -- key OWN PEER listen 127.0.0.1:4000`
//! at one and `… key OWN PEER connect 127.0.0.1:4000` at the other. OWN and PEER are full addresses.

use std::error::Error;
use std::fs;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::io::{BufReader, stdin, stdout};
use tokio::net::{TcpListener, TcpStream};
use xtls_session::{Binding, Close, Config, Event, Service, Session, Verdict, io::Connection};
use xtls_stanza::{Address, Body, Kind, Stanza};
use xtls_tls::{Identity, Role, Tls, trust};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [key, own, peer, verb, at] = args.as_slice() else {
        return Err("usage: talk KEY_FILE OWN PEER listen|connect HOST:PORT".into());
    };
    let key: [u8; 32] = fs::read(key)?
        .try_into()
        .map_err(|_| "a key has 32 bytes")?;
    let (role, socket) = match verb.as_str() {
        "connect" => (Role::Client, TcpStream::connect(at).await?),
        "listen" => (Role::Server, TcpListener::bind(at).await?.accept().await?.0),
        _ => return Err("listen or connect".into()),
    };
    let connection = Connection::new(session(key, own, peer, role)?, socket);
    let close = talk(connection, BufReader::new(stdin()), stdout()).await?;
    eprintln!(
        "{}, and of what was said here: {:?}",
        close.why, close.receipt
    );
    Ok(())
}

pub(crate) fn session(key: [u8; 32], own: &str, peer: &str, role: Role) -> Result<Session> {
    let (own, peer) = (Address::new(own)?, Address::new(peer)?);
    let identity = Identity::generate(own.bare(), &key.into(), 1_767_225_600)?;
    let tls = xtls_tls::Config::with_defaults(identity)?;
    let (sid, service) = ("talk".to_owned(), Service::stanzas());
    let binding = Binding {
        own,
        peer,
        sid,
        service,
        role,
    };
    let expect = binding.expect(trust::Store::new(), trust::Policy::Ask);
    let tls = Tls::new(role, &tls, expect)?;
    let now = tokio::time::Instant::now().into_std();
    Ok(Session::new(binding, tls, Config::default(), now))
}

pub(crate) async fn talk(
    mut connection: Connection<impl AsyncRead + AsyncWrite + Unpin>,
    input: impl AsyncBufRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> Result<Close> {
    let (mut lines, mut may_speak) = (input.lines(), false);
    loop {
        tokio::select! {
            event = connection.next() => match event.ok_or("it has ended")? {
                Event::Judge(who) => {
                    // In earnest, a person compares it over another channel, and the pin is kept.
                    eprintln!("{} has the key {}", who.peer, who.fingerprint);
                    connection.judge(who.fingerprint, Verdict::Accept)?;
                }
                Event::Ready | Event::Established(_) => may_speak = true,
                Event::Stanza(stanza) => {
                    for body in stanza.elements()?.iter().map(Body::read) {
                        output.write_all(format!("{}\n", body?.text).as_bytes()).await?;
                    }
                }
                Event::PeerFinished => {
                    output.flush().await?;
                    connection.took();
                }
                Event::Closed(close) => {
                    connection.next().await;
                    return Ok(close);
                }
                // What bytes, verifications and probes bring.
                Event::Readable | Event::Verify(_) | Event::Unanswered(_) | _ => {}
            },
            line = lines.next_line(), if may_speak => match line? {
                Some(line) => {
                    let body = Body::new(line).to_element();
                    connection.send(&Stanza::new(Kind::Message).with_child(&body)).await?;
                }
                None => {
                    may_speak = false;
                    connection.finish();
                }
            },
        }
    }
}
