//! `xtls demo`: two peers and a relay, seen from inside and from outside.

mod brief;
mod columns;
mod row;
mod totals;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use xtls_client::relay::Limits;
use xtls_client::router::{Config, TunnelEvent};
use xtls_client::session::Why as Session;
use xtls_client::tls::Identity;
use xtls_client::tls::trust::Policy;
use xtls_client::{Accept, Client, Incoming, Pins, Relay, Tunnel};
use xtls_stanza::{Address, Element, Kind, Stanza};
use zeroize::Zeroizing;

use crate::args::Demo;
use crate::failure::Failure;
use crate::output;
use crate::say::Say;
use crate::suggest::Suggest;
use brief::Brief;
use columns::Columns;
use row::Row;
use totals::Totals;

const ROMEO: &str = "romeo@montague.example/orchard";
const JULIET: &str = "juliet@capulet.example/balcony";

/// Romeo's lines, and Juliet's answers: short, so that they stand beside what carries them.
const LINES: [(&str, &str); 3] = [
    ("Call me but love.", "What man art thou?"),
    ("My name is hateful to myself.", "How camest thou hither?"),
    ("With love's light wings.", "The orchard walls are high."),
];

/// Runs the demonstration on the in-process relay.
pub(crate) async fn run(args: &Demo, say: Say) -> Result<(), Failure> {
    let latency = Duration::from_millis(args.latency);
    let mut limits = Limits::default().latency(latency);
    if let Some(rate) = args.rate {
        limits = limits.rate(rate);
    }
    let relay = Relay::start(limits);
    let mut seen = relay.watch();
    let started = Instant::now();
    let (row_sender, mut rows) = mpsc::unbounded_channel();

    let (juliet, incoming) = peer(&relay, JULIET, ROMEO).await?;
    let (romeo, _) = peer(&relay, ROMEO, JULIET).await?;
    let stage = Stage {
        rows: row_sender.clone(),
        started,
    };
    let answering = tokio::spawn(answer(incoming, stage.clone()));
    let tunnel = romeo.open(juliet.own()).await?;
    let talking = tokio::spawn(talk(tunnel, stage));
    let watching = tokio::spawn(async move {
        while let Some(carrying) = seen.recv().await {
            if row_sender.send(Row::Carrying(carrying)).is_err() {
                return;
            }
        }
    });

    let width = output::columns().unwrap_or(if args.full { UNKNOWN } else { USUAL });
    let mut display = match args.full {
        true => Display::Full(Columns::new(width)),
        false => Display::Brief(Brief::new(width)),
    };
    let mut totals = Totals::default();
    let script = async {
        let said = talking
            .await
            .unwrap_or_else(|error| Err(Failure::failed(error.to_string())));
        let heard = answering
            .await
            .unwrap_or_else(|error| Err(Failure::failed(error.to_string())));
        romeo.stop().await;
        juliet.stop().await;
        said.and(heard)
    };
    tokio::pin!(script);
    display.head()?;
    let result = loop {
        tokio::select! {
            biased;
            Some(row) = rows.recv() => {
                totals.count(&row);
                display.show(row)?;
            }
            result = &mut script => break result,
        }
    };
    watching.abort();
    while let Ok(row) = rows.try_recv() {
        totals.count(&row);
        display.show(row)?;
    }
    result?;
    display.foot(&totals, latency)?;
    let fields: Vec<_> = totals
        .fields(latency)
        .iter()
        .map(|(name, value)| (*name, Value::from(*value)))
        .collect();
    say.data("demo", &fields);
    Ok(())
}

/// How it is shown.
enum Display {
    Brief(Brief),
    Full(Columns),
}

impl Display {
    fn head(&self) -> Result<(), Failure> {
        match self {
            Self::Brief(brief) => brief.head(),
            Self::Full(columns) => columns.head(),
        }
    }

    fn show(&mut self, row: Row) -> Result<(), Failure> {
        match self {
            Self::Brief(brief) => brief.show(row),
            Self::Full(columns) => columns.show(&row),
        }
    }

    fn foot(&mut self, totals: &Totals, latency: Duration) -> Result<(), Failure> {
        match self {
            Self::Brief(brief) => brief.foot(totals),
            Self::Full(columns) => columns.foot(totals, latency),
        }
    }
}

/// A peer with a fresh key, which pins the other's key on first use.
async fn peer(relay: &Relay, own: &str, other: &str) -> Result<(Client, Incoming), Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let own = Address::new(own).map_err(|error| wrong(&error))?;
    let other = Address::new(other).map_err(|error| wrong(&error))?;
    let mut seed = Zeroizing::new([0_u8; 32]);
    xtls_client::random(seed.as_mut_slice())?;
    let identity = Identity::generate(own.bare(), &seed, xtls_client::unix_now())
        .map_err(|error| wrong(&error))?;
    let clock = Arc::new(xtls_client::tls::rustls::time_provider::DefaultTimeProvider);
    let tls = xtls_client::tls::Config::new(
        Arc::new(identity),
        xtls_client::tls::default_provider(),
        clock,
    )
    .map_err(|error| wrong(&error))?;
    let pins = Pins::memory();
    let config = Config::new(tls, pins.store())
        .policy(Policy::Tofu)
        .accept(Accept::Only(BTreeSet::from([other.to_bare()])));
    let link = relay.attach(own).await?;
    let (client, incoming, _) = Client::start(link, config, pins)?;
    Ok((client, incoming))
}

/// Collects what the actors do.
#[derive(Clone)]
struct Stage {
    rows: mpsc::UnboundedSender<Row>,
    started: Instant,
}

