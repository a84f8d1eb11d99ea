//! From options to a running client.

use std::io::IsTerminal as _;
use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinHandle;
use xtls_client::router::{Closed, Config, PathConfig, TurnedAway};
use xtls_client::session::{Mode, Service, Violation};
use xtls_client::tls::trust::{Judgement, Policy, Store};
use xtls_client::tls::{Fingerprint, Identity};
use xtls_client::xmpp::{self, Options, Security};
use xtls_client::{
    Accept, Client, Home, HomeError, Incoming, LinkError, LinkState, LinkStates, Pins,
    SocketOptions, Sockets,
};
use xtls_stanza::Address;
use xtls_stanza::ibb::{BlockSize, Carrier};
use xtls_stanza::path::Takes;
use zeroize::Zeroizing;

use crate::account;
use crate::args::{
    Acceptable, ConversationArgs, ListenArgs, PathArgs, Server, Transport, TunnelArgs,
};
use crate::ask::Person;
use crate::failure::{Code, Failure, chain};
use crate::login;
use crate::peer::Peer;
use crate::record::{Recorded, Recorder};
use crate::say::Say;
use crate::suggest::Suggest;

/// A running client, and what its user wants to know about it.
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) incoming: Incoming,
    pub(crate) task: JoinHandle<Result<(), LinkError>>,
    pub(crate) own: Address,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) recorder: Option<Recorder>,
}

/// Logs in and starts the client for some services, of which the first is that of its calls. A missing key is created only after the login, so that a nonexistent or mistyped account
/// gets none. Problems with an existing key are reported before the login.
pub(crate) async fn connect(
    talk: &ConversationArgs,
    person: &Person,
    services: impl IntoIterator<Item = Service>,
) -> Result<Link, Failure> {
    let home = account::home(&talk.account)?;
    let account = account::account(&talk.account, &home)?;
    let known = match home.key(&account)? {
        Some(identity) => Some((identity, home.pins(&account)?)),
        None => None,
    };
    if let Some(peer) = &talk.peer {
        let store = known.as_ref().map(|(_, pins)| pins.store());
        pinned(peer, store.as_deref(), &Suggest::new(&talk.account))?;
    }
    let recorder = match &talk.tunnel.record {
        Some(path) => Some(Recorder::create(path, talk.tunnel.record_plaintext)?),
        None => None,
    };
    let password = account::password(&talk.server, &account, person).await?;
    let resource = match &talk.server.resource {
        Some(resource) => resource.clone(),
        None if talk.listen => LISTENER.to_owned(),
        None => random_resource()?,
    };
    let options = options(&talk.server, &account, password, resource)?;
    let uplink = xmpp::connect(options)
        .await
        .map_err(|error| login::failure(&error))?;
    let made = match known {
        Some(known) => Ok(known),
        None => first_key(&home, &account),
    };
    let (identity, pins) = match made {
        Ok(made) => made,
        Err(error) => {
            // Log out in order; the result no longer matters.
            let _ = tokio::time::timeout(GOODBYE, uplink.close()).await;
            return Err(error.into());
        }
    };
    let fingerprint = identity.fingerprint();
    let policy = policy(&talk.tunnel);
    let mut config = config(identity, &pins, &talk.calls, &talk.tunnel, policy)?;
    let mut services = services.into_iter();
    let mut mode = Mode::Stanzas;
    if let Some(own) = services.next() {
        mode = own.mode();
        config = config.service(own);
    }
    let sockets = bind(&talk.tunnel.path)?;
    let config = config
        .also_serve(services)
        .paths(paths(&talk.tunnel.path, mode, &sockets));
    let uplink = Recorded::new(uplink, recorder.clone());
    let (client, incoming, task) = Client::start_with(uplink, config, pins, sockets)?;
    let own = client.own().clone();
    Ok(Link {
        client,
        incoming,
        task,
        own,
        fingerprint,
        recorder,
    })
}

fn first_key(home: &Home, account: &Address) -> Result<(Identity, Pins), HomeError> {
    Ok((home.identity(account)?, home.pins(account)?))
}

/// Requires the key in a URI to be pinned, so that first use cannot substitute another key.
pub(crate) fn pinned(peer: &Peer, store: Option<&Store>, suggest: &Suggest) -> Result<(), Failure> {
    let Some(key) = peer.key() else {
        return Ok(());
    };
    let judged = store.map(|store| store.judge(peer.bare(), &key));
    if let Some(Judgement::Pinned(_)) = judged {
        return Ok(());
    }
    let bare = peer.bare();
    let command = suggest.line(&["trust", "pin"], &[bare, &key.hex()]);
    let hint = format!(
        "if you got the URI from them over another channel, pin it first:{}",
        Suggest::block(&[command])
    );
    Err(Failure::new(
        Code::Identity,
        format!("the key in the URI is not pinned for {bare}"),
    )
    .hint(hint))
}

