//! A server of one account for clients on this machine, which answers what they say as if the addressee had said it:
//! `cargo run -p xtls-link --features serve --example serve -- PORT ACCOUNT PASSWORD_FILE`

use std::sync::Arc;
use std::{error::Error, fs};

use xtls_link::stanza::{Condition, Content, Envelope, MessageKind, StanzaError, normalise};
use xtls_link::{Accounts, Arrival, Listener, Login, ServeError, bytes::Bytes, stanza::Address};

/// The one account, and its password.
struct Owner {
    account: Address,
    password: String,
}

impl Accounts for Owner {
    async fn let_in(&self, login: &Login) -> bool {
        // Both are looked at, so that the time says nothing about the account either.
        login.is_password(&self.password) & (*login.account() == self.account)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, account, password] = args.as_slice() else {
        return Err("usage: serve PORT ACCOUNT PASSWORD_FILE".into());
    };
    let account = normalise::normalise(account)?;
    let domain = Address::new(account.domain())?;
    let password = fs::read_to_string(password)?.trim().to_owned();
    let owner = Arc::new(Owner { account, password });
    let address = ([127, 0, 0, 1], port.parse()?).into();
    let listener = Listener::bind(address, &[domain]).await?;
    loop {
        let (arrival, owner) = (listener.accept().await?, Arc::clone(&owner));
        tokio::spawn(async move {
            let ended = serve(arrival, &owner).await;
            eprintln!("{ended:?}");
        });
    }
}

async fn serve(arrival: Arrival, owner: &Owner) -> Result<(), ServeError> {
    let mut client = arrival.log_in(owner).await?;
    eprintln!("{} is here", client.address());
    while let Some(stanza) = client.next().await? {
        if let Some(answer) = answer(&stanza) {
            client.send(&answer).await?;
        }
    }
    Ok(())
}

/// What comes back. Requests are for somebody who is not there.
fn answer(stanza: &Bytes) -> Option<Vec<u8>> {
    let mut heard = Envelope::read(stanza).ok()?;
    let answer = match &heard.content {
        Content::Message { kind, .. } if *kind != MessageKind::Error => {
            heard.from = heard.to.take();
            heard
        }
        Content::Get(_) | Content::Set(_) => {
            let condition = Condition::ServiceUnavailable;
            heard.error(StanzaError::new(condition.default_type(), condition))
        }
        Content::Result(_)
        | Content::Error(_)
        | Content::Message { .. }
        | Content::Presence { .. } => return None,
    };
    let mut octets = Vec::new();
    answer.write(&mut octets);
    Some(octets)
}
