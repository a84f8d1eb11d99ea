//! What happens to forwards and their connections, in words and in events.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use xtls_forward::{End, How, Place, Refusal, Report, Rule, Why};
use xtls_stanza::Address;

use crate::args::Forward as Args;
use crate::say::Say;
use crate::suggest;

/// Tells what one end reports.
pub(super) struct Told {
    say: Say,
    /// Whom it is about, without a resource.
    peer: String,
    end: Kind,
    /// Refusals that people were told, because a browser asks for the same again and again.
    refusals: BTreeSet<String>,
}

enum Kind {
    /// The end that has forwards.
    Forwards {
        rules: Vec<Rule>,
        /// Listeners that wait for a tunnel to be told.
        held: Vec<(Rule, SocketAddr)>,
        tunnel: Tunnel,
    },
    /// The serving end.
    Serves,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tunnel {
    None,
    Stands,
    Lost,
}

impl Told {
    pub(super) fn of_forwards(peer: &Address, rules: &[Rule], say: Say) -> Self {
        Self {
            say,
            peer: peer.bare().to_owned(),
            end: Kind::Forwards {
                rules: rules.to_vec(),
                held: Vec::new(),
                tunnel: Tunnel::None,
            },
            refusals: BTreeSet::new(),
        }
    }

    pub(super) fn of_caller(peer: &Address, say: Say) -> Self {
        Self {
            say,
            peer: peer.bare().to_owned(),
            end: Kind::Serves,
            refusals: BTreeSet::new(),
        }
    }

    pub(super) fn tell(&mut self, report: Report) {
        match report {
            Report::Listening { what, at } => self.listening(&what, at),
            Report::ListeningThere { what, at } => {
                let peer = &self.peer;
                let text = format!("{at} at {peer} → {} here", what.to);
                self.forwarding("remote", &at, Some(&what.to), &text);
            }
            Report::Up => self.up(),
            Report::Down { why, again } => self.lost(&why, again),
            Report::Opened { from, to } => {
                let [peer, from, to] = self.ends(&from, &to);
                self.say.data("connection_opened", &[peer, from, to]);
            }
            Report::Closed {
                from,
                to,
                sent,
                received,
                how,
            } => {
                let [peer, from, to] = self.ends(&from, &to);
                let sent = ("sent", Value::from(sent));
                let received = ("received", Value::from(received));
                let how = ("how", Value::from(ended(&how)));
                let fields = [peer, from, to, sent, received, how];
                self.say.data("connection_closed", &fields);
            }
            Report::Refused {
                from,
                to,
                refusal,
                by,
            } => self.refused(&from, &to, &refusal, by),
            Report::NotListening { at, refusal } => {
                let why = if refusal.why == Why::Denied {
                    "which you do not allow (--allow-bind)".to_owned()
                } else {
                    format!("which is not possible: {}", refusal.text)
                };
                let fields = [
                    ("peer", Value::from(self.peer.as_str())),
                    ("at", Value::from(at.to_string())),
                    ("why", Value::from(name(refusal.why))),
                ];
                let text = format!("{} wanted you to listen on {}, {why}", self.peer, bind(&at));
                self.warn_once("listen_refused", &fields, &text);
            }
            Report::NotSocks { from, why } => {
                let fields = [
                    ("peer", Value::from(self.peer.as_str())),
                    ("from", Value::from(from.as_str())),
                    ("why", Value::from(why.to_string())),
                ];
                let text = format!("-D: {why}");
                self.warn_once("not_socks", &fields, &text);
            }
            _ => {}
        }
    }

    /// A listener is told when there is a tunnel behind it.
    fn listening(&mut self, what: &str, at: SocketAddr) {
        match &mut self.end {
            Kind::Serves => {
                let fields = [
                    ("peer", Value::from(self.peer.as_str())),
                    ("at", Value::from(at.to_string())),
                ];
                let text = format_args!("{at} here → {}", self.peer);
                self.say.event("listening_for", &fields, text);
            }
            Kind::Forwards {
                rules,
                held,
                tunnel,
            } => {
                let rule = rules.iter().find(|rule| rule.to_string() == what);
                held.extend(rule.cloned().map(|rule| (rule, at)));
                if *tunnel == Tunnel::Stands {
                    self.release();
                }
            }
        }
    }

