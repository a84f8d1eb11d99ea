//! A service that says back what it hears, offered at ACCOUNT/echo to one friend; with TEXT, a call of it.
//! `cargo run -p xtls-client --example echo_service -- ACCOUNT PASSWORD_FILE FRIEND`
//! `cargo run -p xtls-client --example echo_service -- FRIEND PASSWORD_FILE ACCOUNT/echo TEXT`

use std::{fs, io};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split, stdout};
use xtls_client::service::{Call, Caller, Offer, Services};
use xtls_client::stanza::Address;
use xtls_client::tls::{self, trust::Policy};
use xtls_client::{Accept, Client, Config, Home, Pins, Uplink, uplink::normalise, xmpp};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [account, password, peer, text @ ..] = args.as_slice() else {
        return Err("usage: echo_service ACCOUNT PASSWORD_FILE PEER [TEXT]".into());
    };
    let (keys, peer) = (Home::at("keys"), normalise(peer)?);
    let password = fs::read_to_string(password)?.trim().to_owned().into();
    let options = xmpp::Options::new(&normalise(account)?, password);
    if let [text] = text {
        let answer = call(xmpp::connect(options).await?, &keys, &peer, text).await?;
        return Ok(stdout().write_all(answer.as_bytes()).await?);
    }
    let link = xmpp::connect(options.resource("echo")).await?;
    offer(link, &keys, &peer, async {
        drop(tokio::signal::ctrl_c().await)
    })
    .await
}

/// Answers one call.
async fn echo(call: Call) -> io::Result<()> {
    eprintln!("{} calls", call.peer().address);
    let (mut reader, mut writer) = split(call);
    copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

pub(crate) async fn offer(
    link: impl Uplink + 'static,
    keys: &Home,
    friend: &Address,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let (config, pins) = config(&link, keys)?;
    let config = config.accept(Accept::Only([friend.to_bare()].into()));
    let services = Services::new().offer(Offer::new("echo", echo).at_most(8, 2));
    let (_client, _incoming, host) = services.start(link, config, pins)?;
    Ok(host.run(stop).await?)
}

pub(crate) async fn call(
    link: impl Uplink + 'static,
    keys: &Home,
    peer: &Address,
    text: &str,
) -> Result<String> {
    let (config, pins) = config(&link, keys)?;
    let (client, _incoming, task) = Client::start(link, config, pins)?;
    let mut call = Caller::new(&client, peer, "echo").reach().await?;
    call.write_all(text.as_bytes()).await?;
    call.shutdown().await?;
    let mut answer = String::new();
    call.read_to_string(&mut answer).await?;
    client.stop().await;
    task.await??;
    Ok(answer)
}

fn config(link: &impl Uplink, keys: &Home) -> Result<(Config, Pins)> {
    let pins = keys.pins(link.bound())?;
    let tls = tls::Config::with_defaults(keys.identity(link.bound())?)?;
    Ok((Config::new(tls, pins.store()).policy(Policy::Tofu), pins))
}