/// Reports the address and key in use.
pub(crate) fn greet(talk: &ConversationArgs, link: &Link, say: Say) {
    let fields = [
        ("address", Value::from(link.own.as_str())),
        ("fingerprint", Value::from(link.fingerprint.hex())),
    ];
    let own = &link.own;
    if talk.listen {
        say.event("listening", &fields, format_args!("listening as {own}"));
        let wanted = talk.server.resource.as_deref().unwrap_or(LISTENER);
        if own.resource() != Some(wanted) {
            let text = format_args!(
                "the server gave you another resource than {wanted}: peers reach you as {own} only, and not without the part \
                 behind the slash"
            );
            say.warn("resource_changed", &fields, text);
        }
    } else {
        say.event("connected", &fields, format_args!("connected as {own}"));
    }
    tokio::spawn(report_outages(link.client.link_states(), say));
}

/// Reports when the connection to the server is interrupted, and when it is back, until the client stops.
async fn report_outages(mut states: LinkStates, say: Say) {
    let mut away = false;
    while let Some(state) = states.changed().await {
        match state {
            LinkState::Interrupted(outage) => {
                let why = chain(&outage.why);
                let (retry, give_up) = (outage.retry.as_secs_f64(), outage.give_up.as_secs());
                let fields = [
                    ("why", Value::from(why.as_str())),
                    ("retry", Value::from(retry)),
                    ("give_up", Value::from(give_up)),
                ];
                // People read it once; programs want every attempt.
                if !away || say.is_json() {
                    let text = format_args!(
                        "the connection to the server is interrupted: {why}; trying to get it back for {give_up} s at most. What you \
                         send meanwhile waits"
                    );
                    say.warn("interrupted", &fields, text);
                }
                away = true;
            }
            LinkState::Resumed => {
                away = false;
                say.warn(
                    "resumed",
                    &[],
                    "the connection to the server is back, and nothing was lost",
                );
            }
            LinkState::Bound(address) => {
                away = false;
                let fields = [("address", Value::from(address.as_str()))];
                let text = "the connection to the server is back, but the server has forgotten the old one. Tunnels go on if the other end is there too";
                say.warn("bound_anew", &fields, text);
            }
            _ => {}
        }
    }
}

/// How a tunnel ended, for programs.
pub(crate) fn closed_fields(closed: &Closed) -> [(&'static str, Value); 5] {
    [
        ("peer", Value::from(closed.peer.as_str())),
        ("by", Value::from(format!("{:?}", closed.by).to_lowercase())),
        ("why", Value::from(closed.why.to_string())),
        ("clean", Value::from(closed.clean)),
        ("unconfirmed", Value::from(closed.unconfirmed)),
    ]
}

/// Warns about a stanza that was dropped because the peer had no authority to send it.
pub(crate) fn say_refused(peer: &Address, violation: &Violation, say: Say) {
    let fields = [("peer", peer.as_str().into())];
    say.warn("refused", &fields, format_args!("{peer}: {violation}"));
}

/// Reports a caller that a limit has turned away.
pub(crate) fn say_turned_away(away: &TurnedAway, say: Say) {
    let fields = [
        ("peer", Value::from(away.peer.as_str())),
        ("limit", Value::from(away.busy.limit.name())),
        ("wait", Value::from(away.busy.wait)),
        ("times", Value::from(away.times)),
    ];
    let (peer, busy) = (&away.peer, &away.busy);
    let text = format_args!("turned away a call from {peer}: this end {busy}");
    say.event("turned_away", &fields, text);
}

/// Why the link ended of its own accord.
pub(crate) fn ended(ended: Result<Result<(), LinkError>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::new(Code::Server, "the connection to the server has ended"),
        Ok(Err(error)) => error.into(),
        Err(error) => Failure::failed(format!("the client stopped: {error}")),
    }
}

/// Completes an address without a resource to that of its listener.
pub(crate) fn exact(peer: &Address) -> Result<Address, Failure> {
    if peer.is_full() || peer.local().is_none() {
        return Ok(peer.clone());
    }
    peer.with_resource(LISTENER)
        .map(Into::into)
        .map_err(|error| Failure::usage(error.to_string()))
}

/// The address to call, which is announced.
pub(crate) fn calling(peer: &Address, say: Say) -> Result<Address, Failure> {
    let peer = exact(peer)?;
    let fields = [("peer", peer.as_str().into())];
    say.event("opening", &fields, format_args!("calling {peer}"));
    Ok(peer)
}

/// Closes the tunnels and logs out, and says how the run ended: as its conversations did. A conversation that was cut because
/// the link was lost for good has no other reason than that.
pub(crate) async fn leave(mut link: Link, outcome: Result<(), Failure>) -> Result<(), Failure> {
    link.client.stop().await;
    drop(link.client);
    let ended = tokio::time::timeout(GOODBYE, &mut link.task).await;
    let left = match ended {
        Ok(Ok(Err(error))) => Err(Failure::from(error)),
        Ok(Ok(Ok(())) | Err(_)) | Err(_) => Ok(()),
    };
    match (outcome, left) {
        (Err(cut), Err(lost)) if cut.by_lost_link => Err(lost),
        (outcome, left) => outcome.and(left),
    }
}

