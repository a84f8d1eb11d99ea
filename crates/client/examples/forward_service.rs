//! Lets one friend reach a place through this machine, at ACCOUNT/forward; at a full address, reaches it: as `ssh -L` does.
//! `cargo run -p xtls-client --example forward_service -- ACCOUNT PASSWORD_FILE FRIEND HOST:PORT`
//! `cargo run -p xtls-client --example forward_service -- FRIEND PASSWORD_FILE ACCOUNT/forward PORT:HOST:PORT`

use std::fs;

use xtls_client::service::{Call, Caller, Offer, Services};
use xtls_client::stanza::Address;
use xtls_client::tls::{self, trust::Policy};
use xtls_client::{Accept, Client, Config, Home, Pins, Uplink, uplink::normalise, xmpp};
use xtls_forward::{Allowed, Options, Rule, SERVICE, Serve, forward, serve};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [account, password, peer, place] = args.as_slice() else {
        return Err("usage: forward_service ACCOUNT PASSWORD_FILE PEER [PORT:]HOST:PORT".into());
    };
    let (keys, peer) = (Home::at("keys"), normalise(peer)?);
    let password = fs::read_to_string(password)?.trim().to_owned().into();
    let options = xmpp::Options::new(&normalise(account)?, password);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    if peer.resource().is_some() {
        let (link, rule) = (xmpp::connect(options).await?, place.parse()?);
        return reach(link, &keys, &peer, Rule::Local(rule), stop).await;
    }
    let link = xmpp::connect(options.resource("forward")).await?;
    offer(link, &keys, &peer, place.parse()?, stop).await
}

pub(crate) async fn offer(
    link: impl Uplink + 'static,
    keys: &Home,
    friend: &Address,
    allowed: Allowed,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let (config, pins) = config(&link, keys)?;
    let config = config.accept(Accept::Only([friend.to_bare()].into()));
    let answer = move |call: Call| {
        let mut only = Serve::default();
        only.allow.push(allowed.clone());
        serve(call, only)
    };
    let services = Services::new().offer(Offer::new(SERVICE, answer));
    let (_client, _incoming, host) = services.start(link, config, pins)?;
    Ok(host.run(stop).await?)
}

pub(crate) async fn reach(
    link: impl Uplink + 'static,
    keys: &Home,
    peer: &Address,
    rule: Rule,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let (config, pins) = config(&link, keys)?;
    let (client, _incoming, task) = Client::start(link, config, pins)?;
    let caller = Caller::new(&client, peer, SERVICE);
    let options = Options {
        until: Box::pin(stop),
        ..Options::default()
    };
    // It calls again by itself when a tunnel is lost.
    let call = || async { Ok(caller.call().await?) };
    let ended = forward(call, vec![rule], options).await;
    client.stop().await;
    task.await??;
    Ok(ended?)
}

fn config(link: &impl Uplink, keys: &Home) -> Result<(Config, Pins)> {
    let pins = keys.pins(link.bound())?;
    let tls = tls::Config::with_defaults(keys.identity(link.bound())?)?;
    Ok((Config::new(tls, pins.store()).policy(Policy::Tofu), pins))
}
