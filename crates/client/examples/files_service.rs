//! Takes files from one friend into a folder, at ACCOUNT/files; with files, sends them there, from where it was cut.
//! `cargo run -p xtls-client --example files_service -- ACCOUNT PASSWORD_FILE FRIEND FOLDER`
//! `cargo run -p xtls-client --example files_service -- FRIEND PASSWORD_FILE ACCOUNT/files FILE…`

use std::{fs, path::PathBuf};

use xtls_client::service::{Call, Caller, Offer, Services};
use xtls_client::stanza::Address;
use xtls_client::tls::{self, trust::Policy};
use xtls_client::{Accept, Client, Config, Home, Pins, Uplink, uplink::normalise, xmpp};
use xtls_files::{Decision, Destination, Outcome, ReceiveError, SERVICE, Sources, receive};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [account, password, peer, paths @ ..] = args.as_slice() else {
        return Err("usage: files_service ACCOUNT PASSWORD_FILE PEER PATH…".into());
    };
    let (keys, peer) = (Home::at("keys"), normalise(peer)?);
    let password = fs::read_to_string(password)?.trim().to_owned().into();
    let options = xmpp::Options::new(&normalise(account)?, password);
    if peer.resource().is_some() {
        let sent = send(xmpp::connect(options).await?, &keys, &peer, paths).await?;
        eprintln!("stored there: {}", sent.done);
        return Ok(());
    }
    let link = xmpp::connect(options.resource("files")).await?;
    let (folder, stop) = (PathBuf::from(paths.concat()), tokio::signal::ctrl_c());
    take(link, &keys, &peer, folder, async { drop(stop.await) }).await
}

pub(crate) async fn take(
    link: impl Uplink + 'static,
    keys: &Home,
    friend: &Address,
    folder: PathBuf,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let (config, pins) = config(&link, keys)?;
    let config = config.accept(Accept::Only([friend.to_bare()].into()));
    let store = move |call: Call| {
        let destination = Destination::new(&folder, call.peer().address.bare());
        async {
            let stored = receive(call, destination, async |_| Decision::Accept, |_| {}).await?;
            eprintln!("stored here: {}", stored.outcome.done);
            Ok::<_, ReceiveError>(())
        }
    };
    // One at a time: two could mean the same file.
    let services = Services::new().offer(Offer::new(SERVICE, store).at_most(1, 1));
    let (_client, _incoming, host) = services.start(link, config, pins)?;
    Ok(host.run(stop).await?)
}

pub(crate) async fn send(
    link: impl Uplink + 'static,
    keys: &Home,
    peer: &Address,
    paths: &[String],
) -> Result<Outcome> {
    let (config, pins) = config(&link, keys)?;
    let (client, _incoming, task) = Client::start(link, config, pins)?;
    let caller = Caller::new(&client, peer, SERVICE);
    let send = async |call| Ok(xtls_files::send(call, Sources::collect(paths)?, |_| {}).await?);
    let outcome: Result<Outcome> = caller.keep(send).await;
    client.stop().await;
    task.await??;
    outcome
}

fn config(link: &impl Uplink, keys: &Home) -> Result<(Config, Pins)> {
    let pins = keys.pins(link.bound())?;
    let tls = tls::Config::with_defaults(keys.identity(link.bound())?)?;
    Ok((Config::new(tls, pins.store()).policy(Policy::Tofu), pins))
}
