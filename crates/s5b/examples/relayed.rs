//! Two ends and a relay between them, on this machine: what XEP-0065 does beside the stanzas.
//!
//! `cargo run -p xtls-s5b --features tokio --example relayed`

use std::error::Error;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpListener;
use xtls_s5b::xtls_reach::Reach;
use xtls_s5b::xtls_stanza::Address;
use xtls_s5b::xtls_stanza::s5b::{Host, Sid, Streamhost};
use xtls_s5b::{Destination, accept, connect, tokio};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let host = Streamhost {
        jid: Address::new("proxy.montague.example")?,
        host: Host::new("127.0.0.1").ok_or("no host")?,
        port: listener.local_addr()?.port().try_into()?,
    };
    let destination = Destination::new(
        &Sid::new("k3v9x2c7q1m4")?,
        &Address::new("romeo@montague.example/orchard")?,
        &Address::new("juliet@capulet.example/balcony")?,
    );

    // Two connections that ask for the same belong together.
    let relay = async {
        let (mut one, _) = listener.accept().await?;
        let asked = accept(&mut one, |_| true).await?;
        let (mut other, _) = listener.accept().await?;
        accept(&mut other, |also| *also == asked).await?;
        copy_bidirectional(&mut one, &mut other).await?;
        Ok::<(), Box<dyn Error>>(())
    };
    let juliet = async {
        let mut stream = connect(&host, destination, &[Reach::Loopback]).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        eprintln!("juliet reads: {text}");
        Ok::<(), Box<dyn Error>>(())
    };
    let romeo = async {
        let mut stream = connect(&host, destination, &[Reach::Loopback]).await?;
        stream.write_all(b"But, soft!").await?;
        stream.shutdown().await?;
        Ok::<(), Box<dyn Error>>(())
    };
    tokio::try_join!(relay, juliet, romeo)?;
    Ok(())
}
