//! HTTP at an XMPP address, for one friend; that a request comes from them is proven:
//! `cargo run -p xtls-client --features axum --example service -- ACCOUNT PASSWORD_FILE FRIEND`

use std::{error::Error, fs};

use axum::{Router, extract::ConnectInfo, routing::get};
use xtls_client::http::Caller;
use xtls_client::session::{Mode, Service};
use xtls_client::tls::{self, trust::Policy};
use xtls_client::{Accept, Client, Config, Home, Uplink, uplink::normalise, xmpp};

type Result = std::result::Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [account, password, friend] = args.as_slice() else {
        return Err("usage: service ACCOUNT PASSWORD_FILE FRIEND".into());
    };
    let password = fs::read_to_string(password)?.trim().to_owned().into();
    let options = xmpp::Options::new(&normalise(account)?, password).resource("http");
    serve(xmpp::connect(options).await?, &Home::at("keys"), friend).await
}

pub(crate) async fn serve(link: impl Uplink + 'static, keys: &Home, friend: &str) -> Result {
    let pins = keys.pins(link.bound())?;
    let tls = tls::Config::with_defaults(keys.identity(link.bound())?)?;
    let http = Service::new("http", Mode::Bytes);
    let friends = Accept::Only([normalise(friend)?.to_bare()].into());
    let config = Config::new(tls, pins.store()).policy(Policy::Tofu);
    let config = config.service(http.clone()).accept(friends);
    let (client, _incoming, task) = Client::start(link, config, pins)?;
    let whoami = async |ConnectInfo(who): ConnectInfo<Caller>| who.peer().address.to_string();
    let app = Router::new().route("/", get(whoami));
    let app = app.into_make_service_with_connect_info::<Caller>();
    let server = axum::serve(client.listen(http).await?, app);
    Ok(server
        .with_graceful_shutdown(async { drop(task.await) })
        .await?)
}