impl Stage {
    fn note(&self, who: &str, text: String) {
        let row = Row::Note {
            at: self.started.elapsed(),
            who: who.to_owned(),
            text,
        };
        let _ = self.rows.send(row);
    }

    fn said(&self, who: &str, stanza: &Stanza) {
        let row = Row::inner(self.started.elapsed(), who, stanza);
        let _ = self.rows.send(row);
    }

    /// Handles all events except stanzas, for both actors. Returns whether the tunnel has ended.
    fn follow(&self, who: &str, what: &TunnelEvent) -> Result<bool, Failure> {
        match what {
            TunnelEvent::Ready => {
                let at = self.started.elapsed();
                let _ = self.rows.send(Row::Ready {
                    at,
                    who: who.to_owned(),
                });
            }
            TunnelEvent::Established(peer) => {
                let at = self.started.elapsed();
                let key = peer.key.fingerprint.grouped();
                let _ = self.rows.send(Row::Established {
                    at,
                    who: who.to_owned(),
                    key,
                });
            }
            TunnelEvent::PeerFinished => self.note(who, "the peer has finished sending".to_owned()),
            TunnelEvent::Closed(closed) => {
                if let Some(failure) = Failure::of_close(closed, &Suggest::default()) {
                    return Err(failure);
                }
                let clean = matches!(
                    &closed.why,
                    xtls_client::router::Why::Session(Session::Finished)
                );
                self.note(
                    who,
                    if clean {
                        "closed, nothing missing".to_owned()
                    } else {
                        closed.why.to_string()
                    },
                );
                return Ok(true);
            }
            TunnelEvent::Incoming(_)
            | TunnelEvent::Judge(_)
            | TunnelEvent::Stanza(_)
            | TunnelEvent::Refused(_)
            | TunnelEvent::NotPinned(_)
            | TunnelEvent::Verify(_)
            | TunnelEvent::NotVerified(_)
            | TunnelEvent::Writable
            | TunnelEvent::Asked(_)
            | TunnelEvent::Renewed(_)
            | TunnelEvent::Unanswered(_)
            | _ => {}
        }
        Ok(false)
    }
}

/// Romeo: sends his lines one by one, a query and a long letter, and finishes.
async fn talk(mut tunnel: Tunnel, stage: Stage) -> Result<(), Failure> {
    let mut lines = LINES.iter().enumerate();
    // Sent before the tunnel is open, it leaves with the last flight of the handshake.
    if let Some((at, (line, _))) = lines.next() {
        let (sender, first) = (tunnel.sender(), message(at, line));
        tokio::spawn(async move { sender.send(first).await });
    }
    while let Some(what) = tunnel.next().await {
        if stage.follow("romeo", &what)? {
            return Ok(());
        }
        let TunnelEvent::Stanza(stanza) = &what else {
            continue;
        };
        stage.said("juliet", stanza);
        if stanza.kind == Kind::Iq {
            let letter = "O, speak again, bright angel! ".repeat(300);
            send(&tunnel, "romeo", message(LINES.len(), &letter)).await?;
            tunnel.finish().await;
            continue;
        }
        let next = match lines.next() {
            Some((at, (line, _))) => message(at, line),
            None => Stanza::new(Kind::Iq)
                .with_type("get")
                .with_id("v1")
                .with_child(&Element::new("query", "jabber:iq:version")),
        };
        send(&tunnel, "romeo", next).await?;
    }
    Err(Failure::failed("romeo's tunnel ended without a reason"))
}

/// Juliet: answers, and finishes when Romeo has finished.
async fn answer(mut incoming: Incoming, stage: Stage) -> Result<(), Failure> {
    let Some(mut tunnel) = incoming.next().await else {
        return Err(Failure::failed("no one called juliet"));
    };
    let mut answers = LINES.iter().enumerate();
    while let Some(what) = tunnel.next().await {
        if stage.follow("juliet", &what)? {
            return Ok(());
        }
        if matches!(what, TunnelEvent::PeerFinished) {
            tunnel.finish().await;
        }
        let TunnelEvent::Stanza(stanza) = &what else {
            continue;
        };
        stage.said("romeo", stanza);
        let reply = match (stanza.kind, stanza.type_.as_deref()) {
            (Kind::Iq, Some("get")) => Some(version(stanza)),
            (Kind::Message, _) => answers.next().map(|(at, (_, line))| message(at, line)),
            (Kind::Iq | Kind::Presence, _) => None,
        };
        if let Some(reply) = reply {
            send(&tunnel, "juliet", reply).await?;
        }
    }
    Err(Failure::failed("juliet's tunnel ended without a reason"))
}

async fn send(tunnel: &Tunnel, who: &str, stanza: Stanza) -> Result<(), Failure> {
    tunnel
        .sender()
        .send(stanza)
        .await
        .map_err(|error| Failure::failed(format!("{who}: {error}")))
}

fn message(at: usize, text: &str) -> Stanza {
    let body = Element::new("body", "jabber:client").with_text(text);
    Stanza::new(Kind::Message)
        .with_type("chat")
        .with_id(format!("m{at}"))
        .with_child(&body)
}

fn version(request: &Stanza) -> Stanza {
    let name = Element::new("name", "jabber:iq:version").with_text("xtls");
    let version = Element::new("version", "jabber:iq:version").with_text(env!("CARGO_PKG_VERSION"));
    let query = Element::new("query", "jabber:iq:version")
        .with_child(name)
        .with_child(version);
    Stanza::new(Kind::Iq)
        .with_type("result")
        .with_id(request.id.clone().unwrap_or_default())
        .with_child(&query)
}

/// Columns where there is no terminal: as most have, and what every stanza in full needs.
const USUAL: usize = 80;
const UNKNOWN: usize = 120;
