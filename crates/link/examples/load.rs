//! How fast a server passes stanzas from an account to itself, with so many under way:
//! `cargo run --release -p xtls-link --example load -- ACCOUNT PASSWORD_FILE STANZAS UNDER_WAY [SERVER:PORT CA_FILE]`

use std::{error::Error, fs, time::Instant};

use xtls_link::stanza::{Body, Content, Envelope, MessageKind, Payload, normalise::normalise};
use xtls_link::{LinkEvent, Options, connect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [account, password, stanzas, under_way, server @ ..] = args.as_slice() else {
        return Err(
            "usage: load ACCOUNT PASSWORD_FILE STANZAS UNDER_WAY [SERVER:PORT CA_FILE]".into(),
        );
    };
    let password = fs::read_to_string(password)?.trim().to_owned().into();
    let mut options = Options::new(&normalise(account)?, password);
    if let [server, ca_file] = server {
        let (host, port) = server.rsplit_once(':').ok_or("SERVER:PORT")?;
        options = options.server(host, port.parse()?).ca_file(ca_file);
    }
    let mut link = connect(options).await?;
    let (stanzas, under_way): (u64, u64) = (stanzas.parse()?, under_way.parse()?);
    let (start, mut sent, mut came) = (Instant::now(), 0, 0);
    while came < stanzas {
        while sent < stanzas && sent - came < under_way {
            let content = Content::Message {
                kind: MessageKind::Chat,
                payloads: vec![Payload::from(Body::new("x".repeat(200)))],
                error: None,
            };
            let (to, id) = (Some(link.bound().clone()), sent.to_string());
            link.send(Envelope {
                from: None,
                to,
                id,
                content,
            })
            .await?;
            sent += 1;
        }
        if let LinkEvent::Envelope(message) = link.next().await? {
            came += u64::from(message.body(None).is_some());
        }
    }
    let stanzas = u32::try_from(stanzas)?;
    let speed = f64::from(stanzas) / start.elapsed().as_secs_f64();
    eprintln!("{speed:.0} stanzas a second");
    Ok(link.close().await?)
}