/// The router's settings from the options.
pub(crate) fn config(
    identity: Identity,
    pins: &Pins,
    calls: &ListenArgs,
    tunnel: &TunnelArgs,
    policy: Policy,
) -> Result<Config, Failure> {
    let tls = xtls_client::tls::Config::new(
        Arc::new(identity),
        xtls_client::tls::default_provider(),
        Arc::new(xtls_client::tls::rustls::time_provider::DefaultTimeProvider),
    )
    .map_err(|error| Failure::failed(error.to_string()))?
    .require_post_quantum(tunnel.require_post_quantum);
    let mut session = xtls_client::session::Config::default();
    if let Some(bytes) = tunnel.pad {
        session = session.padding(bytes.into());
    }
    let mut ibb =
        xtls_client::ibb::Config::default().messages(tunnel.transport == Transport::Message);
    // Two XTLS implementations agree on the largest block, and fill it as far as the path allows.
    let block = tunnel.block_size.unwrap_or(u16::MAX);
    if let Some(block) = BlockSize::new(block) {
        ibb = ibb.block_size(block).max_block(block);
    }
    if let Some(window) = tunnel.window {
        ibb = ibb.window(xtls_client::ibb::Window::Fixed {
            bytes: window,
            chunk: block,
        });
    }
    let carrier = match tunnel.transport {
        Transport::Iq | Transport::Original => Carrier::Iq,
        Transport::Message => Carrier::Message,
    };
    let config = Config::new(tls, pins.store())
        .policy(policy)
        .accept(accept(&calls.accept))
        .carrier(carrier)
        .early(!tunnel.no_early_hello)
        .original(tunnel.transport == Transport::Original)
        .session(session)
        .ibb(ibb);
    Ok(calls.limit.iter().fold(config, |config, &(limit, most)| {
        config.limit(limit, usize::try_from(most).unwrap_or(usize::MAX))
    }))
}

fn accept(listed: &[Acceptable]) -> Accept {
    if listed.contains(&Acceptable::Any) {
        return Accept::Anyone;
    }
    let bare = listed.iter().filter_map(|one| match one {
        Acceptable::Any => None,
        Acceptable::One(address) => Some(address.clone()),
    });
    Accept::Only(bare.collect())
}

/// Asks by default only if there is a terminal.
fn policy(tunnel: &TunnelArgs) -> Policy {
    match tunnel.trust {
        Some(policy) => policy.into(),
        None if std::io::stderr().is_terminal() => Policy::Ask,
        None => Policy::Pinned,
    }
}

/// The sockets beside the server.
fn bind(path: &PathArgs) -> Result<Sockets, Failure> {
    let options = SocketOptions::default()
        .listen(path.path_listen.iter().copied())
        .private(path.path_private);
    Sockets::bind(options).map_err(|error| Failure::usage(error.to_string()))
}

/// Where tunnels may move. Those of bytes move by themselves where nobody new learns an address by it.
fn paths(path: &PathArgs, mode: Mode, sockets: &Sockets) -> PathConfig {
    let policy = path.path.map_or_else(
        || match mode {
            Mode::Bytes => Takes::Own,
            Mode::Stanzas => Takes::InBand,
        },
        Into::into,
    );
    let advertised = match path.path_advertise.is_empty() {
        false => path.path_advertise.clone(),
        true => sockets.reachable().collect(),
    };
    PathConfig::new(policy).advertise(advertised)
}

/// How to log in.
pub(crate) fn options(
    server: &Server,
    account: &Address,
    password: Zeroizing<String>,
    resource: String,
) -> Result<Options, Failure> {
    let mut options = Options::new(account, password).allow_plain(server.allow_plain);
    // Checked here so that it is reported as a usage error.
    account
        .with_resource(&resource)
        .map_err(|error| Failure::usage(error.to_string()))?;
    options = options.resource(resource);
    if let Some((host, port)) = &server.server {
        options = options.server(host.clone(), *port);
    }
    if server.direct_tls {
        options = options.security(Security::DirectTls);
    }
    if let Some(path) = &server.ca_file {
        options = options.ca_file(path);
    }
    if let Some(pin) = server.pin_server {
        options = options.pin(pin);
    }
    Ok(options)
}

/// The resource of a run that nobody calls.
pub(crate) fn random_resource() -> Result<String, Failure> {
    Ok(format!("xtls-{}", random_name()?))
}

/// A name that nobody can guess.
pub(crate) fn random_name() -> Result<String, Failure> {
    let mut bytes = [0_u8; 8];
    xtls_client::random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The default resource of listeners, and of a PEER without one.
pub(crate) const LISTENER: &str = "xtls";

/// How long to wait for the tunnels and the server to close.
pub(crate) const GOODBYE: std::time::Duration = std::time::Duration::from_secs(15);
