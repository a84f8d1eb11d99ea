//! Asks the service of `service.rs`:
//! `cargo run -p xtls-client --features hyper --example ask -- ACCOUNT PASSWORD_FILE FRIEND/http /`

use std::{error::Error, fs};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncWriteExt as _, stdout};
use xtls_client::session::{Mode, Service};
use xtls_client::tls::{self, trust::Policy};
use xtls_client::{Client, Config, Home, Uplink, http::HttpConnector, uplink::normalise, xmpp};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [account, password, peer, path] = args.as_slice() else {
        return Err("usage: ask ACCOUNT PASSWORD_FILE FRIEND/http PATH".into());
    };
    let password = fs::read_to_string(password)?.trim().to_owned().into();
    let link = xmpp::connect(xmpp::Options::new(&normalise(account)?, password)).await?;
    let answer = ask(link, &Home::at("keys"), peer, path).await?;
    Ok(stdout().write_all(&answer).await?)
}

/// The body of the answer.
pub(crate) async fn ask(
    link: impl Uplink + 'static,
    keys: &Home,
    peer: &str,
    path: &str,
) -> Result<Bytes> {
    let pins = keys.pins(link.bound())?;
    let tls = tls::Config::with_defaults(keys.identity(link.bound())?)?;
    let config = Config::new(tls, pins.store()).policy(Policy::Tofu);
    let (client, _incoming, task) = Client::start(link, config, pins)?;
    let http = Service::new("http", Mode::Bytes);
    let connector = HttpConnector::new(client.clone(), http, normalise(peer)?);
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let response = http
        .get(format!("http://xmpp.invalid{path}").parse()?)
        .await?;
    let body = response.into_body().collect().await?.to_bytes();
    client.stop().await;
    task.await??;
    Ok(body)
}
