//! Receives files over TCP from the example `send`, from whoever connects, and one transfer after the other.
//!
//! ```sh
//! cargo run -p xtls-files --example receive -- localhost:7000 folder
//! ```

#![allow(clippy::print_stdout, reason = "a program")]

use tokio::net::TcpListener;
use xtls_files::{Decision, Destination, Offer, Receiving, receive};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: receive HOST:PORT FOLDER";
    let listener = TcpListener::bind(arguments.next().ok_or(usage)?).await?;
    let folder = arguments.next().ok_or(usage)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, from) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A tunnel has a proven address here.
        let destination = Destination::new(&folder, from.ip().to_string());
        let decide = |offer: Offer| async move {
            println!("{} files, {} bytes", offer.totals.files, offer.totals.bytes);
            Decision::Accept
        };
        let received = receive(stream, destination, decide, |event| {
            if let Receiving::Failed { entry, told, .. } = event {
                println!("{} failed: {told}", entry.path);
            }
        });
        match received.await {
            Ok(received) => println!("complete: {:?}", received.outcome),
            Err(error) => println!("{error}"),
        }
    }
}
