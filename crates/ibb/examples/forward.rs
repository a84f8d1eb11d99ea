//! Forwards TCP connections through bytestreams, as `ssh -L` does. Both ends run here, with channels in place of servers.
//!
//! `cargo run -p xtls-ibb --features tokio --example forward -- 127.0.0.1:8080 127.0.0.1:80`

use std::error::Error;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use xtls_ibb::io::{self, Endpoint, Listener};
use xtls_ibb::stanza::Address;
use xtls_ibb::{Allow, Config, Mux, OpenOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(local), Some(remote)) = (arguments.next(), arguments.next()) else {
        return Err("usage: forward LOCAL:PORT REMOTE:PORT".into());
    };
    let juliet = Address::new("juliet@capulet.example/balcony")?;
    let (endpoint, listener) = endpoints(&juliet)?;
    tokio::spawn(serve(listener, remote));
    let tcp = TcpListener::bind(&local).await?;
    loop {
        let (mut socket, _) = tcp.accept().await?;
        let (endpoint, juliet) = (endpoint.clone(), juliet.clone());
        tokio::spawn(async move {
            let mut stream = endpoint.open(&juliet, OpenOptions::default()).await?;
            copy_bidirectional(&mut socket, &mut stream).await
        });
    }
}

/// The far end: connects to `remote` for each stream that is opened.
async fn serve(mut listener: Listener, remote: String) {
    while let Some(incoming) = listener.next().await {
        let remote = remote.clone();
        tokio::spawn(async move {
            let mut socket = TcpStream::connect(remote).await?;
            let mut stream = incoming.accept(None)?;
            copy_bidirectional(&mut socket, &mut stream).await
        });
    }
}

/// The seeds must be random where a stranger could guess them.
fn endpoints(juliet: &Address) -> Result<(Endpoint, Listener), Box<dyn Error>> {
    let romeo = Address::new("romeo@montague.example/orchard")?;
    let config = Config::default()
        .max_streams_per_peer(64)
        .opens_per_minute(240);
    let (to_juliet, from_romeo) = mpsc::channel(16);
    let (to_romeo, from_juliet) = mpsc::channel(16);
    let near = Mux::new(romeo.clone(), config.clone(), [1; 32]);
    let mut far = Mux::new(juliet.clone(), config, [2; 32]);
    far.allow(Allow::Only([romeo.to_bare()].into()));
    let (endpoint, _, driver) = io::endpoint(near, from_juliet, to_juliet);
    tokio::spawn(driver.run());
    let (_, listener, driver) = io::endpoint(far, from_romeo, to_romeo);
    tokio::spawn(driver.run());
    Ok((endpoint, listener))
}
