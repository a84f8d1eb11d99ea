//! A service with a domain of its own behind a server (XEP-0114), which answers what any address of it is told:
//! `cargo run -p xtls-link --features component --example component -- DOMAIN SECRET_FILE [PORT]`

use std::{error::Error, fs};

use xtls_link::stanza::{Address, Condition, Content, Envelope, MessageKind, StanzaError};
use xtls_link::{ComponentLink, ComponentOptions, LinkEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [domain, secret, port @ ..] = args.as_slice() else {
        return Err("usage: component DOMAIN SECRET_FILE [PORT]".into());
    };
    let secret = fs::read_to_string(secret)?.trim().to_owned().into();
    let mut options = ComponentOptions::new(&Address::new(domain)?, secret);
    if let [port] = port {
        options = options.server("localhost", port.parse()?);
    }
    let mut link = ComponentLink::connect(options).await?;
    eprintln!("this is {}", link.domain());
    loop {
        let event = link.next().await?;
        let LinkEvent::Envelope(heard) = event else {
            eprintln!("{event:?}");
            continue;
        };
        if let Some(answer) = answer(&heard) {
            link.send(&answer).await?;
        }
    }
}

/// What is said comes back from the address that it was said to, and nobody waits for an answer in vain.
pub(crate) fn answer(heard: &Envelope) -> Option<Envelope> {
    match &heard.content {
        Content::Message { kind, .. } if *kind != MessageKind::Error => Some(Envelope {
            from: heard.to.clone(),
            to: heard.from.clone(),
            id: heard.id.clone(),
            content: Content::Message {
                kind: *kind,
                payloads: vec![heard.body(None)?.into()],
                error: None,
            },
        }),
        Content::Get(_) | Content::Set(_) => {
            let condition = Condition::ServiceUnavailable;
            Some(heard.error(StanzaError::new(condition.default_type(), condition)))
        }
        Content::Result(_)
        | Content::Error(_)
        | Content::Message { .. }
        | Content::Presence { .. } => None,
    }
}