    fn up(&mut self) {
        let Kind::Forwards { tunnel, .. } = &mut self.end else {
            return;
        };
        let before = std::mem::replace(tunnel, Tunnel::Stands);
        if before == Tunnel::Lost {
            let fields = [("peer", Value::from(self.peer.as_str()))];
            let text = format_args!("there is a tunnel to {} again", self.peer);
            self.say.warn("tunnel_back", &fields, text);
        }
        self.release();
    }

    fn release(&mut self) {
        let Kind::Forwards { held, .. } = &mut self.end else {
            return;
        };
        for (rule, at) in std::mem::take(held) {
            let peer = &self.peer;
            match rule {
                Rule::Local(spec) => {
                    let text = format!("{at} here → {} at {peer}", spec.to);
                    self.forwarding("local", &at, Some(&spec.to), &text);
                }
                Rule::Dynamic(_) => {
                    let text = format!("{at} here → SOCKS5 → what {peer} allows");
                    self.forwarding("dynamic", &at, None, &text);
                }
                Rule::Remote(_) => {}
            }
        }
    }

    fn forwarding(&self, kind: &str, at: &dyn Display, to: Option<&Place>, text: &str) {
        let mut fields = vec![
            ("kind", Value::from(kind)),
            ("at", Value::from(at.to_string())),
            ("peer", Value::from(self.peer.as_str())),
        ];
        fields.extend(to.map(|to| ("to", Value::from(to.to_string()))));
        self.say.event("forwarding", &fields, text);
    }

    /// The tunnel is lost, or could not be made anew: people are told the first, and programs both.
    pub(super) fn lost(&mut self, why: &str, again: Duration) {
        let Kind::Forwards { tunnel, .. } = &mut self.end else {
            return;
        };
        let before = std::mem::replace(tunnel, Tunnel::Lost);
        let fields = [
            ("peer", Value::from(self.peer.as_str())),
            ("why", Value::from(why)),
            ("retry", Value::from(again.as_secs_f64())),
        ];
        let text = format_args!(
            "the tunnel is lost: {why}. Its connections are cut; new ones wait, 30 s at most, while {} is called again",
            self.peer
        );
        if before == Tunnel::Lost {
            self.say.data("tunnel_lost", &fields);
        } else {
            self.say.warn("tunnel_lost", &fields, text);
        }
    }

    fn refused(&mut self, from: &str, to: &Place, refusal: &Refusal, by: End) {
        let [of_peer, of_from, of_to] = self.ends(from, to);
        let fields = [of_peer, of_from, of_to, ("why", name(refusal.why).into())];
        let peer = &self.peer;
        let text = match (&self.end, by) {
            (Kind::Serves, End::Here) if refusal.why == Why::Denied => {
                format!("{peer} wanted {to}, which you do not allow (--allow)")
            }
            (Kind::Serves, End::Here) => format!("{peer} wanted {to}: {}", refusal_here(refusal)),
            (Kind::Serves, End::There) => format!(
                "a connection for {peer} was refused: {}",
                refusal_there(peer, refusal)
            ),
            (Kind::Forwards { .. }, End::Here) => format!("{to}: {}", refusal_here(refusal)),
            (Kind::Forwards { .. }, End::There) => {
                let mut text = format!("{to}: {}", refusal_there(peer, refusal));
                if refusal.why == Why::Denied {
                    let option = suggest::option("--allow", &to.to_string());
                    text.push_str(&format!("\nthey have to add {option}"));
                }
                text
            }
        };
        self.warn_once("connection_refused", &fields, &text);
    }

