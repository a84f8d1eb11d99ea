//! Gives a file to one friend, as `nc -l < FILE` does, at ACCOUNT/pipe and as it is then; without a file, fetches it from there. Both
//! ends know whether all of it was taken.
//! `cargo run -p xtls-client --example pipe_service -- ACCOUNT PASSWORD_FILE FRIEND FILE`
//! `cargo run -p xtls-client --example pipe_service -- FRIEND PASSWORD_FILE ACCOUNT/pipe`

use std::{error::Error, fs, path::PathBuf};

use tokio::io::{AsyncWrite, empty, sink, stdout};
use xtls_client::service::{Call, Caller, Offer, Services};
use xtls_client::stanza::Address;
use xtls_client::tls::{self, trust::Policy};
use xtls_client::{Accept, Client, Config, Home, Pins, Uplink, uplink::normalise, xmpp};
use xtls_pipe::{Options, SERVICE, run};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [account, password, peer, file @ ..] = args.as_slice() else {
        return Err("usage: pipe_service ACCOUNT PASSWORD_FILE PEER [FILE]".into());
    };
    let (keys, peer) = (Home::at("keys"), normalise(peer)?);
    let password = fs::read_to_string(password)?.trim().to_owned().into();
    let options = xmpp::Options::new(&normalise(account)?, password);
    if let [file] = file {
        let link = xmpp::connect(options.resource("pipe")).await?;
        let stop = async { drop(tokio::signal::ctrl_c().await) };
        return give(link, &keys, &peer, file.into(), stop).await;
    }
    fetch(xmpp::connect(options).await?, &keys, &peer, stdout()).await
}

pub(crate) async fn give(
    link: impl Uplink + 'static,
    keys: &Home,
    friend: &Address,
    file: PathBuf,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let (config, pins) = config(&link, keys)?;
    let config = config.accept(Accept::Only([friend.to_bare()].into()));
    let answer = move |call: Call| {
        let content = fs::read(&file);
        async move {
            let outcome = run(call, &*content?, sink(), Options::default()).await?;
            eprintln!("{} bytes were taken", outcome.traffic.taken);
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        }
    };
    let services = Services::new().offer(Offer::new(SERVICE, answer));
    let (_client, _incoming, host) = services.start(link, config, pins)?;
    Ok(host.run(stop).await?)
}

pub(crate) async fn fetch(
    link: impl Uplink + 'static,
    keys: &Home,
    peer: &Address,
    to: impl AsyncWrite + Unpin,
) -> Result<()> {
    let (config, pins) = config(&link, keys)?;
    let (client, _incoming, task) = Client::start(link, config, pins)?;
    let call = Caller::new(&client, peer, SERVICE).reach().await?;
    let fetched = run(call, empty(), to, Options::default()).await;
    client.stop().await;
    task.await??;
    fetched?;
    Ok(())
}

fn config(link: &impl Uplink, keys: &Home) -> Result<(Config, Pins)> {
    let pins = keys.pins(link.bound())?;
    let tls = tls::Config::with_defaults(keys.identity(link.bound())?)?;
    Ok((Config::new(tls, pins.store()).policy(Policy::Tofu), pins))
}
