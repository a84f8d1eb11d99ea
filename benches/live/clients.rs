//! Two clients on one server, as the program starts them, and a benchmark of them through each server in turn.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use xtls_client::router::Config;
use xtls_client::session::{Mode, Service};
use xtls_client::tls::rustls::time_provider::DefaultTimeProvider;
use xtls_client::tls::trust::{Level, Method, Policy};
use xtls_client::tls::{self, Identity};
use xtls_client::{Accept, Client, Incoming, Pins, Sockets, Tunnel};
use zeroize::Zeroizing;

use crate::link::Server;

/// Two clients that know each other, of which the near one opens tunnels of bytes.
pub(crate) struct Clients {
    near: Client,
    far: Client,
    incoming: Incoming,
}

impl Clients {
    /// `with`: what each has beside the rest, sockets and settings.
    pub(crate) async fn start(
        server: &Server,
        resource: &str,
        with: impl Fn(Config) -> (Config, Sockets),
    ) -> Self {
        let (near, _) = start(server, ["romeo", "juliet"], resource, &with).await;
        let (far, incoming) = start(server, ["juliet", "romeo"], resource, &with).await;
        Self {
            near,
            far,
            incoming,
        }
    }

    /// A new tunnel, at both ends.
    pub(crate) async fn tunnel(&mut self) -> [Tunnel; 2] {
        let near = self.near.open(self.far.own()).await.expect("an open");
        let taken = async {
            let far = self.incoming.next().await.expect("a caller");
            far.established().await.expect("a known key");
            far
        };
        let (opened, far) = tokio::join!(near.established(), taken);
        opened.expect("a known key");
        [near, far]
    }
}

async fn start(
    server: &Server,
    [own, peer]: [&str; 2],
    resource: &str,
    with: impl Fn(Config) -> (Config, Sockets),
) -> (Client, Incoming) {
    let link = server.login(own, resource).await;
    let peer = format!("{peer}@{}", server.fact("domain"));
    let tls = config(key(link.bound().bare()));
    let mut pins = Pins::memory();
    let level = Level::Verified(Method::Fingerprint);
    pins.change(|store, now| store.pin(&peer, key(&peer).fingerprint(), level, now))
        .expect("a pin");
    let peer = xtls_client::uplink::normalise(&peer).expect("an address");
    let config = Config::new(tls, pins.store())
        .policy(Policy::Pinned)
        .service(Service::new("bench", Mode::Bytes))
        .accept(Accept::Only(BTreeSet::from([peer.to_bare()])));
    let (config, sockets) = with(config);
    let (client, incoming, _) = Client::start_with(link, config, pins, sockets).expect("a client");
    (client, incoming)
}

/// The key of an account, by the length of its name.
pub(crate) fn key(who: &str) -> Identity {
    let seed = Zeroizing::new([u8::try_from(who.len()).expect("a short name"); 32]);
    Identity::generate(who, &seed, 1_767_225_600).expect("an identity")
}

pub(crate) fn config(identity: Identity) -> tls::Config {
    let time = Arc::new(DefaultTimeProvider);
    tls::Config::new(Arc::new(identity), tls::default_provider(), time).expect("TLS")
}

/// A part of the benchmarks through each server that there is, with the bar that holds there.
pub(crate) async fn through_each(
    part: &str,
    check: bool,
    bars: [(&str, f64); 2],
    through: impl AsyncFn(&Server, f64) -> bool,
) -> ExitCode {
    let mut met = true;
    let mut servers = 0;
    for (variable, least) in bars {
        if let Some(server) = Server::named_in(variable) {
            servers += 1;
            met &= through(&server, least).await;
        }
    }
    if servers == 0 {
        eprintln!("please run `cargo xtask bench {part}`");
        return ExitCode::from(2);
    }
    if met || !check {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
