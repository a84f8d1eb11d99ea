//! A bot that answers what it is told, and comes back after every outage:
//! `cargo run -p xtls-link --example bot -- ACCOUNT PASSWORD_FILE`

use std::{error::Error, fs};

use xtls_link::stanza::{Content, Envelope, MessageKind, normalise::normalise};
use xtls_link::{LinkEvent, Options, connect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [account, password] = args.as_slice() else {
        return Err("usage: bot ACCOUNT PASSWORD_FILE".into());
    };
    let password = fs::read_to_string(password)?.trim().to_owned().into();
    let options = Options::new(&normalise(account)?, password).presence(Some(1));
    let mut link = connect(options).await?;
    loop {
        let event = link.next().await?;
        let LinkEvent::Envelope(heard) = event else {
            eprintln!("{event:?}");
            continue;
        };
        if let Some(answer) = echo(heard) {
            link.send(answer).await?;
        }
    }
}

fn echo(mut heard: Envelope) -> Option<Envelope> {
    let (kind, error) = (MessageKind::Chat, None);
    let payloads = vec![heard.body(None)?.into()];
    heard.content = Content::Message {
        kind,
        payloads,
        error,
    };
    heard.to = heard.from.take();
    Some(heard)
}
