//! Pipes standard input and output through a bytestream without TLS, over a real server. With a full address it opens,
//! without it waits for one stream, from anybody.
//!
//! `cargo run -p xtls-client --example bytestreams -- ACCOUNT PASSWORD_FILE HOST:PORT CA_FILE [PEER]`

use std::error::Error;

use tokio::io::{AsyncWriteExt as _, copy, split, stdin, stdout};
use xtls_client::ibb::{Allow, Config, OpenOptions};
use xtls_client::uplink::normalise;
use xtls_client::xmpp::{self, Options};
use xtls_client::{bytestreams, unix_now};
use zeroize::Zeroizing;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (account, password_file, server, ca_file, peer) = match args.as_slice() {
        [account, password, server, ca] => (account, password, server, ca, None),
        [account, password, server, ca, peer] => (account, password, server, ca, Some(peer)),
        _ => return Err("bytestreams ACCOUNT PASSWORD_FILE HOST:PORT CA_FILE [PEER]".into()),
    };
    let password = Zeroizing::new(std::fs::read_to_string(password_file)?.trim().to_owned());
    let (host, port) = server.rsplit_once(':').ok_or("HOST:PORT")?;
    let options = Options::new(&normalise(account)?, password)
        .resource(format!("bytestreams-{}", unix_now()))
        .server(host, port.parse()?)
        .ca_file(ca_file);
    let link = xmpp::connect(options).await?;
    eprintln!("this is {}", link.bound());

    let (streams, mut listener, task) = bytestreams::start(link, Config::default())?;
    streams.with_mux(|mux| mux.allow(Allow::Anyone));
    let stream = match peer {
        Some(peer) => {
            streams
                .open(&normalise(peer)?, OpenOptions::default())
                .await?
        }
        None => listener
            .next()
            .await
            .ok_or("the link has ended")?
            .accept(None)?,
    };
    let (mut from, mut to) = split(stream);
    // In-Band Bytestreams know no half-close: whoever has said everything ends the conversation.
    let say = async {
        copy(&mut stdin(), &mut to).await?;
        to.shutdown().await
    };
    let (mut out, mut heard) = (stdout(), Ok(0));
    tokio::select! {
        said = say => said?,
        ended = copy(&mut from, &mut out) => heard = ended,
    }
    // What came before our close was answered is still there.
    copy(&mut from, &mut out).await?;
    heard?;
    out.flush().await?;
    drop((from, to, streams, listener));
    task.await??;
    Ok(())
}
