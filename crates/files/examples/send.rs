//! Sends files over TCP to the example `receive`. TCP proves nothing about who is at the other end: a tunnel does.
//!
//! ```sh
//! cargo run -p xtls-files --example send -- localhost:7000 photos report.pdf
//! ```

#![allow(clippy::print_stdout, reason = "a program")]

use tokio::net::TcpStream;
use xtls_files::{Sending, Sources, send};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: send HOST:PORT FILE…")?;
    let sources = Sources::collect(arguments)?;
    for left_out in sources.left_out() {
        println!("{} is not sent: {}", left_out.path.display(), left_out.why);
    }
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stored = 0;
    let events = |event: Sending<'_>| {
        if let Sending::Stored { total, .. } = event {
            stored = total;
        } else if let Sending::Failed { entry, told, .. } = event {
            println!("{} failed: {told}", entry.path);
        } else if let Sending::Began { entry, offset, .. } = event
            && offset > 0
        {
            println!("{} from byte {offset}", entry.path);
        }
    };
    let outcome = send(stream, sources, events).await;
    println!("{stored} bytes are on the receiver's disk");
    println!("complete: {:?}", outcome?);
    Ok(())
}