    /// Where a connection comes from and goes to. The peer does not say where in its network that is.
    fn ends(&self, from: &str, to: &Place) -> [(&'static str, Value); 3] {
        let there = |text: &str| match text == PEER {
            true => Value::Null,
            false => Value::from(text),
        };
        let to = match to.host == PEER {
            true => Value::Null,
            false => Value::from(to.to_string()),
        };
        let peer = ("peer", Value::from(self.peer.as_str()));
        [peer, ("from", there(from)), ("to", to)]
    }

    /// Warns, but people not twice of the same, and not without end.
    fn warn_once(&mut self, event: &str, fields: &[(&str, Value)], text: &str) {
        if self.say.is_json() {
            self.say.data(event, fields);
        } else if self.refusals.len() < MAX_REFUSALS && self.refusals.insert(text.to_owned()) {
            self.say.warn(event, fields, text);
            if self.refusals.len() == MAX_REFUSALS {
                let text = "no more refusals are shown; with --json, all of them are";
                self.say.warn(event, fields, text);
            }
        }
    }
}

/// Why this end has refused something.
fn refusal_here(refusal: &Refusal) -> String {
    match refusal.why {
        Why::Denied => "you do not allow it",
        Why::Unresolvable => "there is no address for that name",
        Why::Unreachable if !refusal.text.is_empty() => &refusal.text,
        Why::Unreachable => "it cannot be reached from here",
        Why::Refused | Why::Timeout | Why::TooMany | Why::CannotListen | Why::Other(_) | _ => {
            return refusal.why.to_string();
        }
    }
    .to_owned()
}

/// Why the peer has refused something.
pub(super) fn refusal_there(peer: &str, refusal: &Refusal) -> String {
    let why = match refusal.why {
        Why::Denied => format!("{peer} does not allow it"),
        Why::Unresolvable => format!("{peer} finds no address for that name"),
        Why::Unreachable => format!("{peer} cannot reach it"),
        Why::TooMany => format!("{peer} has as many connections as it allows"),
        Why::CannotListen => format!("{peer} cannot listen there"),
        Why::Refused => format!("nobody listens there at {peer}"),
        Why::Timeout | Why::Other(_) | _ => refusal.why.to_string(),
    };
    match refusal.text.as_str() {
        "" => why,
        text => format!("{why} (\"{text}\")"),
    }
}

/// A reason in events.
fn name(why: Why) -> &'static str {
    match why {
        Why::Denied => "denied",
        Why::Refused => "refused",
        Why::Unresolvable => "unresolvable",
        Why::Unreachable => "unreachable",
        Why::Timeout => "timeout",
        Why::TooMany => "too_many",
        Why::CannotListen => "cannot_listen",
        Why::Other(_) | _ => "other",
    }
}

fn ended(how: &How) -> &'static str {
    match how {
        How::Ended => "ended",
        How::BrokenHere(_) => "broken_here",
        How::BrokenThere => "broken_there",
        How::Cut => "cut",
        How::Violation(_) => "violation",
    }
}

/// Where a peer wants to listen, as `--allow-bind` has it: the protocol has no word for loopback.
fn bind(at: &Place) -> String {
    match at.host.as_str() {
        "" => format!("localhost:{}", at.port),
        _ => at.to_string(),
    }
}

/// What callers may do, for people.
pub(super) fn allowed(args: &Args) -> String {
    let words = |list: &[String]| list.join(", ");
    let strings = |list: &mut dyn Iterator<Item = String>| list.collect::<Vec<_>>();
    let connect = strings(&mut args.allow.iter().map(ToString::to_string));
    let listen = strings(&mut args.allow_bind.iter().map(ToString::to_string));
    let mut parts = Vec::new();
    if !connect.is_empty() {
        parts.push(format!("connect to {}", words(&connect)));
    }
    if !listen.is_empty() {
        parts.push(format!("have you listen on {}", words(&listen)));
    }
    format!("callers may {}, and nothing else", parts.join(", and "))
}

/// A list in an event.
pub(super) fn listed(list: &[impl Display]) -> Value {
    Value::from(list.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// What stands in reports for a place that the peer does not tell.
const PEER: &str = "the peer";

/// Different refusals that people are told of one tunnel, or of a run with forwards.
const MAX_REFUSALS: usize = 20;
