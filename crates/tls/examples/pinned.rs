//! Two people who know each other's keys talk over TCP, and export a secret that only they have:
//! `cargo run -p xtls-tls --features tokio --example pinned`

use std::error::Error;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use xtls_tls::trust::{Level, Method, Policy, Store};
use xtls_tls::zeroize::Zeroizing;
use xtls_tls::{Config, Expectations, Identity, Role, Tls, io::Stream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // In earnest, seeds come from a secure random source, once, and are kept.
    let alice = Identity::generate("alice@example.org", &Zeroizing::new([1; 32]), 1_767_225_600)?;
    let bob = Identity::generate("bob@example.net", &Zeroizing::new([2; 32]), 1_767_225_600)?;
    let (alice, bob) = (Arc::new(alice), Arc::new(bob));
    let client = end(Role::Client, &alice, &bob)?;
    let server = end(Role::Server, &bob, &alice)?;
    let (here, there) = talk(client, server).await?;
    assert_eq!(here, there);
    eprintln!("both ends have exported {here:02x?}");
    Ok(())
}

pub(crate) fn end(role: Role, own: &Arc<Identity>, peer: &Identity) -> Result<Tls, Box<dyn Error>> {
    let mut pins = Store::new();
    let level = Level::Verified(Method::Fingerprint);
    pins.pin(peer.jid(), peer.fingerprint(), level, 1_767_225_600)?;
    let mut expect = Expectations::new(own.jid(), peer.jid(), pins, Policy::Pinned);
    expect.alpn = b"pinned".to_vec();
    expect.alpn_required = true;
    Ok(Tls::new(
        role,
        &Config::with_defaults(own.clone())?,
        expect,
    )?)
}

/// What both ends export.
pub(crate) async fn talk(client: Tls, server: Tls) -> Result<([u8; 32], [u8; 32]), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, _) = listener.accept().await?;
    let shout = async {
        let mut stream = Stream::handshake(server, far).await?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await?;
        stream.write_all(heard.to_uppercase().as_bytes()).await?;
        stream.shutdown().await?;
        export(&stream)
    };
    let ask = async {
        let mut stream = Stream::handshake(client, near).await?;
        stream.write_all(b"can you hear me?").await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert_eq!(answer, "CAN YOU HEAR ME?");
        export(&stream)
    };
    tokio::try_join!(ask, shout)
}

fn export(stream: &Stream<TcpStream>) -> Result<[u8; 32], Box<dyn Error>> {
    let mut secret = [0; 32];
    stream.tls().export("EXPORTER-pinned", b"", &mut secret)?;
    Ok(secret)
}
